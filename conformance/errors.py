"""The errors that a user can cause; each message is one line: what, where, what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConformanceError(Exception):
    """Something handed to the suite is wrong; the command line prints it and exits with 2."""


class CaseError(ConformanceError):
    """A case, or the text of a case id, is not a valid call of its operator."""


class SpecError(ConformanceError):
    """A spec file has a wrong field, type, range or an inconsistent shape."""


class RegistrationError(ConformanceError):
    """An implementation was registered in a way that could not work."""


class PluginError(ConformanceError):
    """A plugin file or entry point could not be loaded."""


class RunFileError(ConformanceError):
    """A run file is missing, is no run file, or was written by another version."""


class Unsupported(Exception):
    """Raised by an implementation for a case that it does not claim to compute.

    The first argument is the reason; it is reported, and never counts as a failure.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the part of a message that suggests the nearest of the ``known`` names, or ""."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}? " if near else ""
