import math

import numpy as np

from conformance import implementation


@implementation("ignores-dilation")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    """`my_conv.py` with a mistake: the output has the right size, but its values are not dilated.

    A comparison on a few random inputs passes as long as nobody thinks of dilation. The suite
    finds the mistake in about a second and shows the smallest input on which it shows.
    """
    n, o, per_group = x.shape[0], w.shape[0], w.shape[1]
    kernel = w.shape[2:]
    dtype = np.promote_types(x.dtype, np.float32)
    x_padded = np.pad(x.astype(dtype), ((0, 0), (0, 0), *padding))
    out = tuple(
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(x_padded.shape[2:], kernel, stride, dilation, strict=True)
    )
    y = np.zeros((n, groups, o // groups, math.prod(out)), dtype)
    weights = w.astype(dtype).reshape(groups, o // groups, per_group, *kernel)
    for position in np.ndindex(kernel):
        read = tuple(
            slice(k, k + (size - 1) * s + 1, s)  # should start at k * dilation
            for k, size, s in zip(position, out, stride, strict=True)
        )
        seen = x_padded[(..., *read)].reshape(n, groups, per_group, math.prod(out))
        y += weights[(..., *position)] @ seen
    y = y.reshape(n, o, *out)
    if bias is not None:
        y += bias.reshape(o, *(1 for _ in out))
    return y.astype(x.dtype)
