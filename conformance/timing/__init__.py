"""Timing layers, and checking what was timed."""
