"""What calls of the forms have in common: what they can express, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.errors import PluginError, Unsupported


class Rejected(Exception):
    """A program, or a library, has rejected a call."""


def check_version(declared: dict[str, Any], due: int, where: str, of: str) -> None:
    """Take the version ``of`` a form out of what is declared; raise `PluginError` for another."""
    version = declared.pop("convformance", due)
    if version != due or type(version) is not int:
        raise PluginError(f"{where}: speaks version {version!r} of {of}, this suite version {due}")


def check_types(parameters: Mapping[str, Any], form: str) -> None:
    """Raise `Unsupported` for a parameter that is no whole number, boolean, or tuple of such.

    Only an invalid call has one, and a ``form`` whose parameters have types cannot make it.
    """
    for name, value in parameters.items():
        if not _has_type(value):
            raise Unsupported(f"{form} has no {name}={value!r}")


def _has_type(value: Any) -> bool:
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) is bool or (isinstance(value, tuple) and all(map(_has_type, value)))
