"""``torch.testing.assert_close`` on the sample inputs that PyTorch tests these operators with.

The samples are those of PyTorch's own ``OpInfo`` entries for convolution and pooling, in each dtype
that the entry lists for the CPU. Tolerances are the defaults of ``assert_close``, except for
float32, where the absolute tolerance is the larger one that PyTorch uses for convolutions. The
expected result in a half type is computed in float32 and rounded, because PyTorch's transposed
convolution adds up in the half type, and would accuse kernels that do better. Samples without a
batch axis get one, "same" padding becomes pairs, and where a pooling returns indices too, only its
values are compared. Samples without a counterpart here (a ``divisor_override``) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.judges import Sample
from conformance.calling import Array
from conformance.case import Case
from conformance.cases.validity import is_valid
from conformance.dtypes import DTYPES, numpy_dtype
from conformance.operators import OPERATORS
from conformance.sizes import span

RTOL, ATOL = 1.3e-6, 2e-4
"""The tolerances for float32: the default of ``assert_close``, and the absolute tolerance to which
PyTorch raises it for convolutions, whose samples have elements up to 9."""

_NAMES = {
    f"nn.functional.{name}{dims}d": (name, dims)
    for name in ("conv", "conv_transpose", "max_pool", "avg_pool")
    for dims in (1, 2, 3)
}


def samples() -> list[Sample]:
    """Return every sample that is a valid call here, with PyTorch's result."""
    import torch
    from torch.testing._internal.common_methods_invocations import op_db

    calls: list[Sample] = []
    for entry in op_db:
        if entry.name not in _NAMES:
            continue
        operator, dims = _NAMES[entry.name]
        for dtype in DTYPES:
            if dtype not in OPERATORS[operator].dtypes:
                continue
            if getattr(torch, dtype) not in entry.dtypes:
                continue
            torch.manual_seed(0)
            given = entry.sample_inputs("cpu", getattr(torch, dtype))
            read = (s for raw in given for s in _read(entry, operator, dims, dtype, raw))
            # Each call is taken once: samples may differ in what is not called here (indices).
            calls += {sample.case: sample for sample in read}.values()
    return calls


def _read(entry: Any, operator: str, dims: int, dtype: str, given: Any) -> Iterator[Sample]:
    x = given.input
    weighted = operator.startswith("conv")
    names: tuple[str, ...] = ("w", "bias", "stride", "padding", "dilation", "groups")
    if operator == "conv_transpose":
        names = ("w", "bias", "stride", "padding", "output_padding", "groups", "dilation")
    if not weighted:
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
        names = (*names, "divisor_override")
        if operator == "max_pool":
            names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    call = dict(zip(names, given.args, strict=False)) | given.kwargs
    w, bias = call.get("w", call.get("weight")), call.get("bias")
    if call.get("divisor_override") is not None or (weighted and w is None):
        return
    kernel = tuple(w.shape[2:]) if weighted else _each(call["kernel_size"], dims, None)
    stride = _each(call.get("stride"), dims, (1,) * dims if weighted else kernel)
    dilation = _each(call.get("dilation"), dims, (1,) * dims)
    case = Case(
        operator=operator,
        x=tuple(x.shape if x.dim() == dims + 2 else (1, *x.shape)),
        w=tuple(w.shape) if weighted else None,
        bias=bias is not None,
        kernel=None if weighted else kernel,
        stride=stride,
        padding=_padding(call.get("padding", 0), kernel, dilation),
        output_padding=_each(call.get("output_padding"), dims, (0,) * dims),
        dilation=dilation,
        groups=call.get("groups", 1),
        ceil_mode=call.get("ceil_mode", False),
        count_include_pad=call.get("count_include_pad", True),
        dtype=dtype,
    )
    if not is_valid(case):
        return
    expected = _wide(entry, given) if dtype in ("float16", "bfloat16") else _result(entry, given)
    arrays = [x.reshape(case.x)] + ([w, bias] if weighted else [])
    inputs = tuple(None if a is None else _array(a, dtype) for a in arrays)
    shape = OPERATORS[operator].output_shape(case)
    yield Sample(case, inputs, _array(expected, dtype).reshape(shape))


def _result(entry: Any, given: Any) -> Any:
    expected = entry.op(given.input, *given.args, **given.kwargs)
    return expected[0] if isinstance(expected, tuple) else expected


def _wide(entry: Any, given: Any) -> Any:
    """Return the result of a half type computed in float32 and rounded once."""
    import torch

    wide = given.transform(lambda v: v.float() if isinstance(v, torch.Tensor) else v)
    return _result(entry, wide).to(given.input.dtype)


def _each(value: Any, dims: int, default: Any) -> Any:
    if value is None or value == ():
        return default
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return values * dims if len(values) == 1 else values


def _padding(value: Any, kernel: Any, dilation: Any) -> Any:
    """Return the padding as pairs; PyTorch's "same" puts an odd zero at the end."""
    if value == "valid":
        value = 0
    if value == "same":
        totals = [span(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((pad, pad) for pad in _each(value, len(kernel), None))


def _array(tensor: Any, dtype: str) -> Array:
    if dtype == "bfloat16":
        return np.asarray(tensor.detach().float().numpy().astype(numpy_dtype(dtype)))
    return np.array(tensor.detach().numpy())


def compare(got: Array, expected: Array) -> bool:
    """Compare shape, dtype and values as ``assert_close`` does by default."""
    import torch
    from torch.testing import assert_close

    def tensor(array: Array) -> torch.Tensor:
        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.astype(np.float32)).bfloat16()
        return torch.from_numpy(array.copy())  # any strides are allowed, and the copy is writable

    try:
        if expected.dtype == np.float32:
            assert_close(tensor(got), tensor(expected), rtol=RTOL, atol=ATOL)
        else:
            assert_close(tensor(got), tensor(expected))
    except AssertionError:
        return False
    return True
