"""Recipes: how a call of an operator becomes a layer that is constructed, and called with x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.errors import Unsupported

_DEFAULTS = {"dilation": 1, "groups": 1, "output_padding": 0, "ceil_mode": False, "padding": 0}
_DEFAULTS |= {"count_include_pad": True}
_INPUTS, _OUTPUTS = "in_channels", "out_channels"
CHANNELS = (_INPUTS, _OUTPUTS)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the layer of one operator, in a number of dimensions, is constructed."""

    library: str
    """"torch" or "keras"."""
    name: str
    """The class."""
    operator: str
    dims: int
    arguments: tuple[tuple[str, str, int | None], ...]
    """What its constructor takes: a name, what it is of the call (`fields`), and if it is one
    number for an axis, which; -1 is one number for all axes."""
    fixed: tuple[tuple[str, Any], ...] = ()
    """What its constructor takes besides, always the same."""
    weight: str = "weight"
    bias: str = "bias"
    """The names of its parameters, dots for those of a part."""
    has_state: bool = True
    """Whether these are in the state of a module of PyTorch, and no other attributes."""

    apart: tuple[str, ...] = ()
    """What its constructor takes of which one alone is not the default."""

    order: tuple[str, ...] = ()
    """The arguments in their order, where the constructor takes them by position."""
    data: tuple[str, ...] = ()
    """What a function is called with in the place of a layer: these arrays, as one tuple."""
    file: str = ""
    """The file that has the class, where it is no module that a script can import."""
    strict: bool = True
    """Whether what it does not take has to be the default."""
    needs_derivative: bool = False
    """Whether a layer without a derivative fails, and is not passed over: its gradients are
    declared, and not merely its library's."""

    def fields(
        self, weight: Sequence[int] | None, bias: bool, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what a call says of a layer, channels and kernel among it.

        ``weight`` is the shape of the weight, channels first. Raises `Unsupported` for what is no
        layer of any parameters.
        """
        found = dict(parameters)
        if weight is None:
            return found
        groups = parameters["groups"]
        if len(weight) != self.dims + 2 or type(groups) is not int:
            raise Unsupported("a layer makes its own weight, of whole numbers")
        own, other, *kernel = weight
        inputs, outputs = other * groups, own
        if self.operator == "conv_transpose":
            inputs, outputs = own, other * groups
        found |= {_INPUTS: inputs, _OUTPUTS: outputs, "kernel": tuple(kernel), "bias": bias}
        return found

    def values(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the constructor; raise `Unsupported` for what has none."""
        given: dict[str, Any] = {}
        taken = set()
        others = [name for name in self.apart if not _is_default(name, fields)]
        if len(others) > 1:
            raise Unsupported(f"its constructor takes no {' together with a '.join(others)}")
        for name, field, axis in self.arguments:
            value = fields[field]
            if axis is not None and isinstance(value, tuple):
                if axis < 0 and len({*value}) != 1:
                    raise Unsupported(f"its constructor has one {field} for all axes")
                value = value[axis]
            if self.library == "keras" and field == "padding":
                value = value.lower() if isinstance(value, str) else value
            given[name] = value
            taken.add(field)
        for field in fields if self.strict else ():
            if field in taken or field in (*CHANNELS, "bias"):
                continue
            if not _is_default(field, fields):
                raise Unsupported(f"its constructor has no {field}")
        given |= dict(self.fixed)
        order = self.order or given
        return {name: given[name] for name in order}


def _is_default(field: str, fields: Mapping[str, Any]) -> bool:
    value, default = fields[field], _default(field, fields)
    entries = value if isinstance(value, tuple) else (value,)
    return bool(value == default or all(entry == default for entry in entries))


def _default(field: str, fields: Mapping[str, Any]) -> Any:
    if field == "stride":
        return 1 if _INPUTS in fields else fields["kernel"]
    return _DEFAULTS.get(field)
