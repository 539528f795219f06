"""Normwise bounds of tiles: the norms of what a tile reads, and nothing of what lies beyond."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from verdicts import of_output, on_inputs, right

from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.judging import Accuracy, Prepared
from conformance.operators import OPERATORS, nonfinite
from conformance.registration import registry

CASES = (
    "conv1d:float32:x=2,3,17:w=4,3,3:padding=1/1:normal@0",
    "conv2d:float32:x=2,4,9,8:w=6,2,3,2:bias:stride=2,1:padding=1/0,0/2:groups=2:normal@1",
    "conv2d:float32:x=1,2,11,12:w=2,2,2,3:dilation=2,3:padding=0/2,3/0:normal@2",
    "conv3d:float32:x=1,1,5,4,6:w=2,1,2,1,3:padding=1/0,0/0,2/2:normal@3",
    "conv_transpose1d:float32:x=2,3,7:w=3,2,4:stride=3:output_padding=1:normal@4",
    "conv_transpose2d:float32:x=1,4,5,4:w=4,3,3,2:bias:stride=2,1:padding=1/0,0/1:dilation=1,2"
    ":groups=2:normal@5",
    "conv_input_grad2d:float32:x=1,4,9,8:w=6,2,3,2:stride=2,1:padding=1/0,0/2:groups=2:normal@6",
)


def reached(case: Case, tile: int, row: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return the input positions that outputs of a tile's size from ``row`` meet, by trying each.

    One input position at a time holds a one, and the kernel ones: the outputs that are not zero are
    those that read it. Without padding in the way, each axis is looked at by itself.
    """
    operator = OPERATORS[case.operator]
    names = operator.arguments
    shapes = [operator.argument_shape(case, name) for name in names]
    read = np.zeros(shapes[0][2:], bool)
    for q in np.ndindex(*shapes[0][2:]):
        x = np.zeros(shapes[0], np.float32)
        x[(0, slice(None), *q)] = 1
        inputs = (x, np.ones(shapes[1], np.float32), shapes[2] if len(shapes) > 2 else None)
        out = operator.reference(case, inputs).exact[0].any(axis=0)
        near = tuple(slice(max(0, p - tile + 1), p + tile) for p in row)
        read[q] = out[near].any()
    return read


@pytest.mark.parametrize("tile", [1, 2, 4])
@pytest.mark.parametrize("text", CASES)
def test_the_norms_are_of_all_that_a_tile_may_read(text: str, tile: int) -> None:
    """At least that which the outputs of any such tile read; at the borders it may be more."""
    case = Case.parse(text).replace(bias=False)
    operator = OPERATORS[case.operator]
    inputs = make_inputs(case)
    norms = np.broadcast_to(
        operator.norms(case, inputs, (tile,) * case.dims), operator.output_shape(case)
    )
    planes = operator.norms(case, inputs)
    first = inputs[0].astype(np.float64)
    for row in itertools.islice(np.ndindex(*norms.shape[2:]), 0, None, 5):
        kept = first * reached(case, tile, row)
        least = operator.norms(case, (kept.astype(np.float32), *inputs[1:]))
        at = norms[(slice(None), slice(None), *row)]

        assert (at >= least.reshape(at.shape) * (1 - 1e-6)).all()
        assert (at <= planes.reshape(at.shape) * (1 + 1e-6)).all()


@pytest.mark.parametrize("text", CASES)
def test_a_tile_as_large_as_the_output_reads_the_whole_plane(text: str) -> None:
    case = Case.parse(text)
    operator = OPERATORS[case.operator]
    tile = tuple(size + 9 for size in operator.output_shape(case)[2:])
    inputs = make_inputs(case)
    norms, planes = operator.norms(case, inputs, tile), operator.norms(case, inputs)

    assert np.allclose(norms, np.broadcast_to(planes, norms.shape), rtol=1e-12)


LONG = "conv1d:float32:x=1,1,32:w=1,1,3:normal@0"


def spot() -> np.ndarray[Any, Any]:
    """Return an input that is dark but for one bright position at its beginning."""
    x = np.full((1, 1, 32), 2.0**-20, np.float32)
    x[0, 0, 0] = 1
    return x


@pytest.mark.parametrize(("at", "expected"), [(0, "conforms"), (2, "conforms"), (9, "violates")])
def test_a_bright_spot_excuses_errors_in_its_own_tile_alone(at: int, expected: str) -> None:
    case = on_inputs(LONG, spot(), np.ones((1, 1, 3), np.float32), None)
    output = case.reference.exact.astype(np.float32)
    output[0, 0, at] += 2.0**-22

    assert "conforms" == of_output(case, output, amplification=4.0).status
    assert expected == of_output(case, output, amplification=4.0, tile=(4,)).status


@pytest.mark.parametrize(("at", "expected"), [(1, "conforms"), (9, "violates")])
def test_a_nan_may_spread_over_its_own_tile_alone(at: int, expected: str) -> None:
    case = Case.parse(LONG.replace("normal", "nan"))
    prepared = Prepared.of(case)
    x, w, bias = prepared.inputs
    x = np.ones_like(x)
    x[0, 0, 0] = np.nan
    made = with_nan(case, x, w, bias)
    output = made.reference.exact.astype(np.float32)
    output[0, 0, at] = np.nan

    assert "conforms" == of_output(made, output, amplification=4.0).status
    assert expected == of_output(made, output, amplification=4.0, tile=(4,)).status


def with_nan(case: Case, *inputs: Any) -> Prepared:
    return Prepared(case, inputs, nonfinite.reference(OPERATORS[case.operator], case, inputs))


@pytest.mark.parametrize(("given", "tile"), [(4, (4,)), ((2, 3), (2, 3)), ([6, 6], (6, 6))])
def test_a_tile_is_a_number_or_one_an_axis(given: Any, tile: Any, empty_registry: None) -> None:
    one = registry.implementation("mine", error="normwise", tile=given)

    assert tile == Accuracy.of(one).tile


@pytest.mark.parametrize("text", [CASES[0], CASES[1], CASES[3]])
def test_one_number_is_the_tile_of_every_axis_and_others_fit_their_calls(text: str) -> None:
    case = Case.parse(text)
    inputs = make_inputs(case)
    each = Accuracy(amplification=1.0, tile=(2,) * case.dims).norms(case, inputs)
    another = Accuracy(amplification=1.0, tile=(2,) * (case.dims + 1)).norms(case, inputs)

    assert np.array_equal(each, Accuracy(amplification=1.0, tile=(2,)).norms(case, inputs))
    assert case.dims == 3 or np.array_equal(another, OPERATORS[case.operator].norms(case, inputs))


def test_an_empty_batch_has_no_norms() -> None:
    text = "conv1d:float32:x=0,2,5:w=2,2,3:bias:normal@1"

    assert (
        "conforms"
        == of_output(
            Prepared.of(Case.parse(text)), right(text), amplification=1.0, tile=(2,)
        ).status
    )
