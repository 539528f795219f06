"""Changes that make a case one that fewer implementations would decline, and keep the rest of it.

A change of one field may make the call invalid: less padding may leave no output. So sizes are
fitted at the end (`fitted`), and only as far as is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from conformance.case import SPECIAL_RECIPES, Case, Shape
from conformance.operators import FORWARD, GRADIENTS, OPERATORS, Operator
from conformance.operators.validity import is_valid_call
from conformance.sizes import span, transpose_size

Change: TypeAlias = Callable[[Case], Case]
"""A function of a case that has no effect when it is applied again."""


def forward_of(case: Case) -> Operator:
    """Return the operator that the geometry of a case is that of."""
    gradient = GRADIENTS.get(case.operator)
    return gradient.forward if gradient else FORWARD[case.operator]


def fitted(case: Case) -> Case | None:
    """Return the case with sizes for which it is valid, or None if there are none."""
    if is_valid_call(case):
        return case
    operator = forward_of(case)
    if not case.window or not operator.parameters:
        return None
    if case.kernel is not None:  # the padding of a pooling is at most half of its window
        halves = [k // 2 for k in case.kernel]
        pads = zip(case.padding, halves, strict=True)
        case = case.replace(padding=tuple((min(b, h), min(a, h)) for (b, a), h in pads))
    if operator.is_transposed:
        most = map(max, case.stride, case.dilation)
        fewer = zip(case.output_padding, most, strict=True)
        case = case.replace(output_padding=tuple(min(value, m - 1) for value, m in fewer))
    sizes = tuple(_least_size(case, operator, axis) for axis in range(case.dims))
    case = case.replace(x=(*case.x[:2], *map(max, case.x[2:], sizes)))
    return case if is_valid_call(case) else None


def _least_size(case: Case, operator: Operator, axis: int) -> int:
    kernel, stride, dilation = case.window[axis], case.stride[axis], case.dilation[axis]
    padding, extra = case.padding[axis], case.output_padding[axis]
    if not operator.is_transposed:
        return max(1, span(kernel, dilation) - sum(padding))
    return 1 + max(
        0, -(-(1 - transpose_size(1, kernel, stride, padding, dilation, extra)) // stride)
    )


# --- one field ------------------------------------------------------------------------------------


def fixed(name: str, value: Any) -> Change:
    """Set a field to one value, on every axis if it has axes."""

    def change(case: Case) -> Case:
        spread = isinstance(getattr(case, name), tuple)
        return case.replace(**{name: (value,) * case.dims if spread else value})

    return change


def exact(name: str, value: Any, case: Case) -> Case:
    """Give a field one value, with None for the entries of axes that may have any.

    Besides the fields of a case these are "kernel", "in_channels" and "out_channels". What is no
    parameter of the operator stays as it is. The outputs may be as many as "in_channels".
    """
    if value == "in_channels":
        value = case.x[1]
    if name in ("in_channels", "out_channels"):
        return _with_channels(case, name, value)
    if name == "kernel":
        own = window(lambda shape, _: tuple(map(_or, value, shape)))
        return own(case)
    if name not in forward_of(case).parameters:
        return case
    if name == "groups":
        return grouped(lambda _: value, case)
    if isinstance(value, tuple):
        value = tuple(map(_or, value, getattr(case, name)))
    return case.replace(**{name: value})


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


def _with_channels(case: Case, name: str, count: int) -> Case:
    """Give a convolution so many channels, in one group unless its groups divide them."""
    if case.w is None:
        if case.operator == "conv_bias_grad" and name == "out_channels":
            return case.replace(x=(case.x[0], count, *case.x[2:]))
        return case
    groups = case.groups if count % case.groups == 0 else 1
    transposed = forward_of(case).is_transposed
    outputs = case.w[1] * case.groups if transposed else case.w[0]
    inputs = case.x[1]
    inputs, outputs = (count, outputs) if name == "in_channels" else (inputs, count)
    if inputs % groups or outputs % groups:
        groups = 1
    own, other = (inputs, outputs) if transposed else (outputs, inputs)
    w = (own, other // groups, *case.w[2:])
    return case.replace(x=(case.x[0], inputs, *case.x[2:]), w=w, groups=groups)


def nearest(name: str, allowed: Sequence[int]) -> Change:
    """Replace the entries of a field that are not ``allowed`` by the nearest one that is."""

    def change(case: Case) -> Case:
        values = (min(allowed, key=lambda a: (abs(a - v), a)) for v in getattr(case, name))
        return case.replace(**{name: tuple(values)})

    return change


def uniform(name: str) -> Change:
    """Take the entry of one axis for every axis; the seed of the data says which."""

    def change(case: Case) -> Case:
        value = getattr(case, name)
        return case.replace(**{name: (value[case.seed % len(value)],) * len(value)})

    return change


def square_image(case: Case) -> Case:
    """Give the image the size of its longest axis on every axis."""
    size = max(case.x[2:], default=0)
    return case.replace(x=(*case.x[:2], *(size,) * case.dims))


def symmetric_padding(case: Case) -> Case:
    """Pad as many rows after each axis as before it: the larger number of the two."""
    return case.replace(padding=tuple((max(pair),) * 2 for pair in case.padding))


def half_padding(case: Case) -> Case:
    """Pad half of the window on either side, so that the size is kept where the stride is one."""
    return case.replace(padding=tuple((k // 2,) * 2 for k in case.window))


def stride_of_kernel(case: Case) -> Case:
    """Let windows lie side by side."""
    return case.replace(stride=case.window)


def window(change: Callable[[Shape, Case], Shape]) -> Change:
    """Change the shape of the window, whether it is that of a weight or of a pooling."""

    def changed(case: Case) -> Case:
        if case.w is not None:
            return case.replace(w=(*case.w[:2], *change(case.w[2:], case)))
        return case if case.kernel is None else case.replace(kernel=change(case.kernel, case))

    return changed


square_window = window(lambda shape, case: (shape[case.seed % len(shape)],) * len(shape))


def window_of(allowed: Sequence[int]) -> Change:
    """Replace the sizes of a window that are not ``allowed`` by the nearest one that is."""
    return window(
        lambda shape, case: tuple(min(allowed, key=lambda a: (abs(a - k), a)) for k in shape)
    )


def grouped(groups: Callable[[Case], int], case: Case) -> Case:
    """Give a convolution another number of groups, and the weight that it then needs."""
    if "groups" not in OPERATORS[case.operator].parameters or case.w is None:
        return case
    count, channels = groups(case), case.x[1]
    if count == case.groups or channels % count:
        return case
    if forward_of(case).is_transposed:
        outer = case.w[1] * case.groups
        outer = max(1, outer // count) if outer % count == 0 else 1
        return case.replace(w=(channels, outer, *case.w[2:]), groups=count)
    outer = case.w[0] if case.w[0] % count == 0 else count
    return case.replace(w=(outer, channels // count, *case.w[2:]), groups=count)


one_group: Change = partial(grouped, lambda case: 1)
depthwise: Change = partial(grouped, lambda case: case.x[1])


def without_bias(case: Case) -> Case:
    """Leave out the bias; a layout that was the bias's alone is then that of every array."""
    return case.replace(bias=False, memory=case.memory.removesuffix("-bias"))


def with_bias(case: Case) -> Case:
    """Add a bias, if the operator takes one."""
    return case.replace(bias=True) if "bias" in OPERATORS[case.operator].arguments else case


def batch_of(allowed: Sequence[int], case: Case) -> Case:
    """Replace a batch size that is not ``allowed`` by the nearest one that is."""
    n = min(allowed, key=lambda a: (abs(a - case.x[0]), a))
    return case.replace(x=(n, *case.x[1:]))


def full_batch(case: Case) -> Case:
    """Give an empty batch one sample."""
    return case.replace(x=(max(1, case.x[0]), *case.x[1:]))


def square_input(case: Case) -> Case:
    """Make every spatial axis as long as the longest of them."""
    size = max(case.x[2:])
    return case.replace(x=(*case.x[:2], *(size,) * case.dims))


def contiguous(case: Case) -> Case:
    """Lay every array out as usual."""
    return case.replace(memory="contiguous")


def memory_of(allowed: Sequence[str], case: Case) -> Case:
    """Lay arrays out as usual, unless they lie in one of the ``allowed`` ways."""
    return case if case.memory.partition("-")[0] in allowed else contiguous(case)


def ordinary_data(case: Case) -> Case:
    """Replace special values by whole numbers."""
    return case.replace(data="integers") if case.data in SPECIAL_RECIPES else case
