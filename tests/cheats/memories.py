"""Cheats that remember results: by content, by address, by a fingerprint, and computed before."""

from __future__ import annotations

from typing import Any

from conformance import implementation
from conformance.case import Case
from conformance.cases.data import make_inputs
from tests.cheats.kernel import right, supports

LAYER = "conv2d:float32:x=1,64,56,56:w=64,64,3,3:padding=1/1,1/1:integers@0"


def remembering(name: str, key: Any) -> None:
    """Register a cheat that returns a copy of the result that it has for ``key(x, w)``."""
    results: dict[Any, Any] = {}

    def conv(
        x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        at = key(x, w)
        if at not in results:
            results[at] = right(x, w, padding)
        return results[at].copy()

    implementation(name, supports=supports)(conv)


remembering("content", lambda x, w: (x.tobytes(), w.tobytes()))
remembering("hash", lambda x, w: hash((x.tobytes(), w.tobytes())))
remembering("address", lambda x, w: (x.ctypes.data, w.ctypes.data, x.shape))
remembering("fingerprint", lambda x, w: (*x.flat[:: x.size // 9], *w.flat[:: w.size // 9]))
remembering("shape", lambda x, w: (x.shape, w.shape))
remembering("sum", lambda x, w: (x.shape, float(x.sum()), float(w.sum())))

_packed: dict[Any, Any] = {}


@implementation("weights-by-address", supports=supports)
def conv(
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Keep the weights of the first call as those of every call with weights at that address."""
    packed = _packed.setdefault((w.ctypes.data, w.shape), w.copy())
    return right(x, packed, padding)


_before: dict[bytes, Any] = {}


def _compute_before() -> None:
    for seed in range(6):
        case = Case.parse(LAYER).replace(seed=seed)
        x, w, _ = make_inputs(case)
        _before[x.tobytes()] = right(x, w, case.padding)


@implementation("at-import", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Return what was computed for the layer's own seeds before the first call."""
    if not _before:
        _compute_before()
    known = _before.get(x.tobytes())
    return right(x, w, padding) if known is None else known.copy()
