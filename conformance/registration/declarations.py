"""What an implementation may declare of itself, checked when it registers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from conformance.dtypes import DTYPES, FORMATS
from conformance.errors import RegistrationError

if TYPE_CHECKING:
    from conformance.registration.registry import Implementation

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@\[\]-]*")
_LAYOUTS = ("NCHW", "NHWC")
_ERRORS = ("componentwise", "normwise")


def check_declarations(new: Implementation, amplification: float | None) -> None:
    """Raise `RegistrationError` for the first declaration that is none of those allowed."""
    where = f"{new.origin}: implementation {new.name!r}"
    if not isinstance(new.name, str) or not _NAME.fullmatch(new.name):
        raise RegistrationError(
            f"{where}: a name is letters, digits and . _ + = @ [ ] -, and starts with a letter "
            f'or a digit: @implementation("my-conv")'
        )
    if new.layout not in _LAYOUTS:
        raise RegistrationError(f"{where}: layout={new.layout!r}; allowed: {', '.join(_LAYOUTS)}")
    if new.error not in _ERRORS:
        raise RegistrationError(f"{where}: error={new.error!r}; allowed: {', '.join(_ERRORS)}")
    if not new.dtypes:
        raise RegistrationError(f"{where}: dtypes=(); name at least one of {', '.join(DTYPES)}")
    for dtype in new.dtypes:
        if dtype not in DTYPES:
            raise RegistrationError(f"{where}: dtypes={dtype!r}; allowed: {', '.join(DTYPES)}")
    for key in ("accumulate", "multiply"):
        value = getattr(new, key)
        if value is not None and value not in tuple(FORMATS):
            raise RegistrationError(f"{where}: {key}={value!r}; allowed: {', '.join(FORMATS)}")
    if amplification is not None and not (
        isinstance(amplification, (int, float)) and 0 < amplification < float("inf")
    ):
        raise RegistrationError(f"{where}: amplification={amplification!r}; a positive number")
    if amplification is not None and new.error != "normwise":
        raise RegistrationError(f'{where}: amplification needs error="normwise"')
    if new.conventions:
        from conformance.requirements import conventions

        for name, alternative in new.conventions.items():
            if name not in conventions():
                raise RegistrationError(
                    f"{where}: conventions={name!r}; known are {', '.join(conventions())}"
                )
            if alternative not in (allowed := conventions()[name].alternatives):
                raise RegistrationError(
                    f"{where}: conventions[{name!r}]={alternative!r}; allowed: {', '.join(allowed)}"
                )
    if new.supports is not None and not callable(new.supports):
        raise RegistrationError(f"{where}: supports must be a function of a case")
    for entry in new.known if isinstance(new.known, tuple) else ():  # a file is read when needed
        if type(entry).__name__ != "KnownDifference":
            raise RegistrationError(f"{where}: known={entry!r}; a list of KnownDifference(...)")
    if not isinstance(new.settings, str):
        raise RegistrationError(f"{where}: settings={new.settings!r}; one line of text")
    for key in ("shape_seconds", "work_seconds"):
        value = getattr(new, key)
        if not (isinstance(value, (int, float)) and 0 <= value < float("inf")):
            raise RegistrationError(f"{where}: {key}={value!r}; seconds, 0 or more")
    if new.snippet is not None and not callable(new.snippet):
        raise RegistrationError(f"{where}: snippet must be a function of a call")
