"""Mistakes in spec files: each is one line that names file, entry, field and what is allowed."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.cases.draft import least_work
from conformance.errors import SpecError
from conformance.requirements import CHECKS
from conformance.spec import Ranges, Tier, load

CASE = """
[[case]]
name = "mine"
operator = "conv"
x = [1, 2, 5]
w = [4, 2, 3]
"""
CHECK_NAMES = ", ".join(f'"{check}"' for check in CHECKS)
KERNELS = "a list of 1 to 8 whole numbers, each 1 to 16"


def write(folder: Path, text: str, name: str = "my.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    """Return what is said of the file at ``path``, without its folder."""
    with pytest.raises(SpecError) as caught:
        load(path)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[rangs]\nkernel = [1]",
            'table "rangs" is unknown; did you mean ranges? allowed: ranges, tiers, suites, case, '
            "other",
        ),
        (
            "kernel = [1]",
            'table "kernel" is unknown; allowed: ranges, tiers, suites, case, other',
        ),
        ("ranges = 3", "ranges = 3; allowed: a table, written [ranges]"),
        (
            "[ranges]\nkernal = [1]",
            '[ranges]: field "kernal" is unknown; did you mean kernel? allowed: '
            + ", ".join(field.name for field in fields(Ranges)),
        ),
        (
            '[ranges]\nkernel = "3"',
            f'[ranges]: kernel = "3"; allowed: {KERNELS}',
        ),
        (
            "[ranges]\nkernel = 3",
            f"[ranges]: kernel = 3; allowed: {KERNELS}",
        ),
        (
            "[ranges]\nkernel = []",
            f"[ranges]: kernel = []; allowed: {KERNELS}",
        ),
        (
            "[ranges]\nkernel = [1000]",
            f"[ranges]: kernel = [1000]; allowed: {KERNELS}",
        ),
        (
            "[ranges]\nkernel = [1, 2.0]",
            f"[ranges]: kernel = [1, 2.0]; allowed: {KERNELS}",
        ),
        (
            "[ranges]\nkernel = [true]",
            f"[ranges]: kernel = [true]; allowed: {KERNELS}",
        ),
        (
            "[ranges]\nstride = [1, 2, 3, 4, 5, 6, 7]",
            "[ranges]: stride = [1, 2, 3, 4, 5, 6, 7]; allowed: a list of 1 to 6 whole numbers, "
            "each 1 to 16",
        ),
        (
            "[ranges]\nkernel = [1, 3, 1]",
            "[ranges]: kernel = [1, 3, 1]; allowed: each value once (1 is there twice)",
        ),
        (
            "[ranges]\ndims = [1, 4]",
            "[ranges]: dims = [1, 4]; allowed: a list of 1 to 3 whole numbers, each 1 to 3",
        ),
        (
            '[ranges]\ndtypes = ["float23"]',
            '[ranges]: dtypes = ["float23"]; allowed: a list of one or more of "float32", '
            '"float64", "float16", "bfloat16"; did you mean float32?',
        ),
        (
            "[ranges]\ndata = []",
            '[ranges]: data = []; allowed: a list of one or more of "integers", "impulse", '
            '"digits", "normal", "small", "wide"',
        ),
        (
            '[ranges]\ndata = ["wide", "wide"]',
            '[ranges]: data = ["wide", "wide"]; allowed: each value once ("wide" is there twice)',
        ),
        (
            "[ranges]\nboundary_share = 1.5",
            "[ranges]: boundary_share = 1.5; allowed: a number, 0 to 1",
        ),
        (
            "[ranges]\nboundary_share = nan",
            "[ranges]: boundary_share = NaN; allowed: a number, 0 to 1",
        ),
        (
            "[ranges]\nboundary_share = true",
            "[ranges]: boundary_share = true; allowed: a number, 0 to 1",
        ),
        (
            "[ranges]\nseeds = 0",
            "[ranges]: seeds = 0; allowed: a whole number, 1 to 10000",
        ),
        (
            "[ranges]\nseeds = [1]",
            "[ranges]: seeds = [1]; allowed: a whole number, 1 to 10000",
        ),
        (
            "[ranges]\nwork = 999",
            "[ranges]: work = 999; allowed: a whole number, 1000 to 100000000",
        ),
        (
            "[ranges]\nkernel = [16]\nwork = 5000",
            f"[ranges]: work = 5000; allowed: {least_work(Ranges(kernel=(16,)))} or more, what the "
            "smallest case with kernel 16 in 3 dimensions may cost",
        ),
        ("tiers = []", "tiers = []; allowed: a table, written [tiers]"),
        (
            "[tiers]\nfull = 3",
            "[tiers]: full = 3; allowed: a table, written [tiers.full]",
        ),
        (
            "[tiers.full]\nexample = 3",
            '[tiers.full]: field "example" is unknown; did you mean examples? allowed: '
            + ", ".join(field.name for field in fields(Tier)),
        ),
        (
            "[tiers.full]\nexamples = -1",
            "[tiers.full]: examples = -1; allowed: a whole number, 0 to 1000000",
        ),
        (
            '[tiers.full]\nseconds = "2"',
            '[tiers.full]: seconds = "2"; allowed: a number, 0.001 to 100000',
        ),
        (
            '[tiers.full]\nsuites = ["edges"]',
            '[tiers.full]: suites = ["edges"]; allowed: a list of "smoke", "edge", "networks"; '
            "did you mean edge?",
        ),
        (
            '[tiers.full]\nsuites = "edge"',
            '[tiers.full]: suites = "edge"; allowed: a list of "smoke", "edge", "networks"',
        ),
        (
            "[tiers.full]\nchecks = []",
            f"[tiers.full]: checks = []; allowed: a list of one or more of {CHECK_NAMES}",
        ),
        (
            "[tiers.full]\nsummary = 3",
            "[tiers.full]: summary = 3; allowed: a text in quotes, of one line",
        ),
        (
            "[suites]\nother = 3",
            "[suites]: other = 3; allowed: a text in quotes, of one line",
        ),
        (
            '[suites]\nother = "nowhere.toml"',
            '[suites]: other = "nowhere.toml"; allowed: a TOML file; nowhere.toml is none',
        ),
        (
            '[suites]\nspec = "my.toml"',
            "[suites]: spec is the suite of the file's own [[case]] tables; allowed: another name",
        ),
        ("[case]\nname = 3", 'case = {"name": 3}; allowed: tables, each written [[case]]'),
        ("case = []", "no case; allowed: one or more, each a table written [[case]]"),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    assert refusal(write(tmp_path, text)) == f"my.toml: {expected}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('name = "mine"', ""), "[[case]] number 1: name is missing; allowed: name, operator"),
        (('"mine"', "3"), "[[case]] number 1: name = 3; allowed: a text in quotes, of one line"),
        (('"mine"', '"two\\nlines"'), '[[case]] number 1: name = "two\\nlines"; allowed: a text'),
        (('"conv"', '"deconv"'), '"mine": operator = "deconv"; allowed: one of conv, conv_'),
        (('"conv"', '"conv_input_grad"'), "one of conv, conv_transpose, max_pool, avg_pool"),
        (("x = ", "y = "), '"mine": field "y" is unknown; allowed: name, operator, x, w,'),
        (("x =", 'data = "normal"\nx ='), '"mine": field "data" is unknown;'),
        (("x = [1, 2, 5]", ""), '"mine": x is missing'),
        (("[1, 2, 5]", "[1, 2]"), "x = [1, 2]; allowed: a list of 3 to 5 whole numbers, each 0 to"),
        (("[1, 2, 5]", "[1, 2, -5]"), "x = [1, 2, -5]; allowed: a list of 3 to 5 whole numbers"),
        (("[1, 2, 5]", "[1, 0, 5]"), "x=(1, 0, 5); allowed: axes of 1 or more; only the batch"),
        (("[4, 2, 3]", "[4, 2]"), "w = [4, 2]; allowed: a list of 3 whole numbers, each 1 to"),
        (("[4, 2, 3]", "[4, 3, 3]"), "w=(4, 3, 3); allowed: (O, C/groups, *K), matching x=(1, 2,"),
        (("[4, 2, 3]", "[4, 2, 9]"), "w=(4, 2, 9); allowed: a kernel that, dilated, fits"),
        (("w =", "stride = 2\nw ="), "stride = 2; allowed: a list of 1 whole number, each 1 to"),
        (("w =", "stride = [1, 1]\nw ="), "stride = [1, 1]; allowed: a list of 1 whole number"),
        (("w =", "padding = [1, 1]\nw ="), "padding = [1, 1]; allowed: 1 pair [before, after]"),
        (("w =", "padding = [[1]]\nw ="), "padding = [[1]]; allowed: 1 pair [before, after]"),
        (("w =", "padding = [[1, -1]]\nw ="), "padding = [[1, -1]]; allowed: pairs of whole"),
        (("w =", "padding = [[1, true]]\nw ="), "padding = [[1, true]]; allowed: pairs of whole"),
        (("w =", "padding = 1\nw ="), "padding = 1; allowed: 1 pair [before, after]"),
        (("w =", "groups = 3\nw ="), "groups=3; allowed: a divisor of the 2 input channels"),
        (("w =", "groups = 0\nw ="), "groups = 0; allowed: a whole number, 1 to"),
        (("w =", "bias = 1\nw ="), "bias = 1; allowed: true or false"),
        (("w =", "kernel = [3]\nw ="), "kernel=(3,); allowed: left out: conv has no such"),
        (("w =", "output_padding = [1]\nw ="), "allowed: left out: conv has no such parameter"),
        (("w =", "why = 3\nw ="), "why = 3; allowed: a text in quotes, of one line"),
        (("w =", "count = 0\nw ="), "count = 0; allowed: a whole number, 1 to"),
        (("[1, 2, 5]", "[300000, 2, 999]"), "x (300000, 2, 999) is too large; allowed: 268435456"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_case_is_told_in_one_line(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    found = refusal(write(tmp_path, CASE.replace(*change)))

    assert found.startswith("my.toml: [[case]] ")
    assert expected in found
    assert found.isprintable()


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    found = refusal(write(tmp_path, CASE + CASE))

    assert found == (
        'my.toml: [[case]] number 2: name = "mine"; allowed: a name that no other case of the file '
        "has"
    )


def test_a_mistake_in_a_suite_names_its_file(tmp_path: Path) -> None:
    """It is told at once, before the suite is asked for."""
    write(tmp_path, CASE.replace("[4, 2, 3]", "[]"), "other.toml")

    found = refusal(write(tmp_path, '[suites]\nother = "other.toml"\n'))

    assert found.startswith(
        'other.toml: [[case]] "mine": w = []; allowed: a list of 3 whole numbers'
    )


def test_a_suite_holds_nothing_but_cases_and_others(tmp_path: Path) -> None:
    write(tmp_path, "[ranges]\n", "other.toml")

    found = refusal(write(tmp_path, '[suites]\nother = "other.toml"\n'))

    assert found == 'other.toml: table "ranges" is unknown; allowed: case, other'


def test_text_that_is_no_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    found = refusal(write(tmp_path, "[ranges]\nkernel = [1,\n= 3"))

    assert found.startswith("my.toml: not TOML: ")
    assert "line 3" in found


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    found = refusal(write(tmp_path, "[ranges]\nseeds = 1\nseeds = 2\n"))

    assert found.startswith("my.toml: not TOML: Cannot overwrite a value (at line 3")


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "a = " + "[" * 100_000)).startswith("my.toml: not TOML: ")


def test_bytes_that_are_no_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(b"[ranges]\n# caf\xe9\n")

    assert refusal(path) == "my.toml: line 2 is not UTF-8; allowed: UTF-8 text"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "my.toml") == "my.toml: no such file; allowed: a TOML file"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith(": a folder; allowed: a TOML file")


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(SpecError, match="cannot be read: "):
        load("nul\0.toml")


ANY_FIELD = [field.name for field in fields(Ranges)]
ANY_FIELD += ["examples", "suites", "name", "operator", "x", "w", "groups", "padding", "bias"]
ANY_FIELD += ['"\\n"', '""']

toml = st.recursive(
    st.sampled_from(
        ["1", "-1", "0", "1.5", "nan", "true", '"conv"', '""', "2020-01-01", "[[0, 0]]"]
    ),
    lambda inner: st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    entry=st.sampled_from(["[ranges]", "[tiers.full]", "[suites]", "[[case]]", "[[tiers]]"]),
    values=st.dictionaries(
        st.sampled_from(ANY_FIELD),
        toml,
        max_size=4,
    ),
)
def test_any_file_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, entry: str, values: dict[str, str]
) -> None:
    lines = [entry, *(f"{field} = {value}" for field, value in values.items())]
    path = write(tmp_path_factory.getbasetemp(), "\n".join(lines))
    refused = ""

    try:
        load(path)
    except SpecError as error:
        refused = str(error)

    assert refused.isprintable()
    assert refused == "" or "allowed: " in refused


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[ranges]\ndtypes = ["fp32"]', "did you mean float32?"),
        ('[ranges]\ndata = ["normals"]', "did you mean normal?"),
        ('[tiers.smoke]\nchecks = ["layouts"]', "did you mean layout?"),
        ('[tiers.smoke]\nsuites = ["edges"]', "did you mean edge?"),
        ('[[case]]\nname = "a"\noperator = "Conv2d"\nx = [1, 1, 1]', "did you mean conv?"),
    ],
)
def test_a_wrong_name_in_a_spec_file_gets_a_suggestion(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)

    with pytest.raises(SpecError, match=re.escape(told)):
        load(file)
