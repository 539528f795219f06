"""A layer and what is to replace it, in the layout of KernelBench.

convformance run --module my_model.py
"""

import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation)

    def forward(self, x):
        return self.conv(x)


class ModelNew(Model):
    """A matrix product of the windows, one after the other (im2col)."""

    def forward(self, x):
        layer = self.conv
        if 0 in layer.weight.shape:
            raise ValueError("a weight without elements")
        size, kernel = x.shape[2:], layer.kernel_size
        windows = layer.dilation, layer.padding, layer.stride
        columns = nn.functional.unfold(x, kernel, *windows)  # (N, C*K, P): P output positions
        y = layer.weight.flatten(1) @ columns + layer.bias[:, None]
        out = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, d, p, s in zip(size, kernel, *windows, strict=True)
        ]
        return y.reshape(len(x), -1, *out)


def get_inputs():
    return [torch.randn(2, 3, 9, 8)]


def get_init_inputs():
    return [3, 4, 3]
