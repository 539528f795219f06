"""Where cases come from: drawn by Hypothesis, with their data, and kept for the next run."""
