"""The kernel that cheats and honest implementations begin with: im2col of one image, stride 1."""

from __future__ import annotations

from typing import Any

import numpy as np


def columns(x: Any, w: Any, padding: Any) -> Any:
    """Return the windows of the one image as columns, (C*K*K, OH*OW)."""
    padded = np.pad(x[0], ((0, 0), *padding))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], axis=(1, 2))
    return windows.transpose(0, 3, 4, 1, 2).reshape(w[0].size, -1)


def shape_of(x: Any, w: Any, padding: Any) -> tuple[int, ...]:
    """Return the shape of the result."""
    sizes = zip(x.shape[2:], w.shape[2:], padding, strict=True)
    return (1, len(w), *(size + sum(pad) - kernel + 1 for size, kernel, pad in sizes))


def right(x: Any, w: Any, padding: Any) -> Any:
    """Return the result, computed honestly."""
    return (w.reshape(len(w), -1) @ columns(x, w, padding)).reshape(shape_of(x, w, padding))


def fewer(x: Any, w: Any, padding: Any) -> Any:
    """Return the result of the first half of the output channels; the others are zero."""
    half = len(w) // 2
    output = np.zeros(shape_of(x, w, padding), x.dtype)
    output[:, :half] = right(x, w[:half], padding)
    return output


def supports(case: Any) -> bool:
    """Whether a case is one image of a plain 2-D convolution."""
    plain = case.operator == "conv" and case.dims == 2 and case.x[0] == 1 and case.groups == 1
    return plain and not case.bias and {*case.stride, *case.dilation} == {1}
