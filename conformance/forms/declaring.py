"""What a kernel in another language declares: a JSON object, with the names of the declarations."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from conformance.cases.only import Only, only
from conformance.errors import ConformanceError, PluginError, did_you_mean
from conformance.registration.declarations import Arguments
from conformance.registration.implementation import Function, Implementation
from conformance.signatures import SIGNATURES

_OF_PYTHON = (
    *("package", "needs", "extra", "known", "snippet"),
    *("arrays", "device", "parameters", "gradients", "out"),
)
"""Declarations that name packages of Python, functions, or arrays of a library."""
FIELDS = (
    "name",
    "operators",
    "dims",
    "memory",
    *(
        spec.name
        for spec in fields(Arguments)
        if "says" in spec.metadata and spec.name not in _OF_PYTHON
    ),
)
"""What may be declared."""


def implementation_of(
    declared: Mapping[str, Any],
    functions: Mapping[str, Function],
    origin: Path,
    where: str,
    **further: Any,
) -> Implementation:
    """Return the implementation that consists of ``functions``, as ``declared``.

    Its name is that of the file ``origin``, unless one is declared; ``further`` is what its form
    declares. ``where`` says what it is, and begins the line of the `PluginError` that is raised for
    a mistake.
    """
    for field in declared:
        if field not in FIELDS:
            hint = did_you_mean(field, FIELDS)
            raise PluginError(
                f"{where}: it declares {field!r}, which is no declaration; {hint}known are "
                f"{', '.join(FIELDS)}"
            )
    values = {"name": origin.stem.removeprefix("lib").replace("_", "-"), **declared, **further}
    for field in ("version", "settings"):
        if not isinstance(values.get(field, ""), str):
            raise PluginError(f"{where}: {field}={values[field]!r}; a text")
    values["settings"] = ", ".join(filter(None, (where, values.get("settings"))))
    operators = values.pop("operators", None)
    rules = {field: values.pop(field, None) for field in ("dims", "memory")}
    supports = values.pop("supports", None)
    try:
        if not callable(supports):
            supports = _only(supports, {n: rule for n, rule in rules.items() if rule is not None})
        arguments = Arguments(**values, supports=supports)
        arguments.check(where)
        implementation = Implementation(
            **arguments.declared_in(str(origin)),
            name=arguments.name,
            origin=str(origin),
            module="",
            declared_version=arguments.version or "",
        )
        for operator, function in functions.items():
            implementation.register(operator, function)
    except ConformanceError as problem:
        text = str(problem).removeprefix(f"{where}: ")
        raise PluginError(f"{where}: {text}") from None
    except (TypeError, AttributeError) as problem:  # a value of a kind that JSON has
        raise PluginError(f"{where}: a declaration cannot be read ({problem})") from None
    assert operators is None or set(operators) == set(functions)
    return implementation


def _only(declared: Any, further: Mapping[str, Any]) -> Only | None:
    """Return what is supported, of the arguments of `only` in an object, and ``further`` ones.

    It is None where everything is.
    """
    if not isinstance(declared, dict | None):
        raise ConformanceError(
            f'supports={declared!r}; an object with arguments of only, such as {{"groups": false}}'
        )
    allowed: dict[str, Any] = {**(declared or {}), **further}
    known = inspect.signature(only).parameters
    for name in allowed:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConformanceError(f"supports has {name!r}; {hint}known are {', '.join(known)}")
    for name, value in allowed.items():
        allowed[name] = tuple(value) if isinstance(value, list) else value
    return only(**allowed) if allowed else None


def operators_in(declared: Mapping[str, Any], where: str) -> list[str]:
    """Return the operators that are declared; raise `PluginError` where that is no list of them."""
    listed = declared.get("operators")
    if not isinstance(listed, list) or not listed:
        raise PluginError(
            f'{where}: it declares no operators; "operators" is a list of some of '
            f"{', '.join(SIGNATURES)}"
        )
    for operator in listed:
        if operator not in SIGNATURES:
            hint = did_you_mean(str(operator), SIGNATURES)
            raise PluginError(
                f"{where}: it declares the operator {operator!r}; {hint}known are "
                f"{', '.join(SIGNATURES)}"
            )
    return listed
