"""What a run has not reached of the implementations' own sources, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.reports.text import plural
from conformance.runfile.tables import Source


def unreached(source: Source) -> str:
    """Return what no call has executed, such as "my_conv.py 41-47 were never executed", or ""."""
    return "; ".join(_unreached(source))


def sentences(source: Source) -> str:
    """Return all that is known of a file in one line: how much was executed, and what was not."""
    executed = f"{source.executed:,} of {plural(source.statements, 'statement')} executed"
    parts = [f"{source.file}: {executed}", *_unreached(source)]
    if source.raising:
        parts.append(f"{source.raising} only by calls that raised")
    if source.beyond:
        parts.append(f"no case is cheap enough to have a size of {source.beyond}")
    return "; ".join(parts)


def _unreached(source: Source) -> Iterator[str]:
    if source.never:
        verb = "were" if {*source.never} & {*",-"} else "was"
        measured = " in the calls that were measured" if source.partial else ""
        yield f"{source.file} {source.never} {verb} never executed{measured}"
    if source.always:
        conditions = "conditions" if "," in source.always else "condition"
        verb = "were" if "," in source.always else "was"
        where = f"{source.file} {source.always}" if not source.never else source.always
        yield f"the {conditions} of {where} {verb} never false"
