"""Data recipes: how the arrays of a case are made from its seed.

Every recipe answers a question:

``integers``  is every product there, once? Small non-zero integers for which each partial sum in
              each order is exact in the dtype, so that correct results agree bit for bit.
``impulse``   does each product land in the right place? The input is zero but for a few ones, so
              the output shows copies of the kernel.
``digits``    does every digit count? Odd integers that fill the significand, times a few ones, so
              that sums stay exact at any number of products: a factor that is rounded to fewer
              digits (TF32, bfloat16) changes the result at once.
``normal``    is the rounding error of an ordinary computation within its bound?
``small``     is it, where all of x, of w or of both is small, 1e-3 to 1e-6, and so is the result?
``wide``      is it, where magnitudes differ by many orders and sums cancel?

The special recipes put special values of IEEE 754 among small integers. The position of these
values moves with the seed, so that successive seeds visit every channel and every position:

``nan``        one NaN in each sample (in the weight or the bias for some seeds).
``inf``        infinities of one sign or of both, beside zeros in the weight for some seeds.
``zeros``      zeros of both signs.
``subnormal``  multiples of the smallest subnormal number.
``huge``       numbers whose sums just do not overflow.

``every``  has every value of a dtype: from the seed on, each next element has the next bit pattern.
           In dtypes of more than 16 bits the first 16 count. Each is a result of its own, or the
           one product of a result, whose other factor is 1 or -1.

``measured``  has the least and the greatest number, and about the mean square, of the case's
              ``ranges``, which come from a model: half of the numbers have either sign, where both
              occur, and their sizes are a power of what is uniform between 0 and 1.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from conformance.calling.memory import SPREAD, spread
from conformance.case import EVERY, MEASURED, SPECIAL_RECIPES, Case, Shape
from conformance.dtypes import DEFAULT_ACCUMULATOR, FORMATS, INTEGERS, TRAITS, holds, numpy_dtype
from conformance.operators import OPERATORS
from conformance.operators.base import Array, Inputs

READABLE = 9
"""The largest magnitude of an integer, if the dtype's precision allows it."""


def make_inputs(case: Case) -> Inputs:
    """Return the positional arguments of ``case``: C-contiguous arrays, None for no bias, shapes.

    x is (N, C, *S), w as in the operator's signature, bias (O,), grad of the forward result's
    shape. They depend on the case alone, but for NumPy's streams, which may change between its
    releases.
    """
    rng = np.random.default_rng(case.seed)
    operator = OPERATORS[case.operator]
    shapes = {name: operator.argument_shape(case, name) for name in operator.arguments}
    whole = case.dtype in INTEGERS and case.data != EVERY
    make = _whole if whole else _RECIPES[case.data]
    dtype = numpy_dtype(case.dtype)
    inputs = tuple(
        shape
        if shape is None or name.endswith("_shape")
        else make(rng, case, shape, index).astype(dtype)
        for index, (name, shape) in enumerate(shapes.items())
    )
    return _overlapping(inputs) if _overlaps(case) else _spread(case, inputs)


def memory_ways(case: Case) -> tuple[str, ...]:
    """Return the memory layout of each positional argument, as the case's ``memory`` says."""
    layout, _, only = case.memory.partition("-")
    names = OPERATORS[case.operator].arguments
    return tuple(layout if only in ("", name) else "contiguous" for name in names)


def _spread(case: Case, inputs: Inputs) -> Inputs:
    """Make the arrays that are broadcast along an axis equal along it."""
    if case.memory.partition("-")[0] not in SPREAD:
        return inputs
    return tuple(
        spread(value, way) if way in SPREAD and isinstance(value, np.ndarray) else value
        for value, way in zip(inputs, memory_ways(case), strict=True)
    )


def _overlaps(case: Case) -> bool:
    """Whether the arrays of a case are parts of one another; special values stay in one of them."""
    return case.memory == "shared" and case.data not in SPECIAL_RECIPES


def _overlapping(inputs: Inputs) -> Inputs:
    """Give every array the first elements of the largest one."""
    arrays = [value for value in inputs if isinstance(value, np.ndarray)]
    elements = max(arrays, key=np.size).reshape(-1)
    return tuple(
        elements[: value.size].reshape(value.shape).copy()
        if isinstance(value, np.ndarray)
        else value
        for value in inputs
    )


def _small(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Return normal numbers times a power of two, in x, in w or in both, as the seed says."""
    exponent = 10 if FORMATS[case.dtype].digits <= 11 else 20
    scaled = ((0,), (1,), (0, 1))[case.seed % 3 if OPERATORS[case.operator].has_weight else 0]
    each = exponent // len(scaled)
    factor = -exponent if index == 2 else -each if index in scaled else 0
    values: Array = rng.standard_normal(shape) * 2.0**factor
    return values


def _integers(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Return non-zero integers so small that n products of them add up to at most 2**p."""
    limit = 2 ** FORMATS[case.dtype].digits
    operator = OPERATORS[case.operator]
    if operator.compared == 0:  # max_pool adds nothing up
        return _nonzero(rng, shape, min(99, limit))
    if operator.compared == index:
        # Few different values, so that maxima tie, but not in each window that is large.
        many = max(1, math.prod(case.window) // 32)
        return _nonzero(rng, shape, min(limit, (1, 3, READABLE)[case.seed % 3] * many))
    terms = max(1, operator.terms(case))
    if operator.has_weight:
        factors = 2
        largest = max(1, min(READABLE, math.isqrt(limit // terms)))
    else:
        factors = 1
        unit = operator.largest_divisor(case) if "grad" in operator.arguments else 1
        largest = max(1, min(READABLE, limit // (terms * unit)))
    values = _nonzero(rng, shape, largest)
    if index == factors - 1 and terms * largest**factors > limit:
        # There are too many terms even of size one: keep few enough of them.
        values[rng.random(shape) > limit / (2 * terms)] = 0
    return values


def _digits(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Return odd integers as long as exact sums allow, or the few ones that they are multiplied by.

    Of two factors, which one is long follows from the seed. The other one has k elements that are
    not zero among those that one output sums over, so that any sum of products is exact
    (`sums_are_exact`). A pooling has long numbers alone, and the maxima of a gradient stay small.
    """
    operator = OPERATORS[case.operator]
    digits = FORMATS[case.dtype].digits
    if index and operator.compared == index:
        return _integers(rng, case, shape, index)
    if index == 2:  # a bias counts as one more product
        return _nonzero(rng, shape, 1)
    if not operator.has_weight:
        unit = operator.largest_divisor(case) if "grad" in operator.arguments else 1
        terms = 1 if operator.compared == 0 else max(1, operator.terms(case))
        return _odd(rng, shape, digits - math.ceil(math.log2(terms * unit)))
    counts = _FEW[: 2 if digits <= FORMATS["float16"].digits else None]
    count = counts[case.seed // 2 % len(counts)]
    by_rows = case.operator == "conv_weight_grad"
    if index == case.seed % 2:
        points = 1 if index == 0 or by_rows else math.prod(most for _, _, most in _lattice(case))
        return _odd(rng, shape, digits - math.ceil(math.log2(count * points + 1)))
    if by_rows:
        ones: Array = _ones_among(rng, _moved(shape, 1), count)
        return np.moveaxis(ones, 0, 1)
    return _few_taps(rng, case, shape, count) if index else _few_positions(rng, case, shape, count)


_FEW = (1, 3, 7, 15)
"""How many products of an output are not zero; half types have digits for few of them only."""


def _few_taps(rng: np.random.Generator, case: Case, shape: Shape, count: int) -> Array:
    """Return a weight that has ``count`` ones, of either sign, for each output."""
    if case.operator == "conv":
        return _ones_among(rng, shape, count)
    # An output of a transposed convolution meets the taps of one remainder modulo the stride, of
    # all input channels (axis 0) of its group.
    outer, kernel = shape[1], shape[2:]
    values = np.zeros((case.groups, shape[0] // case.groups, *shape[1:]))
    phases = [
        [np.arange(k, size, step) for k in range(min(size, step))]
        for size, d, s in zip(kernel, case.dilation, case.stride, strict=True)
        for step in (s // math.gcd(s, d),)
    ]
    for taps in itertools.product(*phases):
        size = case.groups, outer, values.shape[1], *map(len, taps)
        ones = _ones_among(rng, (case.groups * outer, *size[2:]), count).reshape(size)
        at: tuple[Any, ...] = (..., *np.ix_(*taps))
        values[at] = ones.swapaxes(1, 2)
    return values.reshape(shape)


def _few_positions(rng: np.random.Generator, case: Case, shape: Shape, count: int) -> Array:
    """Return an input with ``count`` ones a group at each point of a lattice (`_lattice`)."""
    places = []
    for size, (apart, step, _) in zip(shape[2:], _lattice(case), strict=True):
        index = np.arange(size) // apart
        places.append(np.flatnonzero(index % step == rng.integers(min(index[-1] + 1, step))))
    n, c, groups = shape[0], shape[1] // case.groups, case.groups
    sizes = tuple(map(len, places))
    ones = _ones_among(rng, (n * groups * math.prod(sizes), c), count)
    values = np.zeros(shape)
    lattice = np.moveaxis(ones.reshape(n, groups, *sizes, c), -1, 2).reshape(n, shape[1], *sizes)
    at: tuple[Any, ...] = (..., *np.ix_(*places))
    values[at] = lattice
    return values


def _lattice(case: Case) -> list[tuple[int, int, int]]:
    """Return (apart, step, most) of each axis: of inputs ``apart``, every ``step``-th is a point.

    An output away from the borders meets at least one of them on each axis, and ``most`` at most.
    """
    axes = zip(case.window, case.stride, case.dilation, strict=True)
    if case.operator == "conv":  # its neighbouring taps are d apart
        return [(d, kernel, 1) for kernel, _, d in axes]
    lattice = []
    for kernel, stride, d in axes:  # neighbouring inputs meet taps so far apart
        shared = math.gcd(stride, d)
        least, rest = divmod(kernel, stride // shared)
        step = max(1, least)
        lattice.append((d // shared, step, -(-(least + (rest > 0)) // step)))
    return lattice


def _ones_among(rng: np.random.Generator, shape: Shape, count: int) -> Array:
    """Return zeros, but for ``count`` ones of either sign in each entry of the first axis."""
    rows = np.zeros((shape[0], math.prod(shape[1:])))
    if rows.size:
        count = min(count, rows.shape[1])
        few = np.argpartition(rng.random(rows.shape), count - 1, axis=1)[:, :count]
        np.put_along_axis(rows, few, rng.choice((-1.0, 1.0), few.shape), axis=1)
    return rows.reshape(shape)


def _moved(shape: Shape, axis: int) -> Shape:
    """Return ``shape`` with ``axis`` first."""
    return (shape[axis], *shape[:axis], *shape[axis + 1 :])


def _odd(rng: np.random.Generator, shape: Shape, bits: int) -> Array:
    """Return odd integers of exactly ``bits`` bits, of either sign."""
    bits = max(1, bits)
    values = rng.integers(2 ** (bits - 1), 2**bits, shape) | 1
    signed: Array = values * _signs(rng, shape)
    return signed


def _signs(rng: np.random.Generator, shape: Shape) -> Array:
    """Return ones of either sign."""
    signs: Array = 2.0 * rng.integers(0, 2, shape) - 1.0
    return signs


def _whole(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Return integers of an integer dtype, as large as they can be if no sum may overflow.

    They show a detour through floating-point numbers or narrower integers. max_pool gets the whole
    range of the dtype, including its ends.
    """
    limits = np.iinfo(case.dtype)
    if not OPERATORS[case.operator].has_weight:
        values = rng.integers(limits.min, limits.max, shape, case.dtype, endpoint=True)
        ends = rng.integers(0, 8, shape)
        return np.where(ends == 0, limits.max, np.where(ends == 1, limits.min, values))
    terms = OPERATORS[case.operator].terms(case) + 1
    largest = limits.max // terms if index == 2 else math.isqrt(limits.max // terms)
    return rng.integers(-largest, largest, shape, endpoint=True)


def _impulse(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Return an input of zeros with a single 1 in each channel plane, or a weight of integers."""
    if index > 0:
        return _integers(rng, case, shape, index)
    planes, length = math.prod(shape[:2]), math.prod(shape[2:])
    x = np.zeros((planes, length))
    x[np.arange(planes), rng.integers(0, length, planes)] = 1
    return x.reshape(shape)


def _wide(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Return log-uniform magnitudes; half of the elements cancel (x) or repeat (w) a neighbour."""
    reach = TRAITS[case.dtype].reach
    values: Array = np.exp2(rng.uniform(-reach, reach, shape)) * rng.choice((-1.0, 1.0), shape)
    flat = values.reshape(-1)
    repeat = np.flatnonzero(rng.random(flat[1::2].size) < 0.5)
    flat[2 * repeat + 1] = flat[2 * repeat] * (-1.0 if index == 0 else 1.0)
    return flat.reshape(shape)


def _nan(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    values = _beside(case, _integers(rng, case, shape, index), index)
    return _planted(case, values, index, (np.nan,))


def _inf(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    values = _beside(case, _integers(rng, case, shape, index), index)
    if index == 1 and case.seed % 3 == 0:
        values.reshape(-1)[::2] = 0
    if index == OPERATORS[case.operator].compared and case.seed % 4 == 0:
        values[...] = -np.inf
    return _planted(case, values, index, ((np.inf,), (-np.inf,), (np.inf, -np.inf))[case.seed % 3])


def _target(case: Case) -> int:
    """Return the position of the argument that special values are planted in."""
    if case.operator in ("conv", "conv_weight_grad") and case.seed % 5 == 4:
        return 2 if case.bias and case.seed % 2 else 1
    return 0


def _beside(case: Case, values: Array, index: int) -> Array:
    """Put zeros in x where the weight has special values: zero times NaN or infinity is NaN."""
    if index == 0 and _target(case) == 1:
        values.reshape(-1)[case.seed % 2 :: 2] = 0
    return values


def _planted(case: Case, values: Array, index: int, special: tuple[float, ...]) -> Array:
    """Put ``special`` at positions in x, in w or in the bias, which move with the seed.

    A convolution gets one position in each sample, a pooling one in each channel: each lane of a
    vector meets it at each position of a window within as many seeds as there are positions. A
    transposed convolution's weight stays finite: whether it meets the zeros that some
    implementations put between inputs is unspecified, as it is for padding.
    """
    if index != _target(case) or not values.size:
        return values
    if case.w is None:
        rows = values.reshape(math.prod(values.shape[:2]), -1)
    else:
        rows = values.reshape(len(values), -1) if index == 0 else values.reshape(1, -1)
    for n, row in enumerate(rows):
        for offset, value in enumerate(special):
            row[(case.seed + n + offset) % row.size] = value
    return values


def _subnormal(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    values = _integers(rng, case, shape, index)
    return values if index == 1 else values * FORMATS[case.dtype].smallest_subnormal


def _huge(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Return numbers near a power of two so large that sum |x||w| just stays finite."""
    terms = OPERATORS[case.operator].terms(case)
    room = FORMATS[case.dtype].max_exponent - 3 - math.ceil(math.log2(max(terms, 1)))
    if OPERATORS[case.operator].has_weight:
        exponent = {0: room - room // 2, 1: room // 2, 2: room}[index]
    else:
        exponent = room
    values: Array = rng.uniform(0.5, 1.0, shape) * rng.choice((-1.0, 1.0), shape)
    return values * 2.0**exponent


def _every(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Return consecutive bit patterns, or what leaves each of them as it is: 1 and -1."""
    if index:
        return _nonzero(rng, shape, 1)
    dtype = numpy_dtype(case.dtype)
    bits = 8 * dtype.itemsize
    low = max(0, bits - 16)
    patterns = (np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(case.seed % 2**16)) % 2**16
    # The lower bits differ from one to the next: 40503 / 2**16 is nearly the golden ratio.
    patterns = (patterns << np.uint64(low)) | ((patterns * np.uint64(40503)) % 2**low)
    values: Array = patterns.astype(f"u{dtype.itemsize}").view(dtype).reshape(shape)
    return values


_STEEPEST = 32.0
"""The largest power of what is uniform."""


def _measured(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Return numbers in the case's range of this argument, both ends among them."""
    least, most, root = case.ranges[index]
    ends = np.full(shape, most if abs(most) >= abs(least) else least)
    if least < 0 < most:
        ends = np.where(rng.random(shape) < 0.5, least, most)
    # The mean of u**(2p), for u uniform in 0 to 1, is 1 / (2p + 1).
    largest = max(abs(least), abs(most)) or 1.0
    low, high = least / largest, most / largest
    share = math.sqrt((low**2 + high**2) / 2) if least < 0 < most else 1.0
    steep = share * largest / root if root > 0 else math.inf
    values = ends * rng.random(shape) ** min(max((steep * steep - 1) / 2, 0.0), _STEEPEST)
    form = FORMATS[case.dtype]
    finite = 2.0**form.max_exponent * (1 - 2.0**-form.digits)
    values = np.clip(values, max(least, -finite), min(most, finite))
    if values.size > 1:
        first = rng.integers(values.size)
        at = [first, (first + 1 + rng.integers(values.size - 1)) % values.size]
        values.reshape(-1)[at] = max(least, -finite), min(most, finite)
    measured: Array = values
    return measured


def _nonzero(rng: np.random.Generator, shape: Shape, largest: int) -> Array:
    sizes = np.arange(1.0, largest + 1)
    return np.concatenate((sizes, -sizes))[rng.integers(0, 2 * largest, shape)]


_RECIPES: dict[str, Any] = {
    "integers": _integers,
    "impulse": _impulse,
    "digits": _digits,
    "normal": lambda rng, case, shape, index: rng.standard_normal(shape),
    "small": _small,
    "wide": _wide,
    "nan": _nan,
    "inf": _inf,
    "zeros": lambda rng, case, shape, index: rng.choice((-0.0, 0.0, -0.0, 0.0, -1.0, 1.0), shape),
    "subnormal": _subnormal,
    "huge": _huge,
    EVERY: _every,
    MEASURED: _measured,
}


def sums_are_exact(case: Case, magnitude: Array, accumulate: str | None) -> bool:
    """Whether every partial sum of ``case``, in every order, is exact in dtype and accumulator.

    It is so for whole multiples of a unit (avg_pool_grad: one over the divisor) if ``magnitude``,
    the sum of their magnitudes for each element (avg_pool: over the divisor), is at most 2**p
    units.
    """
    accumulator = FORMATS[accumulate or DEFAULT_ACCUMULATOR.get(case.dtype, case.dtype)]
    digits = min(FORMATS[case.dtype].digits, accumulator.digits)
    if case.data == "subnormal" and OPERATORS[case.operator].has_weight:
        unit = FORMATS[case.dtype].smallest_subnormal
        magnitude = magnitude / unit
        if accumulator.smallest_subnormal > unit:
            return False
    elif case.data == EVERY:  # a product with 1 or -1 is exact in a format that has the factor
        return holds(accumulator, FORMATS[case.dtype])
    elif case.data not in ("integers", "impulse", "digits", "zeros"):
        return False
    divisor = OPERATORS[case.operator].largest_divisor(case)
    largest = float(magnitude.max()) * divisor if magnitude.size else 0.0
    return largest <= 2.0**digits + 0.5  # a whole number that may be rounded up
