"""The course: examples that run, a plain version first, exercises that the suite solves."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import conformance
from conformance.calling import to_layout
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame
from conformance.requirements import requirements
from conformance.signatures import SIGNATURES
from tests.defects import unregistered

CHAPTERS = ("naive", "im2col", "kernel_matrix", "stride_trick", "shifted_matmul")
LONGEST = 170
"""Lines of a chapter at most."""
MISTAKE = "_with_a_mistake"

every_chapter = pytest.mark.parametrize("name", CHAPTERS)
every_operator = pytest.mark.parametrize("operator", SIGNATURES)


def chapter(name: str) -> ModuleType:
    return importlib.import_module(f"conformance.implementations.{name}")


def frame(name: str) -> Frame:
    decorator: Frame = getattr(chapter(name), name)
    return decorator


def source(name: str) -> str:
    return Path(inspect.getfile(chapter(name))).read_text()


def called(name: str, function: Any, *arrays: np.ndarray) -> np.ndarray:
    """Return what ``function`` makes of x and w, both given and returned channels first."""
    layout = frame(name).implementation.layout
    y = function(*to_layout(arrays, layout, ("image", "weight")))
    return np.asarray(np.moveaxis(y, -1, 1) if layout == "NHWC" else y)


@every_chapter
def test_the_example_of_a_chapter_runs(name: str) -> None:
    result = doctest.testmod(chapter(name))

    assert result.attempted > 0
    assert 0 == result.failed


@every_chapter
def test_a_chapter_is_short(name: str) -> None:
    assert len(source(name).splitlines()) <= LONGEST


@every_chapter
def test_a_chapter_goes_from_the_plain_version_to_the_exercise(name: str) -> None:
    operators = "conv", "conv_transpose", "max_pool", "avg_pool"
    gradients = "conv_weight_grad", "max_pool_grad", "avg_pool_grad"
    parts = [
        "def conv2d_plain(",
        *(f"def {operator}(" for operator in operators),
        "# --- Gradients",
        "conv_input_grad, conv_bias_grad = ",
        *(f"def {operator}(" for operator in gradients),
        "# --- Cost, and an exercise",
        f"{MISTAKE}(",
    ]
    places = [source(name).find(part) for part in parts]

    assert min(places) > 0
    assert sorted(places) == places


@every_chapter
def test_the_plain_version_is_5_to_10_lines(name: str) -> None:
    tree = ast.parse(inspect.getsource(chapter(name).conv2d_plain))
    _, *body = tree.body[0].body  # type: ignore[attr-defined]

    assert 5 <= body[-1].end_lineno - body[0].lineno + 1 <= 10


@every_chapter
def test_the_plain_version_is_conv(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, (2, 3, 5, 6)).astype(np.float64)
    w = rng.integers(-9, 10, (4, 3, 2, 3)).astype(np.float64)
    plain = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    module = chapter(name)
    expected = called(name, lambda x, w: module.conv(x, w, None, **plain), x, w)

    assert np.array_equal(expected, called(name, module.conv2d_plain, x, w))


@every_chapter
def test_the_suite_says_of_an_exercise_what_the_chapter_says(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The wrong function takes the place of the right one, which may be a step of operators."""
    module, framed = chapter(name), frame(name)
    (wrong,) = (value for key, value in vars(module).items() if key.endswith(MISTAKE))
    cited = re.search(r'"(\S+): ([^"]+)"', wrong.__doc__)
    assert cited is not None
    assert requirements()[cited[1]].title == cited[2]

    right = wrong.__name__.removesuffix(MISTAKE)
    if right in SIGNATURES:
        functions = {right: framed.operator(right, wrong)}
    else:
        monkeypatch.setattr(module, right, wrong)
        functions = dict(framed.implementation.functions)
    layout = {"layout": framed.implementation.layout}
    exercise = unregistered(f"exercise-{name}", functions, layout)
    run = conformance.run(
        [exercise], examples=20, dims=[2], dtypes=["float32"], suites=(), output=tmp_path
    )

    violations = [violation for cell in run.cells for violation in cell.violations]
    assert cited[1] in {violation.requirement for violation in violations}


@every_chapter
@every_operator
def test_an_operator_is_called_as_the_suite_calls_it(name: str, operator: str) -> None:
    function = frame(name).implementation.functions[operator]
    parameters = inspect.signature(function).parameters.values()

    assert function is getattr(chapter(name), operator)
    assert (operator, chapter(name).__name__) == (function.__name__, function.__module__)
    assert SIGNATURES[operator].arguments == tuple(
        p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD
    )
    assert SIGNATURES[operator].parameters == tuple(
        p.name for p in parameters if p.kind is p.KEYWORD_ONLY
    )


@every_chapter
@every_operator
def test_an_operator_says_shapes_what_it_raises_and_where_its_definition_is(
    name: str, operator: str
) -> None:
    text = inspect.getdoc(getattr(chapter(name), operator)) or ""

    assert "(N, " in text
    assert re.search(r"Raises\sValueError", text)
    assert "TypeError" in text
    (cited, *_) = re.findall(r"\b[A-Z]+-\d+", text)
    assert cited in requirements()
    assert "SPEC.md" in text


@pytest.mark.parametrize("name", ["naive", "im2col", "shifted_matmul"])
def test_a_cropped_result_holds_no_larger_array(name: str) -> None:
    x, w = np.ones((1, 3, 4, 5), np.float32), np.ones((3, 3, 3, 3), np.float32)
    y = chapter(name).conv_transpose(
        x if name != "shifted_matmul" else np.moveaxis(x, 1, -1),
        w,
        None,
        stride=(1, 1),
        padding=((1, 1), (1, 1)),
        output_padding=(0, 0),
        dilation=(1, 1),
        groups=1,
    )

    assert y.base is None or y.base.size == y.size


def test_a_name_that_is_no_operator_is_not_framed() -> None:
    with pytest.raises(KeyError, match="convolve"):
        frame("naive").operator("convolve", lambda x, w, call: x)


def test_the_image_inside_its_padding() -> None:
    call = Call((2, 1), (1, 1), (1, 1), (1, 1), ((1, 0), (0, 2)), (1, 1), 1, 2)

    assert (3, 3) == call.padded
    assert [[0, 0, 0], [1, 0, 0], [1, 0, 0]] == call.inside().astype(int).tolist()
    assert [[3], [6]] == call.crop(np.arange(9).reshape(1, 1, 3, 3))[0, 0].tolist()
