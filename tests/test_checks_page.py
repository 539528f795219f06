"""The page on checks: what it shows of each is what is judged now."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from benchmarks.caught import EXAMPLES, PAGE, Example, implementation_of, judged, shown
from conformance.isolation.dispatch import close_all
from conformance.requirements import CHECKS, check_of


@pytest.fixture(scope="module", autouse=True)
def workers() -> Iterator[None]:
    yield
    close_all()


def test_the_page_has_every_check_in_their_order() -> None:
    headings = re.findall(r"^## (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert [*CHECKS] == headings == [example.check for example in EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.check)
def test_the_page_shows_what_the_check_says_of_the_defect(example: Example) -> None:
    implementation = implementation_of(example)
    if implementation is None:
        pytest.skip("no C compiler")
    verdict = judged(example, implementation)

    assert verdict is not None
    assert check_of(verdict.requirement or "") == example.check
    part = f"<!-- {example.check} -->\n{shown(example, verdict)}<!-- /{example.check} -->"
    assert part in PAGE.read_text(encoding="utf-8"), "python -m benchmarks.caught --write"
