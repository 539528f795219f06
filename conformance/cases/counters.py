"""Counters: every size of a call just above the numbers at which a narrow counter wraps.

A kernel that holds a position in a signed byte, the taps of a window in a mask of 32 bits, or a
grid axis in 16 bits is right for every small call. Each of these calls has one size just above
such a number, and is small otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from conformance.case import Case, Shape
from conformance.cases.data import make_inputs
from conformance.cases.draft import cost
from conformance.cases.limits import MOST_GATHERED, gathered
from conformance.dtypes import FORMATS, INTEGERS
from conformance.operators import GRADIENTS, OPERATORS, Operator

BEYOND = 13
"""By how much a size exceeds the number that it is above: so many elements are wrong at once."""
BYTES = (1 << 7, 1 << 8, 1 << 10)
"""The numbers that every size is above in a case of its own: those of bytes, and of a block."""
WORDS = (1 << 15, 1 << 16)
"""The numbers of 16 bits, and of the grid axes of devices."""
MASKS = (1 << 4, 1 << 5, 1 << 6)
"""The numbers of bits of a mask, for the taps of a window."""
WORK = 3_000_000
"""The multiply-accumulates and elements of a case (`conformance.cases.draft.cost`) at most."""

FAR = 1 << 24
"""The number up to which float32 holds every whole number."""
FAR_WORK, FAR_GATHERED = 400_000_000, 51_000_000
"""The cost of a case above it, and the elements of its windows, at most."""

Make = Callable[[int], Case]


def counters(operator: str, dims: int, dtype: str, leading: bool) -> list[Case]:
    """Return the calls of an operator in a dtype, the cheapest first.

    The ``leading`` dtype has every number. Others have the one that they do not count beyond, or
    that of a byte, for positions, taps and sums: those may be counted in the dtype itself.
    """

    def numbers(name: str) -> Sequence[int]:
        return _numbers(operator, name, dims, dtype, leading)

    return _above(numbers, operator, dims, dtype, WORK, MOST_GATHERED)


def far_counters(operator: str, dims: int, dtype: str, leading: bool) -> list[Case]:
    """Return the calls of an operator whose sizes are above 2^24, the cheapest first.

    They are made in one dimension and in the leading dtype: arrays of up to 2^25 elements, which
    take seconds each.
    """
    if not leading or dims != 1:
        return []

    def numbers(name: str) -> Sequence[int]:
        """Return 2^24, but for what libraries have loops of their own for."""
        return () if name in ("stride", "groups", "planes") else (FAR,)

    return _above(numbers, operator, dims, dtype, FAR_WORK, FAR_GATHERED)


def _above(
    numbers: Callable[[str], Sequence[int]],
    operator: str,
    dims: int,
    dtype: str,
    most_work: int,
    most_gathered: int,
) -> list[Case]:
    """Return the calls whose sizes are above the ``numbers`` of their names, the cheapest first."""
    if dtype not in OPERATORS[operator].dtypes:
        return []
    gradient = GRADIENTS.get(operator)
    forward = gradient.forward if gradient else OPERATORS[operator]
    windowed, found = OPERATORS[operator].has_window, []
    scattered = operator in ("conv_input_grad", "avg_pool_grad")
    for name, make in _sizes(forward, dims, windowed=windowed):
        for number in numbers(name):
            # Where places are compared, half of a window lies beyond the number, if it may.
            halved = operator == "max_pool_grad" and name.startswith("taps") and number < FAR
            case = make((2 if halved else 1) * number + BEYOND).replace(dtype=dtype)
            if windowed and gathered(case, scattered=scattered) > most_gathered:
                continue
            price = cost(case)
            case = gradient.derived(case) if gradient else case
            if price <= most_work:
                found.append((price, _with_late_maximum(case, number) if halved else case))
    return list(dict.fromkeys(case for _, case in sorted(found, key=lambda pair: pair[0])))


def _with_late_maximum(case: Case, number: int) -> Case:
    """Return a call of max_pool_grad with data whose maxima lie beyond the number, if need be."""
    for seed in range(2, 50, 3):  # with one remainder the recipe has the most different numbers
        seeded = case.replace(seed=seed)
        x = make_inputs(seeded)[1]
        if (np.argmax(x.reshape(-1, math.prod(case.x[2:])), axis=1) > number + 1).any():
            return seeded
    return case


def _numbers(operator: str, name: str, dims: int, dtype: str, leading: bool) -> Sequence[int]:
    """Return the numbers that a size is to be above."""
    own = _counted(dtype)
    counts = name in ("width", "strided", "taps", "inputs")
    if not leading:
        return (own or BYTES[1],) if counts else ()
    masks = MASKS if name.startswith("taps") else ()
    halves = (own,) if own and own < WORDS[0] and own not in BYTES else ()
    return (*masks, *BYTES, *halves, *_words(operator, name, dims))


def _words(operator: str, name: str, dims: int) -> Sequence[int]:
    """Return the numbers of 16 bits that a size is to be above, where calls are cheap enough.

    Many images, groups or planes take long where each has a loop of its own, as where results are
    added up at positions. Libraries unroll strides: one above 2^15 takes some of them minutes.
    """
    if name == "stride":
        return ()
    if name in ("images", "groups", "planes"):
        scattered = operator in GRADIENTS and operator != "conv_weight_grad"
        scattered |= OPERATORS[operator].is_transposed
        few = dims < 3 if not scattered else dims == 1 and name == "planes"
        return WORDS[1:] if few else ()
    if dims > 1 and name in ("taps", "reach", "strided", "padding", "weights"):
        return ()
    return WORDS if operator not in GRADIENTS and dims == 1 else WORDS[1:]


def _counted(dtype: str) -> int:
    """Return the number from which a dtype does not hold every whole number, 0 if it is large."""
    if dtype in INTEGERS:
        limit = {"int8": 1 << 7, "uint8": 1 << 8, "int16": 1 << 15}
        return limit.get(dtype, 0)
    return 1 << FORMATS[dtype].digits if FORMATS[dtype].digits <= 11 else 0


def _sizes(forward: Operator, dims: int, *, windowed: bool) -> Iterator[tuple[str, Make]]:
    """Yield each size of a call, by a name for its kind, and how to make a call of it."""
    ones, last = (1,) * dims, (1,) * (dims - 1)

    def call(x: Shape, kernel: Shape, outputs: int = 1, groups: int = 1, **others: Any) -> Case:
        """Return a call of x with so many output channels, padded at the end of its last axis."""
        if not forward.has_weight:
            return Case(operator=forward.name, x=x, kernel=kernel, **others)
        w = forward.weight_shape(groups, x[1] // groups, outputs // groups, kernel)
        return Case(operator=forward.name, x=x, w=w, groups=groups, **others)

    def along(axis: int, size: int) -> Shape:
        return (*ones[:axis], size, *ones[axis + 1 :])

    def on_axis(axis: int) -> Iterator[tuple[str, Make]]:
        yield "width", lambda n: call((1, 1, *along(axis, n)), ones)
        room = 0 if forward.is_transposed else 1  # where a window must fit into the input
        yield "taps", lambda n: call((1, 1, *along(axis, room * n + 2)), along(axis, n))
        yield (
            "stride",
            lambda n: call(
                (1, 1, *along(axis, 3 * n * room or 3)), along(axis, 2), stride=along(axis, n)
            ),
        )
        if "dilation" in forward.parameters:
            x = (1, 1)
            yield (
                "reach",
                lambda n: call((*x, *along(axis, n + 8)), along(axis, 2), dilation=along(axis, n)),
            )

    three = (*last, 3 if forward.has_weight else 2)  # which padding makes no larger result of
    padded = (*((0, 0),) * (dims - 1), (1, 1))
    yield "images", lambda n: call((n, 1, *last, 2), ones)
    yield "images", lambda n: call((n, 1, *last, 2), three, padding=padded)
    yield "width", lambda n: call((1, 1, *last, n), three, padding=padded)
    if not windowed:
        yield "inputs", lambda n: call((1, n, *last, 2), ones, n, n)
        yield "positions", lambda n: call((2, 2, *_root(n, dims)), ones, 2)
        return
    for axis in range(dims):
        yield from on_axis(axis)
    if forward.is_transposed:
        yield "strided", lambda n: call((1, 1, *last, n // 2 + 1), (*last, 2), stride=(*last, 2))
    else:
        yield "strided", lambda n: call((1, 1, *last, 2 * n), (*last, 2), stride=(*last, 2))
    if dims > 1:
        yield "positions", lambda n: call((1, 1, *_root(n, dims)), ones)
        yield (
            "taps in all",
            lambda n: call(
                (1, 1, *(3 if forward.is_transposed else size + 2 for size in _root(n, dims))),
                _root(n, dims),
            ),
        )
    if not forward.has_weight:
        yield "inputs", lambda n: call((1, n, *last, 4), (*last, 2))
        yield "planes", lambda n: call((*_root(n, 2), *last, 4), (*last, 2))
        return
    yield "inputs", lambda n: call((1, n, *last, 2), ones, 2)
    yield "inputs", lambda n: call((1, n, *last, 2), three, padding=padded)
    yield "outputs", lambda n: call((1, 2, *last, 2), ones, n)
    yield "outputs", lambda n: call((1, 1, *last, 2), three, n, padding=padded)
    yield "groups", lambda n: call((1, n, *last, 2), ones, n, n)
    yield "groups", lambda n: call((1, n, *last, 2), three, n, n, padding=padded)
    yield "planes", lambda n: call((*_root(n, 2), *last, 2), ones, _root(n, 2)[1], _root(n, 2)[1])
    yield "weights", lambda n: call((1, _root(n, 2)[0], *last, 2), ones, _root(n, 2)[1])
    far = (*((0, 0),) * (dims - 1),)
    if not forward.is_transposed:
        yield "padding", lambda n: call((1, 1, *last, 2), three, padding=(*far, (n, 0)))
        yield "padding", lambda n: call((1, 1, *last, 2), three, padding=(*far, (0, n)))
    else:
        yield "padding", lambda n: call((1, 1, *last, n + 9), three, padding=(*far, (n, 0)))
        yield "padding", lambda n: call((1, 1, *last, n + 9), three, padding=(*far, (0, n)))


def _root(number: int, axes: int) -> Shape:
    """Return about equal sizes of so many axes, of at least ``number`` together; none are equal."""
    sizes: list[int] = []
    for left in range(axes, 0, -1):
        rest = -(-number // math.prod(sizes))
        size = math.ceil(rest ** (1 / left))
        sizes.append(size + (1 if left > 1 else 0))
    return tuple(sizes)


# --- words --------------------------------------------------------------------------------------


def every_counter(operator: str, dims: int, dtype: str, leading: bool) -> str:
    """Return what `counters` are, in words."""
    if not leading:
        number = (_counted(dtype) or BYTES[1]).bit_length() - 1
        return f"positions, windows and sums of {operator}{dims}d above 2^{number}"
    return (
        f"every size of {operator}{dims}d above 2^7, 2^8, 2^10, 2^15 and 2^16 (windows above 2^4 "
        f"to 2^6 too), as far as a call costs <= {WORK:,} multiply-accumulates and elements, and "
        f"its windows have <= {MOST_GATHERED:,} elements; no stride above 2^15, nothing above 2^24"
    )


def every_far_counter(operator: str, dims: int, dtype: str, leading: bool) -> str:
    """Return what `far_counters` are, in words."""
    return (
        f"every size of {operator}{dims}d but groups and strides above 2^24, as far as a call "
        f"costs <= {FAR_WORK:,} multiply-accumulates and elements, and its windows have <= "
        f"{FAR_GATHERED:,} elements; nothing above 2^28"
    )
