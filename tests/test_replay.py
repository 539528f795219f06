"""What `replay` prints: the verdict first, then the call as it was made, arrays abridged."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from conformance.cli import main

SMALL = "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0"
LARGE = "conv3d:float32:x=2,4,4,6,5:w=6,4,3,2,2:bias:normal@0"
INVALID = "conv2d:float32:x=1,2,4,4:w=2,2,3,3:invalid={}:integers@0"

Replay = Callable[..., list[str]]


@pytest.fixture
def replay(capsys: pytest.CaptureFixture[str], copied_registry: object) -> Replay:
    """Return a function that replays a case, and returns the lines that it prints."""

    def replay(*arguments: str) -> list[str]:
        main(("replay", *arguments))
        return capsys.readouterr().out.splitlines()

    return replay


def test_the_verdicts_come_first(replay: Replay) -> None:
    lines = replay(SMALL, "im2col", "naive")

    assert ["im2col: conforms", "naive: conforms", ""] == lines[:3]
    assert lines[3].startswith("case ")


def test_large_arrays_are_abridged_with_shape_and_dtype(replay: Replay) -> None:
    lines = replay(LARGE, "im2col")
    heads = [n for n, line in enumerate(lines) if line.startswith(("x  ", "w  ", "exact  "))]

    assert "x         float32 (2, 4, 4, 6, 5)" == lines[heads[0]]
    assert 13 >= heads[1] - heads[0]
    assert any("..." in line for line in lines[heads[0] : heads[1]])


def test_verbose_prints_arrays_whole(replay: Replay) -> None:
    lines = replay(LARGE, "im2col", "--verbose")
    (start,) = (n for n, line in enumerate(lines) if line.startswith("x  "))
    (end,) = (n for n, line in enumerate(lines) if line.startswith("w  "))
    text = " ".join(lines[start + 1 : end])

    assert "..." not in text
    assert 2 * 4 * 4 * 6 * 5 == len(text.replace("[", " ").replace("]", " ").split())


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        ("w-wider", "w         float64 (2, 2, 3, 3)"),
        ("w-one-channel", "w         float32 (2, 1, 3, 3)"),
        ("x-without-batch", "x         float32 (2, 4, 4)"),
        ("dtype-str", "x         <U"),
        ("dtype-object", "x         object (1, 2, 4, 4)"),
    ],
)
def test_of_an_invalid_call_the_arrays_are_those_that_were_handed_over(
    replay: Replay, mistake: str, expected: str
) -> None:
    assert any(line.startswith(expected) for line in replay(INVALID.format(mistake), "im2col"))


def test_of_an_invalid_call_the_parameters_are_too(replay: Replay) -> None:
    (call,) = (
        line for line in replay(INVALID.format("stride-zero"), "im2col") if line.startswith("call ")
    )

    assert "stride=(0, 1)" in call


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [("w-one-channel", float), ("dtype-str", str), ("dtype-object", float), ("x-bool", float)],
)
def test_json_has_what_was_handed_over_as_well(
    replay: Replay, mistake: str, expected: type
) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = "\n".join(replay(INVALID.format(mistake), "im2col", "--json"))
    value = json.loads(text, parse_constant=refuse)["inputs"]["x"]
    while isinstance(value, list):
        value = value[0]

    assert expected is type(value)
