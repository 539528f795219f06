"""The operators' call signatures, as plain data: what registration checks a function against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signature:
    """How an operator is called: positional arguments, then keyword parameters."""

    arguments: tuple[str, ...]
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        if not self.parameters:
            return f"({', '.join(self.arguments)})"
        return f"({', '.join(self.arguments)}, *, {', '.join(self.parameters)})"


_CONV = ("stride", "padding", "dilation", "groups")
_MAX_POOL = ("kernel", "stride", "padding", "dilation", "ceil_mode")
_AVG_POOL = ("kernel", "stride", "padding", "ceil_mode", "count_include_pad")

SIGNATURES: dict[str, Signature] = {
    "conv": Signature(("x", "w", "bias"), _CONV),
    "conv_transpose": Signature(
        ("x", "w", "bias"), ("stride", "padding", "output_padding", "dilation", "groups")
    ),
    "max_pool": Signature(("x",), _MAX_POOL),
    "avg_pool": Signature(("x",), _AVG_POOL),
}
"""Every operator by name, in the order in which tables list them."""
