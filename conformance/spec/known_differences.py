"""Known differences from a TOML file, for implementations whose file is not one's own to change.

Each entry is a table, whose fields are those of `conformance.known.KnownDifference`::

    [[known]]
    implementation = "torch"
    requirement = "RESULT-1"
    case = "conv_transpose1d:float16:x=1,4,1:w=4,1,1:normal@0"
    where = {operator = "conv_transpose", dtype = ["float16", "bfloat16"]}
    reason = "adds up in half precision"
    versions = "<2.14"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conformance.errors import RegistrationError
from conformance.known import KnownDifference
from conformance.toml import Table, parse, read, show

_TEXTS = ("implementation", "requirement", "case", "reason")
_FIELDS = (*_TEXTS, "where", "link", "versions", "fatal", "unsteady")


def read_known(path: str | Path) -> dict[str, tuple[KnownDifference, ...]]:
    """Return the entries of a file by implementation; raise `SpecError`, in one line, naming it."""
    file = Path(path)
    document = parse(read(file), str(path))
    document.only(("known",), "table")
    found: dict[str, tuple[KnownDifference, ...]] = {}
    for number, values in enumerate(document.tables("known", "[[known]]"), 1):
        table = Table(str(path), f"[[known]] {number}", values)
        table.only(_FIELDS)
        for field in (*_TEXTS, "where"):
            if field not in values:
                raise table.failure(
                    f"{field} is missing; each entry has {', '.join(_TEXTS)}, where"
                )
        texts: dict[str, Any] = {
            name: table.text(name) for name in (*_TEXTS, "link", "versions") if name in values
        }
        name = texts.pop("implementation")
        if not isinstance(values["where"], dict):
            raise table.error("where", 'a table, such as {operator = "conv", groups = ">1"}')
        flags = {name: values.get(name, False) for name in ("fatal", "unsteady")}
        for flag, value in flags.items():
            if not isinstance(value, bool):
                raise table.error(flag, "true or false")
        try:
            entry = KnownDifference(
                texts.pop("requirement"), where=values["where"], **flags, **texts
            )
        except RegistrationError as problem:
            raise table.failure(str(problem)) from None
        found[name] = (*found.get(name, ()), entry)
    if not found:
        raise document.failure(f"{show('known')} has no entry; write tables [[known]]")
    return found
