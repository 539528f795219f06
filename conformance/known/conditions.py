"""Named conditions on a case: what a plain ``where`` of a known difference cannot say.

A condition says one thing about the geometry of a call; an entry combines it with a ``where``, with
others, or with the opposite of one (``"not depthwise"``). The first line of its docstring is how
reports put it. Any case may be asked about: a call without a window has no window of padding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from conformance.case import Case
from conformance.errors import unknown

Condition: TypeAlias = Callable[[Case], bool]


def valid(case: Case) -> bool:
    """The call is valid."""
    return not case.invalid


def one_channel_a_group(case: Case) -> bool:
    """Each group has one channel."""
    return case.w is not None and case.x[1] == case.groups


def depthwise(case: Case) -> bool:
    """Each group has one channel and one filter."""
    return case.w is not None and case.w[1] == 1 and case.w[0] == case.groups


def unit_kernel(case: Case) -> bool:
    """The kernel is 1 on every axis."""
    return {*case.window} == {1}


def unequal_last_kernel_sizes(case: Case) -> bool:
    """The last two sizes of the kernel differ."""
    return len({*case.window[-2:]}) > 1


def unit_stride(case: Case) -> bool:
    """The stride is 1 on every axis."""
    return {*case.stride} == {1}


def unit_dilation(case: Case) -> bool:
    """The dilation is 1 on every axis."""
    return {*case.dilation} == {1}


def stride_beyond_kernel(case: Case) -> bool:
    """The stride is larger than the kernel, on some axis."""
    return any(step > kernel for _, kernel, step, _, _ in _axes(case))


def window_of_padding_alone(case: Case) -> bool:
    """A window reads nothing but padding, on some axis."""
    return any(not all(_reads_input(*axis)) for axis in _axes(case))


def axis_of_padding_alone(case: Case) -> bool:
    """No window reads the input, on some axis."""
    return any(not any(_reads_input(*axis)) for axis in _axes(case))


def window_begins_beyond_input(case: Case) -> bool:
    """Rounding the output up would add a window that begins beyond the input."""
    return case.ceil_mode and any(
        -(-(before + size + after - d * (kernel - 1) - 1) // step) * step >= before + size
        for size, kernel, step, d, (before, after) in _axes(case)
    )


def window_ends_beyond_padding(case: Case) -> bool:
    """Rounding the output up adds a window that reaches beyond the padding."""
    return case.ceil_mode and any(
        (before + size + after - d * (kernel - 1) - 1) % step
        for size, kernel, step, d, (before, after) in _axes(case)
    )


def padded_or_rounded_up(case: Case) -> bool:
    """There is padding, or rounding the output up adds a window that reaches beyond the input."""
    return any(map(any, case.padding)) or window_ends_beyond_padding(case)


def padding_beyond_dilated_kernel(case: Case) -> bool:
    """Padding is larger than dilation times kernel at both ends of some axis."""
    return any(min(padding) > d * kernel for _, kernel, _, d, padding in _axes(case))


def unit_kernel_with_output_beyond_padding(case: Case) -> bool:
    """A kernel of 1 with padding before, and output_padding a stride or more beyond that after."""
    return any(
        kernel == 1 and before > 0 and extra - after >= step
        for (_, kernel, step, _, (before, after)), extra in zip(
            _axes(case), case.output_padding, strict=False
        )
    )


def _axes(case: Case) -> list[tuple[int, int, int, int, tuple[int, int]]]:
    """Return size, kernel, stride, dilation and padding of each spatial axis; none if no window."""
    if not case.window:
        return []
    parameters = (case.window, case.stride, case.dilation, case.padding)
    return list(zip(case.x[2:], *parameters, strict=True))


def _reads_input(size: int, kernel: int, step: int, d: int, padding: tuple[int, int]) -> list[bool]:
    """Return, for each window along an axis, whether it reads the input."""
    before, after = padding
    starts = range(-before, size + after - d * (kernel - 1), step)
    return [any(0 <= start + k * d < size for k in range(kernel)) for start in starts]


CONDITIONS: Mapping[str, Condition] = MappingProxyType(
    {
        name: function
        for name, function in globals().items()
        if getattr(function, "__module__", "") == __name__ and not name.startswith("_")
    }
)
"""The conditions that an entry can name: the functions above."""


def holds(condition: str, case: Case) -> bool:
    """Whether a condition, or the opposite of one (``"not depthwise"``), holds for a case."""
    name = condition.removeprefix("not ")
    return CONDITIONS[name](case) is (name == condition)


def text(condition: str) -> str:
    """Return what a condition says, as part of a sentence."""
    name = condition.removeprefix("not ")
    sentence = (CONDITIONS[name].__doc__ or name).splitlines()[0].rstrip(".")
    sentence = sentence[:1].lower() + sentence[1:]
    return sentence if name == condition else f"not: {sentence}"


def complaint(condition: object) -> str:
    """Return what is wrong with the name of a condition; empty if nothing is."""
    name = condition.removeprefix("not ") if isinstance(condition, str) else ""
    if name in CONDITIONS:
        return ""
    return unknown("condition", condition, CONDITIONS)
