"""A defect that each check has caught, on its smallest case: the examples of docs/checks.md.

    python -m benchmarks.caught            the examples, as they are judged now
    python -m benchmarks.caught --write    and write them into docs/checks.md

`tests/test_checks_page.py` holds the page to what is judged.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np

from conformance.case import Case
from conformance.checks.relations import relate
from conformance.checks.repeat import judge_named_history
from conformance.isolation.dispatch import called_in_worker, close_all
from conformance.judging import HISTORY_OF_RELATIONS, Verdict, judge
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits, Place
from conformance.requirements import requirements
from conformance.running.citing import cite
from tests.defects import defects, unregistered

PAGE = Path(__file__).parents[1] / "docs" / "checks.md"
HOSTILE = Path(__file__).parents[1] / "tests" / "hostile" / "kernels.py"


@dataclass(frozen=True, slots=True)
class Example:
    """A check, the name of a defect of `tests.defects`, and the case that shows it."""

    check: str
    defect: str
    case: str
    history: str = ""
    """The series of calls that shows it, where one call does not."""


EXAMPLES = (
    Example(
        "result",
        "bias-dropped-with-groups",
        "conv1d:float32:x=1,2,1:w=2,1,1:bias:groups=2:integers@0",
    ),
    Example("purity", "input-rectified-in-place", "max_pool1d:float32:x=1,1,1:kernel=1:integers@0"),
    Example(
        "repeat", "result-cached-by-shape", "conv1d:float32:x=1,1,2:w=1,1,1:integers@0", "data"
    ),
    Example(
        "layout",
        "negative-strides-ignored",
        "max_pool1d:float32:x=1,1,2:kernel=1:memory=reversed:integers@0",
    ),
    Example(
        "special", "nan-becomes-the-largest-number", "max_pool1d:float32:x=1,1,1:kernel=1:nan@0"
    ),
    Example(
        "reject",
        "stride-zero-taken-for-one",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=stride-zero:integers@0",
    ),
    Example(
        "declare",
        "asymmetric-padding-refused",
        "avg_pool1d:float32:x=1,1,1:kernel=2:padding=1/0:integers@0",
    ),
    Example("integer", "int32-conv-through-float32", "conv1d:int32:x=1,1,1:w=1,1,1:integers@2"),
    Example(
        "relations",
        "planes-counted-in-16-bits",
        "max_pool1d:float32:x=257,257,1:kernel=1:integers@0",
        HISTORY_OF_RELATIONS,
    ),
    Example("process", "segfaults", "conv1d:float32:x=1,1,1:w=1,1,1:stride=2:integers@0"),
    Example(
        "memory",
        "one-element-past-the-input",
        "conv1d:float32:x=1,1,1:w=1,1,1:padding=0/1:integers@0",
    ),
)


def implementation_of(example: Example) -> Implementation | None:
    """Return the wrong implementation; None where it takes a compiler that is not there."""
    if example.check == "process":
        place = Place(sys.executable, ("file", str(HOSTILE)), example.defect, Limits())
        return called_in_worker(unregistered(example.defect, {"conv": _elsewhere}, {}), place)
    found = (defect for defect in defects() if defect.name == example.defect)
    return next((defect.implementation() for defect in found), None)


def _elsewhere(*arguments: object, **parameters: object) -> None:
    raise AssertionError("called in this process")


@np.errstate(all="ignore")
def judged(example: Example, implementation: Implementation) -> Verdict | None:
    """Return the verdict that a report has on the defect's case; None if nothing is wrong."""
    case = Case.parse(example.case)
    if example.history == HISTORY_OF_RELATIONS:
        found = (v for v in relate(implementation, case) if v.failed)
        return next(found, None)
    if example.history:
        return judge_named_history(implementation, case, example.history)
    verdict = judge(implementation, case)
    return cite(implementation, verdict, case) if verdict.failed else None


def shown(example: Example, verdict: Verdict) -> str:
    """Return an example as the page has it."""
    requirement = verdict.requirement or ""
    # Where in a file something happened, and how much of a page was left, differs between machines.
    unsteady = r",? in \w+ \(.*?\)|\(?/[^ )]+\)?| up to \d+ bytes"
    message = re.sub(unsteady, "", verdict.message).replace("\n", " ")
    text = (
        f"{verdict.status}  {example.defect}, {verdict.case.operator}: {requirement}: "
        f"{requirements()[requirement].title}\n"
        f"{fill(message, 92, initial_indent='  ', subsequent_indent='  ')}\n{example.case}"
    )
    return f"```text\n{text}\n```\n"


def written(page: str) -> str:
    """Return the page with the examples as they are judged now."""
    for example in EXAMPLES:
        implementation = implementation_of(example)
        if implementation is None:
            continue
        verdict = judged(example, implementation)
        assert verdict is not None, example
        start, end = f"<!-- {example.check} -->\n", f"<!-- /{example.check} -->"
        before, _, rest = page.partition(start)
        _, _, after = rest.partition(end)
        page = f"{before}{start}{shown(example, verdict)}{end}{after}"
    close_all()
    return page


def main() -> None:
    """Print the examples, or write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    page = written(PAGE.read_text(encoding="utf-8"))
    if parser.parse_args().write:
        PAGE.write_text(page, encoding="utf-8")
    else:
        print(page)


if __name__ == "__main__":
    main()
