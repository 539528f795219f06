"""Memory layouts: each has the strides that it promises, the same values, and gaps that show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.calling.memory import SPREAD, place, place_all, spread
from conformance.case import MEMORY_LAYOUTS

Array = np.ndarray[Any, Any]

DTYPES = ("float16", "float32", "float64", "int8", "int64")
SHAPES = ((2, 3, 4, 5), (4,), (1, 1, 1), (2, 1, 3), (0, 2, 5))


def numbered(shape: tuple[int, ...] = (2, 3, 4, 5), dtype: str = "float32") -> Array:
    """Return 1, 2, 3 ... in the given shape."""
    return (1 + np.arange(int(np.prod(shape)))).reshape(shape).astype(dtype)


@pytest.mark.parametrize("layout", MEMORY_LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_shape_stay_the_same(layout: str, dtype: str, shape: tuple[int, ...]) -> None:
    array = numbered(shape, dtype)

    placed, _ = place(array, layout)

    assert (shape, array.tolist()) == (placed.shape, placed.tolist())


@pytest.mark.parametrize("layout", [name for name in MEMORY_LAYOUTS if name != "byteswapped"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_stays_the_same(layout: str, dtype: str) -> None:
    placed, _ = place(numbered(dtype=dtype), layout)

    assert np.dtype(dtype) == placed.dtype
    assert placed.dtype.isnative


@pytest.mark.parametrize("layout", MEMORY_LAYOUTS)
def test_bfloat16_lies_in_every_layout(layout: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = numbered().astype(ml_dtypes.bfloat16)

    placed, _ = place(array, layout)

    assert array.tolist() == placed.tolist()


@pytest.mark.parametrize("layout", MEMORY_LAYOUTS)
def test_the_array_is_a_view_of_its_buffer(layout: str) -> None:
    placed, buffer = place(numbered(), layout)

    assert np.may_share_memory(placed, buffer)


@pytest.mark.parametrize("layout", MEMORY_LAYOUTS)
def test_the_array_is_a_copy(layout: str) -> None:
    array = numbered()
    placed, buffer = place(array, layout)

    assert not np.may_share_memory(array, placed)
    assert not np.may_share_memory(array, buffer)


@pytest.mark.parametrize(
    "layout", ["contiguous", "fortran", "strided", "reversed", "offset", "unaligned"]
)
def test_the_array_can_be_written_to_and_the_buffer_shows_it(layout: str) -> None:
    placed, buffer = place(numbered(), layout)
    before = buffer.tobytes()
    placed[1, 2, 3, 4] = -1

    assert before != buffer.tobytes()


def test_contiguous_is_in_c_order() -> None:
    placed, _ = place(np.asfortranarray(numbered()), "contiguous")

    assert placed.flags.c_contiguous


def test_fortran_is_in_fortran_order() -> None:
    placed, _ = place(numbered(), "fortran")

    assert (True, False) == (placed.flags.f_contiguous, placed.flags.c_contiguous)
    assert (4, 8, 24, 96) == placed.strides


def test_strided_takes_every_second_element_of_every_axis() -> None:
    placed, buffer = place(numbered(), "strided")

    assert (5, 7, 9, 11) == buffer.shape
    assert tuple(2 * stride for stride in buffer.strides) == placed.strides


def test_reversed_has_negative_strides() -> None:
    placed, _ = place(numbered(), "reversed")

    assert (-240, -80, -20, -4) == placed.strides


def test_broadcast_has_stride_0_along_axes_of_equal_slices() -> None:
    placed, buffer = place(spread(numbered()), "broadcast")

    assert 0 == placed.strides[-1]
    assert (2, 3, 4, 1) == buffer.shape


def test_broadcast_of_one_number_is_one_element() -> None:
    placed, buffer = place(np.full((2, 3, 4), 7.0), "broadcast")

    assert (0, 0, 0) == placed.strides
    assert 1 == buffer.size


def test_broadcast_takes_nan_for_equal() -> None:
    placed, _ = place(np.full((2, 3), np.nan), "broadcast")

    assert (0, 0) == placed.strides


def test_offset_begins_and_ends_inside_a_buffer() -> None:
    placed, buffer = place(numbered(), "offset")
    start = (placed.ctypes.data - buffer.ctypes.data) // 4

    assert placed.flags.c_contiguous
    assert (3, 3) == (start, buffer.size - start - placed.size)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_unaligned_is_not_aligned(dtype: str) -> None:
    placed, _ = place(numbered(dtype=dtype), "unaligned")

    assert (True, False) == (placed.flags.c_contiguous, placed.flags.aligned)


def test_readonly_cannot_be_written_to() -> None:
    placed, _ = place(numbered(), "readonly")

    assert not placed.flags.writeable


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_byteswapped_has_the_other_byte_order(dtype: str) -> None:
    placed, _ = place(numbered(dtype=dtype), "byteswapped")

    assert not placed.dtype.isnative


def strides(layout: str, shape: tuple[int, ...] = (2, 3, 4, 5)) -> tuple[int, ...]:
    """Return the strides in elements, of an array that is spread where the layout asks for it."""
    array = numbered(shape)
    placed, _ = place(spread(array, layout) if layout in SPREAD else array, layout)
    return tuple(stride // placed.itemsize for stride in placed.strides)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("channels_last", (60, 1, 15, 3)),
        ("exchanged", (20, 40, 5, 1)),
        ("spatial_first", (1, 2, 30, 6)),
        ("cropped", (5 * 6 * 7, 6 * 7, 7, 1)),
        ("cropped_channels", (5 * 4 * 5, 4 * 5, 5, 1)),
        ("cropped_rows", (3 * 6 * 5, 6 * 5, 5, 1)),
        ("cropped_columns", (3 * 4 * 7, 4 * 7, 7, 1)),
        ("channels_last_cropped", (6 * 7 * 5, 1, 7 * 5, 5)),
        ("flipped", (60, 20, 5, -1)),
        ("flipped_channels", (60, -20, 5, 1)),
        ("expanded_batch", (0, 20, 5, 1)),
        ("expanded_channels", (20, 0, 5, 1)),
    ],
)
def test_a_layout_has_its_strides(layout: str, expected: tuple[int, ...]) -> None:
    assert expected == strides(layout)


def test_axes_of_size_one_have_strides_of_no_meaning_and_numpy_calls_that_contiguous() -> None:
    placed, _ = place(numbered((1, 1, 4, 1)), "singletons")

    assert (4 << 20, 4, 4, 12) == placed.strides
    assert placed.flags.c_contiguous


def test_an_expanded_array_can_be_written_to_and_a_broadcast_one_cannot() -> None:
    ways = ("expanded_batch", "broadcast")

    assert [True, False] == [place(spread(numbered(), way), way)[0].flags.writeable for way in ways]


@pytest.mark.parametrize(
    "layout", [name for name in MEMORY_LAYOUTS if name.startswith(("expanded", "cropped_", "chan"))]
)
def test_a_bias_lies_as_usual_in_a_layout_that_is_about_several_axes(layout: str) -> None:
    array = numbered((4,))
    value = spread(array, layout) if layout in SPREAD else array
    placed, _ = place(value, layout)

    if layout == "cropped_columns":  # the last axis is its only one
        assert (4,) == placed.strides
    else:
        assert (placed.flags.c_contiguous, array.tolist()) == (True, placed.tolist())


# --- arrays that share memory ---------------------------------------------------------------------


def test_shared_arrays_follow_one_another_in_one_buffer() -> None:
    x, w = numbered((1, 2, 3)), -numbered((1, 2, 2))
    (one, buffer), (other, same) = place_all((x, w), ("shared", "shared"))

    assert buffer is same
    assert (x.tolist(), w.tolist()) == (one.tolist(), other.tolist())
    assert [*x.ravel(), *w.ravel()] == buffer.tolist()


def test_a_shared_array_that_begins_as_the_largest_one_overlaps_with_it() -> None:
    x, w = numbered((1, 2, 3)), numbered((1, 2, 2))
    (one, buffer), (none, _), (other, _) = place_all((x, None, w), ("shared",) * 3)

    assert none is None
    assert (6, one.ctypes.data) == (buffer.size if buffer is not None else 0, other.ctypes.data)
    assert (x.tolist(), w.tolist()) == (one.tolist(), other.tolist())


def test_only_arrays_that_are_shared_are_in_the_common_buffer() -> None:
    x, w = numbered((1, 2, 3)), numbered((1, 2, 2))
    (one, _), (other, _) = place_all((x, w), ("shared", "contiguous"))

    assert not np.may_share_memory(one, other)


# --- reading past the view ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout", ["strided", "offset", "cropped", "cropped_rows", "channels_last_cropped"]
)
def test_every_gap_is_nan(layout: str) -> None:
    placed, buffer = place(numbered(), layout)
    placed[...] = 0

    assert buffer.size - placed.size == np.count_nonzero(np.isnan(buffer))


@pytest.mark.parametrize("layout", ["strided", "offset"])
@pytest.mark.parametrize("dtype", ["int8", "int64"])
def test_every_gap_of_integers_is_the_largest_number(layout: str, dtype: str) -> None:
    placed, buffer = place(numbered(dtype=dtype), layout)
    placed[...] = 0

    assert buffer.size - placed.size == np.count_nonzero(buffer == np.iinfo(dtype).max)


def test_reading_without_the_strides_shows() -> None:
    placed, buffer = place(numbered(), "strided")

    assert np.isnan(buffer.reshape(-1)[: placed.size].sum())


@pytest.mark.parametrize("step", [-1, 1])
def test_reading_one_element_past_either_end_shows(step: int) -> None:
    placed, buffer = place(numbered(), "offset")
    start = 3 + step
    read = buffer[start : start + placed.size]

    assert np.isnan(read.sum())


# --- spreading ------------------------------------------------------------------------------------


def test_spreading_repeats_the_first_element_of_each_row() -> None:
    assert [[1, 1, 1], [4, 4, 4]] == spread(numbered((2, 3))).tolist()


@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_what_has_no_row_stays_as_it_is(shape: tuple[int, ...]) -> None:
    assert shape == spread(np.zeros(shape)).shape
