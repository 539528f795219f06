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


_MOST_LISTED = 12
"""A longer list of names is cut where another command lists all of them."""


def did_you_mean(name: object, known: Iterable[object], meant: str = "", *, most: int = 1) -> str:
    """Return the part of a message that suggests the nearest of the ``known`` names, or "".

    Case does not matter, nor do "-" and "_". What is known to be ``meant`` is suggested instead.
    """
    if meant:
        return f"did you mean {meant}? "
    plain = {_plain(each): str(each) for each in known}
    near = difflib.get_close_matches(_plain(name), plain, n=most)
    return f"did you mean {', '.join(plain[each] for each in near)}? " if near else ""


def unknown(
    kind: str,
    name: object,
    known: Iterable[object],
    *,
    own: Iterable[str] = (),
    meant: str = "",
    listing: str = "",
) -> str:
    """Return the message for a name that is none of the ``known`` ones.

    First come the names that are the user's ``own``, then what was ``meant``, by default the
    nearest name, then the other names: all of them, or some where the command ``listing`` shows
    all.
    """
    names, own = [str(each) for each in known], list(own)
    own = own if len(own) < len(names) else []
    others = [each for each in names if each not in own]
    shown = others[:_MOST_LISTED] if listing else others
    yours = f"yours are {', '.join(own)}; " if own else ""
    text = f"{kind} '{name}' is unknown; {yours}{did_you_mean(name, names, meant)}"
    text += f"known are {', '.join(shown)}"
    if len(shown) == len(others):
        return text
    return f"{text} and {len(others) - len(shown)} more; `{listing}` lists them"


def _plain(name: object) -> str:
    return str(name).casefold().replace("-", "").replace("_", "")
