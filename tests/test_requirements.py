"""SPEC.md as data: numbering, conventions, and which requirement speaks of which parameter."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from conformance.errors import ConformanceError
from conformance.operators import OPERATORS
from conformance.requirements import (
    conventions,
    parse,
    requirement,
    requirements,
)
from conformance.signatures import SIGNATURES

GROUPS = [
    "RESULT",
    "CONV",
    "TRANSPOSE",
    "MAXPOOL",
    "AVGPOOL",
    "EMPTY",
    "GRAD",
    "PURE",
    "REPEAT",
    "LAYOUT",
    "SPECIAL",
    "REJECT",
    "INTEGER",
    "RELATE",
    "PROCESS",
    "MEMORY",
    "DECLARE",
]
MUST = "### CONV-1: a title (MUST)\n\nA rule.\n"


def test_the_groups_come_in_their_order() -> None:
    """SPEC.md has the groups that the suite cites, each in one place."""
    groups = [id.partition("-")[0] for id in requirements()]

    assert [group for group, _ in itertools.groupby(groups)] == GROUPS


@pytest.mark.parametrize("group", GROUPS)
def test_numbers_run_from_one_without_gaps(group: str) -> None:
    """A number is never left out, so a reader knows that none is missing."""
    numbers = [int(id.partition("-")[2]) for id in requirements() if id.startswith(f"{group}-")]

    assert numbers == list(range(1, len(numbers) + 1))


def test_every_requirement_has_a_rule_and_a_title_of_its_own() -> None:
    """Each one says something before its rationale, and none repeats a title within its group."""
    titles = [(r.id.partition("-")[0], r.title) for r in requirements().values()]

    assert [r.id for r in requirements().values() if not r.rule] == []
    assert len(set(titles)) == len(titles)


def test_every_requirement_that_is_mentioned_exists() -> None:
    """No sentence of SPEC.md refers to a number that is not there."""
    mentioned = {
        id
        for r in requirements().values()
        for id in re.findall(rf"\b(?:{'|'.join(GROUPS)})-\d+\b", r.text)
    }

    assert sorted(mentioned - requirements().keys()) == []


def test_conventions_name_a_default_among_their_alternatives() -> None:
    """A convention leaves a choice and says what holds for those who make none."""
    for name, r in conventions().items():
        assert (r.kind, r.convention) == ("convention", name)
        assert len(set(r.alternatives)) == len(r.alternatives) >= 2
        assert r.default in r.alternatives


def test_the_conventions_are_those_that_can_be_declared() -> None:
    """The names are part of the interface: implementations declare them."""
    expected = {"nan", "tie", "subnormal", "pool_padding", "mixed_dtypes", "zero_channels"}

    assert expected == set(conventions())


def test_a_must_has_no_alternatives() -> None:
    """Only conventions may be declared otherwise."""
    musts = [r for r in requirements().values() if r.kind == "must"]

    assert [r.id for r in musts if r.convention or r.alternatives or r.default] == []


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_parameter_is_attributed_to_a_requirement_that_exists(operator: str) -> None:
    """Whatever stays in a shrunk case, there is a requirement to cite."""
    ids = OPERATORS[operator].requirements.values()

    assert [id for id in ids if id not in requirements()] == []
    assert {"value", "size"} <= OPERATORS[operator].requirements.keys()


@pytest.mark.parametrize("operator", SIGNATURES)
def test_every_parameter_of_a_signature_is_attributed(operator: str) -> None:
    """A parameter added to an operator needs a requirement."""
    signature = SIGNATURES[operator]
    needed = {*signature.parameters} | ({"bias"} & {*signature.arguments})

    assert sorted(needed - OPERATORS[operator].requirements.keys()) == []


def test_a_requirement_is_found_by_its_id() -> None:
    """The heading's parts arrive in the fields."""
    found = requirement("MAXPOOL-5")

    assert found.title == "NaN in a window"
    assert (found.kind, found.convention) == ("convention", "nan")
    assert (found.alternatives, found.default) == (("propagate", "ignore"), "propagate")


def test_the_rule_leaves_out_what_is_informative() -> None:
    """A verdict quotes the rule; the page shows all of the text."""
    markdown = (
        MUST + "\n*Rationale.* Why.\n\n*Where frameworks differ.* How.\n\n## Next\n\nNot this."
    )
    found = parse(markdown)["CONV-1"]

    assert found.rule == "A rule."
    assert found.text.startswith("A rule.")
    assert found.text.endswith("How.")


@pytest.mark.parametrize("id", ["CONV-99", "conv-3", "NOSUCH-1", ""])
def test_an_unknown_id_is_an_error_that_names_what_is_known(id: str) -> None:
    """The message helps with a wrong number, a wrong case and a wrong group."""
    with pytest.raises(ConformanceError, match=rf"'{id}' is unknown; .*known are .*CONV-"):
        requirement(id)


def test_a_requirement_cannot_be_changed() -> None:
    """The normative text is the same for everybody who reads it in one process."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        requirement("CONV-1").title = "another"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("heading", "problem"),
    [
        ("### CONV-2: no kind", "is no requirement"),
        ("### CONV-02: a number with a zero (MUST)", "is no requirement"),
        ("### CONV-2: a title (convention `nan`: `one` (default))", "two or more"),
        ("### CONV-2: a title (convention `nan`: `one`, `two`)", "one of them the default"),
        ("### CONV-2: a title (convention `nan`: `one` (default), `one`)", "two or more"),
        ("### CONV-2: a title (convention `nan`: `one` (default), two)", "two or more"),
        ("### CONV-1: the same again (MUST)", "CONV-1 is there twice"),
    ],
)
def test_a_bad_heading_is_an_error_that_names_its_line(heading: str, problem: str) -> None:
    """Whoever edits SPEC.md is told where it went wrong and what would be right."""
    with pytest.raises(ConformanceError, match=rf"^SPEC\.md:5: .*{problem}"):
        parse(f"# Title\n{MUST}{heading}\n")
