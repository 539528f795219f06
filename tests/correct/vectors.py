"""Compiled code that loads whole vectors and yet touches nothing beside its arrays, or says so."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

from conformance.errors import Unsupported
from tests.compiled import COMPILER, copied
from tests.correct import unusual as plainly_unusual
from tests.defects import kernels


def unusual(name, **more):
    """Return a new implementation, or what registers nothing where there is no compiler."""
    if COMPILER is None:
        return lambda function: function
    return plainly_unusual(name, isolated=True, **more)


@unusual("vectors-with-a-masked-tail", why="the tail is loaded element by element")
def conv(x, w, bias, **call):
    given = (copied(array, vector=32, masked=True) for array in (x, w, bias))
    return kernels.conv(*given, **call)


@unusual("vectors-from-a-padded-scratch", why="whole vectors are loaded from a copy with room")
def conv(x, w, bias, **call):
    copy = copied(x, vector=32, masked=True)
    return kernels.conv(copied(copy.copy(), vector=1, masked=False), w, bias, **call)


@unusual(
    "vectors-past-the-end-declared",
    why="its callers leave room for a vector past the end",
    reads_beyond=32,
)
def max_pool(x, **call):
    return kernels.max_pool(copied(x, vector=32, masked=False), **call)


@unusual("vectors-where-they-fit", why="whole vectors where they fit, else one by one")
def avg_pool(x, **call):
    whole = x.nbytes % 16 == 0
    return kernels.avg_pool(copied(x, vector=16, masked=not whole), **call)


@unusual("aligned-arrays-only", why="an array that no allocator returns may be declined")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if x.size and x.ctypes.data % 16:
        raise Unsupported("the address is no multiple of 16")
    return y
