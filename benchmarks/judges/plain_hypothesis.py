"""A plain Hypothesis test with ``assert_allclose(rtol=1e-5, atol=1e-6)`` against PyTorch.

Two spatial axes of their own sizes, batch, channels, bias, groups, kernel, stride, padding and
dilation are drawn independently, and ``assume`` throws away a draw that makes no output. Inputs and
weights are standard normal; weights are divided by the root of their fan-in, as in a new layer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import assume, given, seed
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from benchmarks.judges import call
from benchmarks.measure import drawing
from conformance import Unsupported
from conformance.case import Case
from conformance.cases.validity import is_valid
from conformance.dtypes import numpy_dtype
from conformance.operators import GRADIENTS, OPERATORS
from conformance.registration.implementation import Implementation
from conformance.registration.registry import get

EXAMPLES = 100
"""The number of examples that Hypothesis draws by default."""
RTOL, ATOL = 1e-5, 1e-6


@st.composite
def _cases(draw: Any, operator: str, dtype: str) -> Case:
    gradient = GRADIENTS.get(operator)
    forward = gradient.forward.name if gradient else operator
    size = st.integers(1, 9)
    x = (draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(size), draw(size))
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    step, gap, pad = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(0, 2))
    case = Case(operator=forward, x=x, dtype=dtype, stride=(step, step))
    case = case.replace(padding=((pad, pad), (pad, pad)), seed=draw(st.integers(0, 1000)))
    if forward in ("conv", "conv_transpose"):
        groups, out = draw(st.integers(1, 2)), draw(st.integers(1, 4))
        assume(x[1] % groups == 0 and out % groups == 0)
        w = (out, x[1] // groups) if forward == "conv" else (x[1], out // groups)
        case = case.replace(w=(*w, *kernel), groups=groups, dilation=(gap, gap))
        case = case.replace(bias=draw(st.booleans()) and gradient is None)
    else:
        case = case.replace(kernel=kernel, ceil_mode=draw(st.booleans()))
        if forward == "max_pool":
            case = case.replace(dilation=(gap, gap))
        else:
            case = case.replace(count_include_pad=draw(st.booleans()))
    case = gradient.derived(case) if gradient else case
    assume(is_valid(case))
    return case


def _inputs(case: Case) -> tuple[Any, ...]:
    rng = np.random.default_rng(case.seed)
    operator = OPERATORS[case.operator]
    shapes = {name: operator.argument_shape(case, name) for name in operator.arguments}
    scale = {"w": 1 / math.sqrt(math.prod(case.w[1:]))} if case.w else {}
    return tuple(
        shape
        if shape is None or name.endswith("_shape")
        else (rng.standard_normal(shape) * scale.get(name, 1)).astype(numpy_dtype(case.dtype))
        for name, shape in shapes.items()
    )


def knows(implementation: Implementation, dtype: str) -> bool:
    """Whether PyTorch computes one of the operators, so that there is a result to compare with."""
    torch = get("torch")
    return dtype in torch.dtypes and any(
        name in torch.functions for name in implementation.functions
    )


@np.errstate(all="ignore")
def accuses(implementation: Implementation, dtype: str) -> bool:
    """Whether the test of one of the operators fails."""
    torch = get("torch").functions
    return any(
        _fails(implementation, name, dtype, torch[name])
        for name in implementation.functions
        if name in torch
    )


def _fails(implementation: Implementation, operator: str, dtype: str, torch: Any) -> bool:
    def test(case: Case) -> None:
        inputs = _inputs(case)
        try:
            expected = torch(*inputs, **case.parameters)
            got = call(implementation, case, inputs)
        except (Unsupported, NotImplementedError):
            return
        assert_allclose(got, expected, rtol=RTOL, atol=ATOL)

    try:
        seed(0)(drawing(EXAMPLES)(given(_cases(operator, dtype))(test)))()
    except Exception:  # the failed assertion, or anything that a kernel raises
        return True
    return False
