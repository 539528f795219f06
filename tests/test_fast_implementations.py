"""The fast implementations beside the course: the same results, in blocks and by other algorithms.

What is judged is mostly small, so that one block holds it; here blocks are small instead.
"""

from __future__ import annotations

import doctest
import importlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conformance
from conformance.implementations import im2col, im2col_tiled

FAST = ("im2col-tiled",)

CALLS = (
    ((2, 4, 9, 8), (6, 2, 3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2), 2),
    ((3, 2, 7), (5, 2, 3), (1,), ((1, 1),), (1,), 1),
    ((1, 3, 5, 4, 6), (2, 3, 2, 1, 3), (1, 1, 2), ((1, 0), (0, 0), (2, 2)), (2, 1, 1), 1),
    ((5, 3, 4, 4), (7, 3, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((2, 3, 11), (3, 1, 2), (3,), ((4, 0),), (5,), 3),
)
"""Shapes of x and w, stride, padding, dilation and groups of a conv."""


def module_of(name: str) -> Any:
    return importlib.import_module(f"conformance.implementations.{name.replace('-', '_')}")


def whole(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return integers, whose sums are exact in any order."""
    return rng.integers(-9, 10, shape).astype(np.float64)


@pytest.mark.parametrize("name", FAST)
def test_the_example_of_a_fast_implementation_runs(name: str) -> None:
    result = doctest.testmod(module_of(name))

    assert result.attempted > 0
    assert 0 == result.failed


@pytest.mark.parametrize("name", FAST)
def test_a_fast_implementation_conforms(name: str, tmp_path: Path) -> None:
    """On few cases: all of them are judged by `convformance run`."""
    run = conformance.run(name, tier="smoke", dtypes=["float32"], output=tmp_path)

    assert run.cells
    assert [] == [violation for cell in run.cells for violation in cell.violations]


@pytest.mark.parametrize("count", [1, 40, 300])
@pytest.mark.parametrize("values", CALLS)
def test_blocks_of_any_size_give_the_same_result(
    values: tuple[Any, ...], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(im2col_tiled, "BLOCK_BYTES", 8 * count)
    x_shape, w_shape, stride, padding, dilation, groups = values
    p = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    rng = np.random.default_rng(0)
    x, w, bias = whole(rng, *x_shape), whole(rng, *w_shape), whole(rng, w_shape[0])
    y = im2col.conv(x, w, bias, **p)
    grad = whole(rng, *y.shape)
    back = {"output_padding": (0,) * len(stride), **p}

    assert np.array_equal(y, im2col_tiled.conv(x, w, bias, **p))
    assert np.array_equal(
        im2col.conv_transpose(grad, w, None, **back),
        im2col_tiled.conv_transpose(grad, w, None, **back),
    )
    assert np.array_equal(
        im2col.conv_weight_grad(grad, x, w.shape, **p),
        im2col_tiled.conv_weight_grad(grad, x, w.shape, **p),
    )


@pytest.mark.parametrize("room", [1, 3, 7, 50, 1000])
def test_every_window_is_in_one_block_that_has_room_for_it(room: int) -> None:
    met = np.zeros((3, 5, 7), int)
    for block in im2col_tiled.blocks(3, (5, 7), room):
        met[block] += 1

        assert met[block].size <= room

    assert (met == 1).all()


def test_the_memory_beside_the_result_is_that_of_a_block() -> None:
    """The matrix of im2col would be 29 MB."""
    x, w = np.ones((1, 64, 112, 112), np.float32), np.ones((8, 64, 3, 3), np.float32)
    p = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    tracemalloc.start()
    try:
        y = im2col_tiled.conv(x, w, None, **p)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most <= y.nbytes + (8 << 20)


def test_infinite_weights_meet_no_zeros_in_conv_transpose() -> None:
    x, w = np.ones((1, 1, 3)), np.array([[[1.0, np.inf, 3.0]]])
    p = {"stride": (1,), "padding": ((0, 0),), "output_padding": (0,), "dilation": (1,)}
    y = im2col_tiled.conv_transpose(x, w, None, groups=1, **p)

    assert [1, np.inf, np.inf, np.inf, 3] == y[0, 0].tolist()
