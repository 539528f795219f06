"""The words of a run file for the result of an implementation, a cell, a case or an entry."""

from __future__ import annotations

CONFORMS, VIOLATES, UNSUPPORTED = "conforms", "violates", "unsupported"
CRASHED, TIMED_OUT = "crashed", "timed out"
"""The result of one case: right, wrong, a declared gap, or no answer at all."""

FAILED = (VIOLATES, CRASHED, TIMED_OUT)
"""The results that make an implementation fail."""

INCONCLUSIVE = "inconclusive"
"""The verdict where too little was compared to call it conforming."""
ADAPTER_WRONG = "adapter wrong"
"""The verdict where an adapter fails the simplest cases: nothing was judged of its engine."""
NOT_INSTALLED = "not installed"
"""The verdict on an implementation whose package is missing."""

KNOWN_DIFFERENCE = "known difference"
"""An entry of an implementation's list occurs; also the verdict where nothing else is wrong."""
STALE, NOT_JUDGED = "stale", "not judged"
OTHER_VERSION, OTHER_MACHINE = "other version", "other machine"
"""An entry of that list: its case shows nothing any more, was not called, or is for others."""

NO_CALL = "no call of an operator"
"""A convolution or a pool of a model that is none of those that implementations have."""

MIXED, NEITHER, NOT_ASKED = "mixed", "neither", "not asked"
"""What is followed of a convention, if not one alternative: several, none, or no probe answered."""

UNCHECKED = "does not check its arguments, as declared"
"""The gap of an implementation that declares ``arguments="unchecked"``: invalid calls."""
