import math

import numpy as np

from conformance import implementation


@implementation("ignores-dilation")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    """`my_conv.py` with one mistake: the output has the right size, and its values ignore dilation.

    A comparison on a few inputs passes as long as nobody thinks of dilation.
    """
    # x (N, C, *S); w (O, C/groups, *K); bias (O,) or None; padding: a (before, after) pair an axis.
    n, o, per_group, kernel = x.shape[0], w.shape[0], w.shape[1], w.shape[2:]

    # What NumPy would not notice by itself: an invalid call has to raise.
    dtypes = {array.dtype.name for array in (x, w, bias) if array is not None}
    if dtypes not in ({"float32"}, {"float64"}):
        raise TypeError(f"dtypes {sorted(dtypes)}: must all be float32, or all float64")
    if 0 in x.shape[1:] or 0 in w.shape:
        raise ValueError(f"x {x.shape}, w {w.shape}: only the batch may be empty")
    if bias is not None and bias.shape != (o,):
        raise ValueError(f"bias {bias.shape}: must be ({o},)")
    if min(*stride, *dilation, groups) < 1 or o % groups:
        raise ValueError(f"stride={stride}, dilation={dilation}, groups={groups} with w {w.shape}")

    x = np.pad(x, ((0, 0), (0, 0), *padding))
    out = tuple(
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    )
    if min(out) < 1:
        raise ValueError(f"the kernel {kernel} with dilation={dilation} is larger than the input")

    # A product for each kernel position: (O/G, C/G) @ (C/G, P) -> (O/G, P), P output positions.
    y = np.zeros((n, groups, o // groups, math.prod(out)), x.dtype.name)
    weights = w.reshape(groups, o // groups, per_group, *kernel)
    for position in np.ndindex(kernel):
        slices = (
            slice(k, k + (size - 1) * s + 1, s)  # the mistake: k should be k * dilation
            for k, size, s in zip(position, out, stride, strict=True)
        )
        inputs = x[(..., *slices)].reshape(n, groups, per_group, math.prod(out))
        y += weights[(..., *position)] @ inputs

    y = y.reshape(n, o, *out)
    return y if bias is None else y + bias.reshape(o, *(1 for _ in out))
