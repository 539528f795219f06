"""A convolution over PyTorch's tensors, as a function and as a module.

convformance run --plugin my_torch.py
"""

import math

import numpy as np
import torch

from conformance import implementation, module


@implementation("my-torch-conv", arrays="torch")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    """`my_conv.py` with tensors: one matrix product for each position of the kernel."""
    # x (N, C, *S); w (O, C/groups, *K); bias (O,) or None; padding: a (before, after) pair an axis.
    n, o, per_group, kernel = x.shape[0], w.shape[0], w.shape[1], w.shape[2:]

    # What PyTorch would not notice by itself: an invalid call has to raise.
    dtypes = {tensor.dtype for tensor in (x, w, bias) if tensor is not None}
    if dtypes not in ({torch.float32}, {torch.float64}):
        raise TypeError(f"dtypes {dtypes}: must all be float32, or all float64")
    if 0 in x.shape[1:] or 0 in w.shape:
        raise ValueError(f"x {x.shape}, w {w.shape}: only the batch may be empty")
    if bias is not None and bias.shape != (o,):
        raise ValueError(f"bias {bias.shape}: must be ({o},)")
    if min(*stride, *dilation, groups) < 1 or o % groups:
        raise ValueError(f"stride={stride}, dilation={dilation}, groups={groups} with w {w.shape}")
    if len(padding) != len(kernel) or min(map(min, padding)) < 0:
        raise ValueError(f"padding={padding}: a pair of sizes an axis")

    x = torch.nn.functional.pad(x, [end for pair in reversed(padding) for end in pair])
    out = tuple(
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    )
    if min(out) < 1:
        raise ValueError(f"the kernel {kernel} with dilation={dilation} is larger than the input")

    # A product for each kernel position: (O/G, C/G) @ (C/G, P) -> (O/G, P), P output positions.
    y = x.new_zeros(n, groups, o // groups, math.prod(out))
    weights = w.reshape(groups, o // groups, per_group, *kernel)
    for position in np.ndindex(*kernel):
        slices = (
            slice(k * d, k * d + (size - 1) * s + 1, s)
            for k, d, size, s in zip(position, dilation, out, stride, strict=True)
        )
        inputs = x[(..., *slices)].reshape(n, groups, per_group, math.prod(out))
        y = y + weights[(..., *position)] @ inputs

    y = y.reshape(n, o, *out)
    return y if bias is None else y + bias.reshape(o, *(1 for _ in out))


class MyConv2d(torch.nn.Conv2d):
    """A layer with that function in place of PyTorch's own."""

    def forward(self, x):
        padding = [(size, size) for size in self.padding]
        window = {"stride": self.stride, "dilation": self.dilation, "groups": self.groups}
        return conv(x, self.weight, self.bias, padding=padding, **window)


module("my-torch-layer", MyConv2d)
