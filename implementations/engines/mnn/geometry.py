"""How MNN's pools place their windows, for the adapter and for scripts."""

from __future__ import annotations

from conformance.implementations._arguments import Padding, Shape, check_padding
from conformance.implementations.engines.padding import (
    any_padding,
    is_asymmetric,
    no_padding,
    windows_dropped,
)
from conformance.implementations.engines.parameters import Pool


def windows(size: Shape, p: Pool) -> tuple[Padding, Padding | None]:
    """Return the padding to put around an input, and that for the mode CAFFE or None for VALID.

    Raises ValueError for padding that is not one pair of whole numbers of 0 or more an axis.
    """
    if not any_padding(p.padding) and not p.ceil_mode:
        check_padding(len(p.kernel), p.padding)
        return no_padding(p.padding), None
    _, reach = p.windows(size)
    if _is_caffe(size, p, reach):
        return no_padding(p.padding), p.padding
    check_padding(len(p.kernel), p.padding)
    return reach, None


def _is_caffe(size: Shape, p: Pool, reach: Padding) -> bool:
    """Whether the mode CAFFE, whose output is rounded up, makes the windows that are due."""
    if is_asymmetric(p.padding) or windows_dropped(size, p, reach):
        return False
    return p.ceil_mode or all(
        (s + before + after - k) % step == 0
        for s, k, step, (before, after) in zip(size, p.kernel, p.stride, p.padding, strict=True)
    )
