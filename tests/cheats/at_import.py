"""A cheat that computes results of a layer when it is imported, for the seeds that a run has."""

from __future__ import annotations

from typing import Any

from conformance import implementation
from conformance.case import Case
from conformance.cases.data import make_inputs
from tests.cheats.kernel import right, supports

LAYER = "conv2d:float32:x=1,64,56,56:w=64,64,3,3:padding=1/1,1/1:integers@0"

_results: dict[bytes, Any] = {}

for _seed in range(6):
    _case = Case.parse(LAYER).replace(seed=_seed)
    _x, _w, _ = make_inputs(_case)
    _results[_x.tobytes()] = right(_x, _w, _case.padding)


@implementation("at-import", supports=supports)
def conv(
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Return what was computed before, where the data are those."""
    known = _results.get(x.tobytes())
    return right(x, w, padding) if known is None else known.copy()
