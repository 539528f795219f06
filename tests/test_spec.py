"""Spec files: what they may say, and what they leave as it is."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from conformance.case import Case
from conformance.cases.ranges import LIMITS
from conformance.errors import SpecError
from conformance.spec import Ranges, Spec, load, packaged_text

CASE = """
[[case]]
name = "mine"
operator = "conv"
x = [1, 2, 5]
w = [4, 2, 3]
"""


def write(folder: Path, text: str, name: str = "my.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# --- the packaged spec --------------------------------------------------------------------------


def test_the_packaged_spec_as_text_reads_as_the_packaged_spec(tmp_path: Path) -> None:
    packaged, own = load(), load(write(tmp_path, packaged_text()))

    assert own == replace(packaged, source=own.source, suites=own.suites)
    assert {*packaged.suites} == {*own.suites}


def test_what_is_changed_in_the_packaged_spec_as_text_is_changed(tmp_path: Path) -> None:
    changed = packaged_text().replace("\nkernel = [1, 2, 3, 4, 5]\n", "\nkernel = [3]\n")
    own = load(write(tmp_path, changed))

    assert own.ranges == replace(load().ranges, kernel=(3,))


def test_the_packaged_ranges_are_the_defaults_in_code() -> None:
    assert load().ranges == Ranges()


def test_the_packaged_spec_has_three_tiers_each_larger_than_the_one_before() -> None:
    tiers = load().tiers

    assert list(tiers) == ["smoke", "default", "full"]
    assert sorted(tiers.values(), key=lambda t: (t.examples, t.seconds)) == list(tiers.values())
    assert all(tier.summary for tier in tiers.values())


@pytest.mark.parametrize("name", ["smoke", "edge", "networks"])
def test_every_packaged_suite_reads(name: str) -> None:
    suite = load().suite(name)

    assert suite.name == name
    assert len(suite.cases) > 40


def test_a_suite_is_not_parsed_before_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite of network layers is large, and seldom needed."""
    parsed = []
    monkeypatch.setattr("conformance.spec.suite.parse", lambda data, file: parsed.append(file))

    spec = load()

    assert "networks" in spec.suites
    assert parsed == []


def test_limits_name_fields_of_the_ranges() -> None:
    assert set(LIMITS) | {"dtypes", "data", "boundary_share"} == {f.name for f in fields(Ranges)}


# --- a file laid over it ------------------------------------------------------------------------


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    spec, default = load(write(tmp_path, "")), load()

    assert (spec.ranges, spec.tiers, spec.digest) == (default.ranges, default.tiers, default.digest)


def test_ranges_that_are_left_out_stay(tmp_path: Path) -> None:
    spec = load(write(tmp_path, "[ranges]\nkernel = [1, 7]\nboundary_share = 0\n"))

    assert spec.ranges == Ranges(kernel=(1, 7), boundary_share=0.0)


def test_a_tier_keeps_what_is_left_out(tmp_path: Path) -> None:
    spec = load(write(tmp_path, "[tiers.default]\nexamples = 7\n"))

    assert spec.tiers["default"].examples == 7
    assert spec.tiers["default"].suites == load().tiers["default"].suites


def test_a_new_tier_takes_what_is_left_out_from_default(tmp_path: Path) -> None:
    spec = load(write(tmp_path, '[tiers.nightly]\nseconds = 60\nsuites = ["smoke", "edge"]\n'))

    default = load().tiers["default"]
    assert spec.tiers["nightly"] == replace(
        default, seconds=60.0, suites=("smoke", "edge"), summary=""
    )


def test_a_tier_says_which_checks_it_has(tmp_path: Path) -> None:
    spec = load(write(tmp_path, '[tiers.quick]\nchecks = ["result", "layout"]\n'))

    assert spec.tiers["quick"].checks == ("result", "layout")


def test_cases_of_the_file_itself_are_a_suite_of_every_tier(tmp_path: Path) -> None:
    spec = load(write(tmp_path, CASE))

    assert [entry.name for entry in spec.suite("spec").cases] == ["mine"]
    assert all(tier.suites[-1] == "spec" for tier in spec.tiers.values())


def test_a_suite_is_added_from_a_file_beside(tmp_path: Path) -> None:
    write(tmp_path, CASE, "other.toml")
    spec = load(write(tmp_path, '[suites]\nother = "other.toml"\n'))

    assert spec.suite("other").cases[0].case == Case(operator="conv", x=(1, 2, 5), w=(4, 2, 3))
    assert "edge" in spec.suites


def test_a_packaged_suite_can_be_replaced(tmp_path: Path) -> None:
    write(tmp_path, CASE, "other.toml")
    spec = load(write(tmp_path, '[suites]\nedge = "other.toml"\n'))

    assert len(spec.suite("edge").cases) == 1


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    spec = load(write(tmp_path, "\ufeff[ranges]\nseeds = 3\n"))

    assert spec.ranges.seeds == 3


def test_a_spec_says_where_it_is_from(tmp_path: Path) -> None:
    path = write(tmp_path, "")

    assert (load().source, load(path).source, load(str(path)).source) == (
        "default",
        str(path),
        str(path),
    )


def test_an_unknown_suite_is_refused_with_those_known() -> None:
    with pytest.raises(SpecError) as caught:
        load().suite("edges")

    told = "suite 'edges' is unknown; did you mean edge? known are smoke, edge, networks"
    assert told == str(caught.value)


# --- the digest ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[ranges]\nseeds = 99\n",
        "[ranges]\nbatch = [0, 1, 2, 3]\n",
        CASE,
        '[suites]\nother = "other.toml"\n',
    ],
)
def test_what_influences_cases_changes_the_digest(tmp_path: Path, text: str) -> None:
    write(tmp_path, CASE, "other.toml")

    assert load(write(tmp_path, text)).digest != load().digest


def test_another_case_in_a_suite_changes_the_digest(tmp_path: Path) -> None:
    path = write(tmp_path, '[suites]\nother = "other.toml"\n')
    write(tmp_path, CASE, "other.toml")
    before = load(path).digest
    write(tmp_path, CASE.replace("5", "6"), "other.toml")

    assert load(path).digest != before


def test_how_much_is_judged_does_not_change_the_digest(tmp_path: Path) -> None:
    assert load(write(tmp_path, "[tiers.default]\nexamples = 7\n")).digest == load().digest


# --- curated cases ------------------------------------------------------------------------------


def mine(folder: Path, text: str) -> Spec:
    return load(write(folder, text))


def test_a_case_has_every_field_of_its_table(tmp_path: Path) -> None:
    spec = mine(
        tmp_path,
        """
        [[case]]
        name = "everything"
        operator = "conv"
        x = [2, 4, 5, 7]
        w = [6, 2, 3, 2]
        bias = true
        stride = [2, 1]
        padding = [[1, 0], [0, 2]]
        dilation = [1, 2]
        groups = 2
        why = "all at once"
        count = 3
        provenance = "recalled"
        source = "nowhere"
        note = "only a test"
        """,
    )
    entry = spec.suite("spec").cases[0]

    assert (entry.name, entry.why) == ("everything", "all at once")
    assert entry.case == Case(
        operator="conv",
        x=(2, 4, 5, 7),
        w=(6, 2, 3, 2),
        bias=True,
        stride=(2, 1),
        padding=((1, 0), (0, 2)),
        dilation=(1, 2),
        groups=2,
    )


def test_an_average_counts_padding_where_nothing_is_said(tmp_path: Path) -> None:
    text = '[[case]]\nname = "a"\noperator = "avg_pool"\nx = [1, 1, 3]\nkernel = [2]\n'
    case = mine(tmp_path, text).suite("spec").cases[0].case

    assert case.count_include_pad is True


def test_a_case_is_expanded_to_dtypes_and_data(tmp_path: Path) -> None:
    entry = mine(tmp_path, CASE).suite("spec").cases[0]

    found = [(case.dtype, case.data) for case in entry.expand(("float32", "float16"))]

    assert found == [
        ("float32", "integers"),
        ("float32", "normal"),
        ("float16", "integers"),
        ("float16", "normal"),
    ]
