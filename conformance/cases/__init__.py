"""Where cases come from: Hypothesis draws them, and their data is made from their seeds."""
