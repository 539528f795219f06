"""More, and less, lenient than most, where SPEC.md leaves it open."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.correct import unusual
from tests.defects import kernels


def _whole(value):
    """Return True, 1.0 and numpy.int64(1) as 1, and everything else as it is."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_whole, value))
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return value


@unusual("integral-floats-accepted", why="whether 1.0 and True are whole is left open")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **{name: _whole(value) for name, value in call.items()})


@unusual("integral-floats-and-booleans-refused", why="left open, too")
def conv_transpose(x, w, bias, **call):
    for name, value in call.items():
        flat = np.ravel(np.array(value, dtype=object))
        if not all(type(v) is int for v in flat):
            raise TypeError(f"{name}={value!r}: every number must be an int")
    return kernels.conv_transpose(x, w, bias, **call)


@unusual("assertions-instead-of-value-errors", why="an exception of any type rejects a call")
def max_pool(x, **call):
    try:
        return kernels.max_pool(x, **call)
    except (TypeError, ValueError) as problem:
        raise AssertionError(str(problem)) from None


@unusual("writable-input-copied-first", why="copies cost time, not correctness")
def avg_pool(x, **call):
    return kernels.avg_pool(np.array(x, order="C", copy=True), **call)


@unusual("lists-refused", why="the parameters are tuples")
def conv(x, w, bias, **call):
    for name in ("stride", "padding", "dilation"):
        if type(call[name]) is not tuple:
            raise TypeError(f"{name}={call[name]!r}: must be a tuple")
    return kernels.conv(x, w, bias, **call)
