"""A tester's own cases can be all that is judged; they are timed, and their names are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.cli import main
from conformance.isolation.dispatch import close_all

ROOT = Path(__file__).parents[1]
WRONG = str(ROOT / "examples" / "ignores_dilation.py")
SUITE = """
[[case]]
name = "first-layer"
operator = "conv"
x = [1, 3, 16, 16]
w = [4, 3, 3, 3]
dilation = [2, 2]

[[case]]
name = "large-layer"
operator = "conv"
x = [1, 32, 56, 56]
w = [32, 32, 3, 3]
dilation = [2, 1]

[[case]]
name = "right-layer"
operator = "conv"
x = [2, 3, 9, 9]
w = [4, 3, 3, 3]

[[case]]
name = "alexnet/conv1"
operator = "max_pool"
x = [1, 3, 16, 16]
kernel = [2, 2]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_registry: Any) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # `time` sets them: put them back
    Path("mine.toml").write_text('[suites]\nmine = "layers.toml"\n')
    Path("layers.toml").write_text(SUITE)
    Path("cases.toml").write_text(SUITE)
    yield tmp_path
    close_all()


def output(capsys: Any, *arguments: str) -> str:
    main(arguments)
    return str(capsys.readouterr().out)


def judged(capsys: Any, *arguments: str) -> dict[str, Any]:
    told = json.loads(output(capsys, "run", "--json", *arguments))
    (one,) = told["implementations"]
    return one  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "chosen",
    [("--spec", "mine.toml"), ("--spec", "cases.toml"), ("--spec", "mine.toml", "--suite", "mine")],
    ids=["suite", "cases", "named"],
)
def test_the_users_own_cases_can_be_all_that_is_judged(
    capsys: Any, chosen: tuple[str, ...]
) -> None:
    one = judged(capsys, "-i", "im2col", "-o", "conv,max_pool", "--only-suites", *chosen)
    planned = {(c["operator"], c["dims"], c["dtype"]): c["planned"] for c in one["cells"]}

    # On integers and on a normal distribution; the large one on integers, in one dtype.
    expected = {("conv", 2, "float32"): 5, ("conv", 2, "float64"): 4}
    expected |= {("max_pool", 2, dtype): 2 for dtype in ("float32", "float64")}
    assert expected == planned
    assert "conforms" == one["verdict"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--only-suites",), "there is none; choose some with --suite"),
        (("--only-suites", "--spec", "mine.toml", "-n", "3"), "examples=3, and only suites"),
    ],
)
def test_suites_alone_need_a_suite_and_no_examples(
    capsys: Any, arguments: tuple[str, ...], told: str
) -> None:
    assert 2 == main(["run", "-i", "im2col", *arguments])
    assert told in capsys.readouterr().err


def test_a_violation_names_the_users_own_cases_in_every_output(capsys: Any) -> None:
    arguments = ("--plugin", WRONG, "--spec", "mine.toml", "--only-suites", "--dtype", "float32")
    text = " ".join(output(capsys, "run", *arguments).split())
    named = "case 'first-layer' of suite 'mine'"
    one = judged(capsys, *arguments)
    found = {v["named"] for cell in one["cells"] for v in cell["violations"]}

    assert f"found by {named}" in text
    assert f"found by {named}" in " ".join(Path("convformance-run/report.md").read_text().split())
    assert "&#39;first-layer&#39; of suite" in Path("convformance-run/report.html").read_text()
    assert "'right-layer'" not in text
    assert any(named in names for names in found)


def test_a_large_case_is_named_even_where_a_part_of_it_was_judged(capsys: Any) -> None:
    text = SUITE.replace("dilation = [2, 2]\n", "")
    Path("layers.toml").write_text(text)
    arguments = ("--plugin", WRONG, "--spec", "mine.toml", "--only-suites", "-o", "conv")
    one = judged(capsys, *arguments)
    found = {v["named"] for cell in one["cells"] for v in cell["violations"]}

    assert {"case 'large-layer' of suite 'mine'"} == found


def test_the_users_own_layers_are_those_that_are_timed(capsys: Any) -> None:
    out = output(capsys, "time", "--spec", "mine.toml", "-i", "im2col", "--rounds", "2", "--json")
    layers = {timing["layer"]: timing["verified"] for timing in json.loads(out)["timings"]}

    names = ("first-layer", "large-layer", "right-layer", "alexnet/conv1")
    assert dict.fromkeys(names, "conforms") == layers


def test_the_users_own_layers_are_listed_first_and_all_names_differ(capsys: Any) -> None:
    lines = output(capsys, "time", "--spec", "cases.toml", "--list-layers").splitlines()
    names = [line.split()[0] for line in lines]

    assert ["first-layer", "large-layer", "right-layer", "alexnet/conv1"] == names[:4]
    assert "networks/alexnet/conv1" in names
    assert len({*names}) == len(names)


def test_a_layer_of_the_users_own_can_be_chosen(capsys: Any) -> None:
    out = output(capsys, "time", "--spec", "mine.toml", "--list-layers", "right*", "--json")

    assert ["right-layer"] == [layer["layer"] for layer in json.loads(out)["layers"]]
