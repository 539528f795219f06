"""Implementations that cheat when they are timed, and honest ones that look as if they did.

Each file registers implementations, as a plugin does: what a trick needs to patch, it patches in
the worker that makes its calls. `tests/test_cheats.py` says what has to become of each.
"""
