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
from conformance.errors import Unsupported
from conformance.implementations import depthwise, fft, im2col, im2col_tiled, separable, winograd
from conformance.implementations._call import Call

FAST = ("im2col-tiled", "winograd", "fft", "depthwise", "separable")

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


# --- winograd -------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", winograd.POINTS)
def test_the_matrices_make_m_outputs_of_m_plus_2_products(m: int) -> None:
    inner, kernel, outer = winograd.MATRICES[m]
    rng = np.random.default_rng(m)
    d, g = whole(rng, m + 2), whole(rng, 3)
    y = outer @ ((kernel @ g) * (inner @ d))

    assert np.allclose(np.correlate(d, g), y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("m", [2, 4, 6])
@pytest.mark.parametrize("out", [(1,), (7,), (13,), (3, 8), (9, 5), (2, 5, 4)])
def test_tiles_of_any_size_give_the_same_result(
    m: int, out: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "tile_of", lambda *_: m)
    monkeypatch.setattr(winograd, "BLOCK", 3)
    rng, ones = np.random.default_rng(m), (1,) * len(out)
    x, w = whole(rng, 2, 4, *out), whole(rng, 6, 2, *(3,) * len(out))
    p = {"stride": ones, "padding": ((1, 1),) * len(out), "dilation": ones, "groups": 2}
    y = im2col.conv(x, w, None, **p)
    back = {"output_padding": (0,) * len(out), **p}

    assert np.allclose(y, winograd.conv(x, w, None, **p), rtol=0, atol=1e-8)
    assert np.allclose(
        im2col.conv_transpose(y, w, None, **back),
        winograd.conv_transpose(y, w, None, **back),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize(("size", "m"), [(1, 2), (4, 2), (28, 4), (56, 4)])
def test_the_tile_is_the_one_with_the_fewest_operations(size: int, m: int) -> None:
    out = (size, size)
    call = Call(out, out, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, 2)

    assert m == winograd.tile_of(1, 64, 64, call)


def test_another_kernel_than_3_is_unsupported() -> None:
    p = {"stride": (1,), "padding": ((0, 0),), "dilation": (1,), "groups": 1}
    with pytest.raises(Unsupported, match="size 3"):
        winograd.conv(np.ones((1, 1, 5)), np.ones((1, 1, 2)), None, **p)


# --- fft, depthwise, separable --------------------------------------------------------------------


@pytest.mark.parametrize("values", CALLS)
def test_products_of_spectra_are_convolutions(values: tuple[Any, ...]) -> None:
    x_shape, w_shape, stride, padding, dilation, groups = values
    p = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    rng = np.random.default_rng(0)
    x, w = whole(rng, *x_shape), whole(rng, *w_shape)
    y = im2col.conv(x, w, None, **p)

    assert np.allclose(y, fft.conv(x, w, None, **p), rtol=0, atol=1e-9)
    assert np.allclose(
        im2col.conv_weight_grad(y, x, w.shape, **p),
        fft.conv_weight_grad(y, x, w.shape, **p),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize("count", [1, 40, 300])
@pytest.mark.parametrize("short", [0, 1000])
def test_planes_are_the_same_with_the_channels_last_and_in_blocks(
    short: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise, "SHORT", short)
    monkeypatch.setattr(depthwise, "BLOCK_BYTES", 8 * count)
    rng = np.random.default_rng(0)
    x, w, bias = whole(rng, 2, 5, 9, 8), whole(rng, 5, 1, 3, 2), whole(rng, 5)
    p = {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2), "groups": 5}

    assert np.array_equal(im2col.conv(x, w, bias, **p), depthwise.conv(x, w, bias, **p))


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("k", range(1, 18))
@pytest.mark.parametrize("join", [np.maximum, np.add])
def test_runs_that_double_make_windows_of_any_length(join: np.ufunc, k: int, step: int) -> None:
    x, out = np.random.default_rng(k).integers(-99, 100, (2, 60)), 4
    starts = [step * first for first in range(out)]
    expected = [join.reduce(x[:, first : first + 2 * k : 2], axis=1) for first in starts]

    assert np.array_equal(np.array(expected).T, separable.along(x, 1, out, k, step, 2, join))
