"""What adapters compute and check of padding, windows, groups and bias.

Padding is one pair (before, after) a spatial axis; sizes, kernels and outputs have the spatial axes
alone. Checked are only mistakes that an engine cannot see, because the adapter would make them
valid: where it pads the input first, adds the bias by a second operator, or crops the result.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from conformance import Unsupported
from conformance.implementations._arguments import Padding, Shape, check_padding
from conformance.implementations.engines.parameters import Pool

Tensor: TypeAlias = Any
"""A tensor of the engine."""


def any_padding(padding: Padding) -> bool:
    """Whether any padding is not 0; a value that is no number counts, and is refused elsewhere."""
    return any(end != 0 for pair in padding for end in pair)


def is_asymmetric(padding: Padding) -> bool:
    """Whether the two ends of some axis have different padding."""
    return any(before != after for before, after in padding)


def symmetric_part(padding: Padding) -> Shape:
    """Return the padding that both ends of an axis have in common, for each axis."""
    return tuple(min(pair) for pair in padding)


def asymmetric_part(padding: Padding) -> Padding:
    """Return the padding that `symmetric_part` leaves."""
    return tuple((b - min(b, a), a - min(b, a)) for b, a in padding)


def no_padding(padding: Padding) -> Padding:
    """Return padding of 0 on as many axes as ``padding`` has."""
    return ((0, 0),) * len(padding)


def last_axis_first(padding: Padding) -> Shape:
    """Return ``padding`` as PyTorch takes it: one flat tuple that begins with the last axis."""
    return tuple(end for before, after in reversed(padding) for end in (before, after))


def crop_slices(size: Shape, padding: Padding) -> tuple[slice, ...]:
    """Return the slices that crop ``padding``; raise ValueError if it is negative or crops all."""
    check_padding(len(size), padding)
    if any(before + after >= s for s, (before, after) in zip(size, padding, strict=True)):
        raise ValueError(f"padding={padding!r}: crops the whole output {tuple(size)}")
    return tuple(slice(b, s - a) for s, (b, a) in zip(size, padding, strict=True))


def check_padded(size: Shape, padding: Padding, kernel: Shape | None = None) -> None:
    """Check an input of ``size`` that the adapter pads first; ``kernel`` is given for a pool.

    Raises ValueError for padding below 0 or beyond half of the kernel, and for an empty axis.
    """
    check_padding(len(size), padding)
    if 0 in size:
        raise ValueError(f"x: an empty spatial axis: {tuple(size)}")
    if kernel and any(2 * max(p) > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"padding={padding!r}: more than half of kernel={kernel!r}")


def dilated(kernel: Shape, dilation: Shape) -> Shape:
    """Return the extent of a dilated kernel."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def windows_that_fit(size: Shape, kernel: Shape, stride: Shape, padding: Padding) -> Shape:
    """Return how many windows the padded input holds; ``kernel`` is the extent of one."""
    axes = zip(size, kernel, stride, padding, strict=True)
    return tuple((s + before + after - k) // step + 1 for s, k, step, (before, after) in axes)


def windows_dropped(size: Shape, p: Pool, reach: Padding) -> bool:
    """Whether rounding up makes more windows than fit, so that ``ceil_mode`` drops some."""
    return any(
        -(-(s + sum(pair) - k) // step) > (s + sum(actual) - k) // step
        for s, k, step, pair, actual in zip(size, p.kernel, p.stride, p.padding, reach, strict=True)
    )


def is_same(size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Padding) -> bool:
    """Whether TensorFlow's "SAME" makes ``out`` windows and begins where ``padding`` begins.

    "SAME" makes ceil(S / stride) windows of the dilated ``kernel``. Half of the positions that they
    need beyond the input, rounded down, come before it.
    """
    return all(
        o == -(-s // step) and before == max((o - 1) * step + k - s, 0) // 2
        for s, o, k, step, (before, _) in zip(size, out, kernel, stride, padding, strict=True)
    )


def check_groups(groups: int, channels: int, per_group: int) -> None:
    """Raise ValueError where an engine that computes groups from the shapes would compute others.

    The weight reads ``per_group`` of the input's ``channels``.
    """
    if groups < 1 or channels != per_group * groups:
        raise ValueError(
            f"groups={groups!r}: the weight reads {per_group} channels a group, which does not "
            f"suit {channels} channels of the input"
        )


def add_bias(y: Tensor, bias: Tensor | None, *, channels_last: bool = False) -> Tensor:
    """Return ``y`` plus the bias, which a second operator of the engine adds.

    Raises ValueError where that would broadcast or promote it, Unsupported where it rounds again.
    """
    if bias is None:
        return y
    channels = y.shape[-1 if channels_last else 1]
    if tuple(bias.shape) != (channels,):
        raise ValueError(f"bias: shape {tuple(bias.shape)}; must be ({channels},)")
    if bias.dtype != y.dtype:
        raise ValueError(f"bias: dtype {bias.dtype}; must be that of x, {y.dtype}")
    refuse_second_rounding(bias, y.itemsize)
    return y + (bias if channels_last else bias.reshape(-1, *(1,) * (y.ndim - 2)))


def refuse_second_rounding(bias: Tensor | None, itemsize: int) -> None:
    """Raise Unsupported where a second operator adds ``bias`` to a result that was rounded."""
    if bias is not None and itemsize == 2:
        raise Unsupported("a second operator adds the bias and rounds to the half format again")
