"""Checks of a whole call, for adapters whose engine does not see the call as such.

`torch[unfold]` and SciPy are handed windows, filters or channels one by one: a convolution, its
groups and its padding exist in their adapters alone, and so must be judged there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from conformance.implementations._arguments import (
    Array,
    Shape,
    check_grad,
    conv_grad_size,
    conv_size,
    conv_transpose_size,
    like,
    pool_grad_size,
    pool_size,
)


def checked(function: Callable[..., Array]) -> Callable[..., Array]:
    """Return an operator (channels first, named as such) that raises for an invalid call."""
    check = _CHECKS[function.__name__]

    @wraps(function)
    def call(*arguments: Any, **parameters: Any) -> Array:
        check(*arguments, **parameters)
        return function(*arguments, **parameters)

    return call


def _avg_pool(x: Array, *, kernel: Shape, count_include_pad: bool, **rest: Any) -> None:
    pool_size(x, kernel, dilation=(1,) * len(kernel), **rest)


def _conv_input_grad(grad: Array, w: Array, input_shape: Shape, **parameters: Any) -> None:
    conv_grad_size(grad, like(w, input_shape), w, **parameters)


def _conv_weight_grad(grad: Array, x: Array, weight_shape: Shape, **parameters: Any) -> None:
    conv_grad_size(grad, x, like(x, weight_shape), **parameters)


def _avg_pool_grad(
    grad: Array, input_shape: Shape, *, kernel: Shape, count_include_pad: bool, **rest: Any
) -> None:
    x = like(grad, input_shape)
    pool_grad_size(grad, x, kernel, dilation=(1,) * len(kernel), **rest)


_CHECKS: dict[str, Callable[..., Any]] = {
    "conv": conv_size,
    "conv_transpose": conv_transpose_size,
    "max_pool": pool_size,
    "avg_pool": _avg_pool,
    "conv_input_grad": _conv_input_grad,
    "conv_weight_grad": _conv_weight_grad,
    "conv_bias_grad": check_grad,
    "max_pool_grad": pool_grad_size,
    "avg_pool_grad": _avg_pool_grad,
}
