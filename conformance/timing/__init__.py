"""Timing layers, and checking what was timed."""

LIMITS = {"rounds": (1, 1_000_000), "warmup": (0, 1_000_000), "threads": (1, 1024)}
"""The least and the most that each number of a selection may be."""
