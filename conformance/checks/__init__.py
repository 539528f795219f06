"""The checks: what is looked at, and the cases and histories that show it."""

from conformance.checks.catalog import CHECKS, check_for, check_of, derived

__all__ = ["CHECKS", "check_for", "check_of", "derived"]
