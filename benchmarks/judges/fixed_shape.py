"""``allclose`` with atol = rtol = 1e-2 on five random inputs at one shape, against PyTorch.

Benchmarks of generated kernels check them in this way: the shape is that of the benchmark, the
inputs are standard normal, and PyTorch's own operator gives the expected result.
"""

from __future__ import annotations

import numpy as np

from benchmarks.judges import Sample
from conformance.calling import Array
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.operators import GRADIENTS
from conformance.registration.registry import get

TOLERANCE = 1e-2
INPUTS = 5

_CONV = Case(
    operator="conv", x=(4, 8, 16, 16), w=(16, 8, 3, 3), bias=True, padding=((1, 1), (1, 1))
)
_POOL = Case(operator="max_pool", x=(4, 8, 16, 16), kernel=(2, 2), stride=(2, 2))
_FORWARD = {
    "conv": _CONV,
    "conv_transpose": _CONV.replace(operator="conv_transpose", w=(8, 16, 3, 3)),
    "max_pool": _POOL,
    "avg_pool": _POOL.replace(operator="avg_pool"),
}


def samples(dtype: str) -> list[Sample]:
    """Return five calls of each operator that PyTorch computes in ``dtype``."""
    cases = dict(_FORWARD)
    cases |= {name: g.derived(_FORWARD[g.forward.name]) for name, g in GRADIENTS.items()}
    torch = get("torch")
    calls = []
    for case in (case.replace(dtype=dtype, data="normal") for case in cases.values()):
        if torch.gap(case) is None:
            for seed in range(INPUTS):
                inputs = make_inputs(case.replace(seed=seed))
                expected = torch.functions[case.operator](*inputs, **case.parameters)
                calls.append(Sample(case, inputs, expected))
    return calls


def compare(got: Array, expected: Array) -> bool:
    """Compare the shapes, and the values within the tolerances."""
    values = got.astype(np.float64), expected.astype(np.float64)
    return got.shape == expected.shape and np.allclose(*values, rtol=TOLERANCE, atol=TOLERANCE)
