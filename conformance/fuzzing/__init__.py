"""Fuzzing: ever new cases, steered to where something may be wrong, until it is stopped."""
