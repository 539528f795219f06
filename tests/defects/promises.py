"""Defects of declared arithmetic: another format, or another error, than was promised."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients
from tests.defects.precision import BFLOAT16, summed_in, tf32, through

SINGLE = ("float32",)


@defect(
    "float64-accumulator-declared-float32-used",
    check="declare",
    when="float32",
    dtypes=SINGLE,
    accumulate="float64",
)
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=summed_in(np.float32))


@defect(
    "float32-accumulator-declared-bfloat16-used",
    check="declare",
    when="bfloat16",
    dtypes=("bfloat16",),
    accumulate="float32",
)
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=summed_in(BFLOAT16))


@defect(
    "tf32-declared-bfloat16-used-transposed",
    check="declare",
    when="float32",
    dtypes=SINGLE,
    multiply="tf32",
)
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(through(BFLOAT16, x), through(BFLOAT16, w), bias, **call)


@defect(
    "float16-multiplier-declared-bfloat16-used",
    check="declare",
    when="float32",
    dtypes=SINGLE,
    multiply="float16",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    rounded = through(BFLOAT16, grad), through(BFLOAT16, x)
    return gradients.conv_weight_grad(*rounded, weight_shape, **call)


@defect(
    "float32-multiplier-declared-tf32-used",
    check="declare",
    when="float32",
    dtypes=SINGLE,
    multiply="float32",
)
def conv(x, w, bias, **call):
    return kernels.conv(tf32(x), tf32(w), bias, **call)


@defect(
    "normwise-declared-tf32-used",
    check="declare",
    when="float32",
    dtypes=SINGLE,
    error="normwise",
    amplification=2.0,
)
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(tf32(x), tf32(w), bias, **call)


@defect(
    "normwise-gradient-through-float16",
    check="declare",
    when="float32",
    dtypes=SINGLE,
    error="normwise",
    amplification=4.0,
)
def conv_input_grad(grad, w, input_shape, **call):
    rounded = through(np.float16, grad), through(np.float16, w)
    return gradients.conv_input_grad(*rounded, input_shape, **call)
