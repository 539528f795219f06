"""Defects of checking: one of several arrays is of the wrong kind, and nobody looks at that one."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients


def _converted(array, dtype, kinds):
    return array.astype(dtype) if array is not None and array.dtype.kind in kinds else array


@defect("bias-of-objects-converted", check="reject", when="a bias of objects")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, _converted(bias, x.dtype, "O"), **call)


@defect("weights-of-booleans-converted", check="reject", when="w of booleans")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, _converted(w, x.dtype, "b"), bias, **call)


@defect("bias-of-strings-parsed", check="reject", when="a bias of strings")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, _converted(bias, x.dtype, "US"), **call)


@defect("gradient-of-booleans-converted", check="reject", when="grad of booleans")
def max_pool_grad(grad, x, **call):
    return gradients.max_pool_grad(_converted(grad, x.dtype, "b"), x, **call)


@defect("input-of-objects-converted-beside-w", check="reject", when="x of objects")
def conv(x, w, bias, **call):
    return kernels.conv(_converted(x, w.dtype, "O"), w, bias, **call)


@defect("gradient-of-objects-converted", check="reject", when="x of objects, or grad")
def conv_weight_grad(grad, x, weight_shape, **call):
    floats = [_converted(array, np.float32, "O") for array in (grad, x)]
    return gradients.conv_weight_grad(*floats, weight_shape, **call)
