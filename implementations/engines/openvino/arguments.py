"""A call's arguments as OpenVINO's operators take them: for its adapter, and for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.implementations._arguments import Array

_ATTRIBUTES = {"stride": "strides", "dilation": "dilations", "kernel": "kernel_shape"}
"""OpenVINO's name of a parameter, where it is another one."""


def function_name(operator: str, several_groups: bool) -> str:
    """Return OpenVINO's name of an operator."""
    if operator.endswith("pool"):
        return operator
    backward = "_backprop_data" if operator == "conv_transpose" else ""
    return f"{'group_' if several_groups else ''}convolution{backward}"


def grouped(w: Array, groups: int) -> Array:
    """Return ``w`` with its first axis divided into groups, where there are several.

    Raises ValueError for groups that do not divide it.
    """
    if groups == 1:
        return w
    if groups < 1 or len(w) % groups:
        raise ValueError(f"groups={groups!r}: must divide the first axis of w{w.shape}")
    return w.reshape(groups, len(w) // groups, *w.shape[1:])


def attributes(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a call's operator; groups are in the shape of the weights."""
    values: dict[str, Any] = {}
    for name, value in parameters.items():
        if name == "padding":
            before, after = zip(*value, strict=True) if value else ((), ())
            values |= {"pads_begin": before, "pads_end": after}
        elif name == "ceil_mode":
            values["rounding_type"] = "ceil_torch" if value else "floor"
        elif name == "count_include_pad":
            values["exclude_pad"] = not value
        elif name != "groups":
            fixed = tuple(value) if isinstance(value, (list, tuple)) else value
            values[_ATTRIBUTES.get(name, name)] = fixed
    return values
