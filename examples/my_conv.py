import math

import numpy as np

from conformance import implementation


@implementation("my-conv")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    """A matrix product for each position of the kernel.

    Output position p reads input position p*stride + k*dilation under kernel position k. For one k
    those inputs are a strided slice of x, and w[..., k] is a matrix that mixes channels. The sum of
    the products over all k is the convolution.
    """
    # x (N, C, *S), w (O, C/groups, *K), bias (O,) or None; padding has a (before, after) an axis.
    n, o, per_group = x.shape[0], w.shape[0], w.shape[1]
    kernel = w.shape[2:]
    if min(stride) < 1 or min(dilation) < 1 or o % groups:  # what NumPy would not notice itself
        raise ValueError(f"stride={stride}, dilation={dilation}, groups={groups}, w {w.shape}")

    # Half precision is summed in float32, as the suite expects of it.
    dtype = np.promote_types(x.dtype, np.float32)
    x_padded = np.pad(x.astype(dtype), ((0, 0), (0, 0), *padding))
    out = tuple(
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(x_padded.shape[2:], kernel, stride, dilation, strict=True)
    )
    if min(out) < 1:
        raise ValueError(f"kernel {kernel} with dilation={dilation} is larger than the input")

    # One matrix product a kernel position and group: (O/G, C/G) @ (C/G, P) -> (O/G, P).
    y = np.zeros((n, groups, o // groups, math.prod(out)), dtype)
    weights = w.astype(dtype).reshape(groups, o // groups, per_group, *kernel)
    for position in np.ndindex(kernel):
        read = tuple(
            slice(k * d, k * d + (size - 1) * s + 1, s)
            for k, d, size, s in zip(position, dilation, out, stride, strict=True)
        )
        seen = x_padded[(..., *read)].reshape(n, groups, per_group, math.prod(out))
        y += weights[(..., *position)] @ seen

    y = y.reshape(n, o, *out)
    if bias is not None:
        y += bias.reshape(o, *(1 for _ in out))
    return y.astype(x.dtype)
