"""The operators' call signatures, as plain data: what registration checks a function against."""

from __future__ import annotations

import re
from dataclasses import dataclass

from conformance.dtypes import DTYPES, FLOATS

ROLES = {
    "x": "image",
    "grad": "image",
    "input_shape": "image",
    "w": "weight",
    "weight_shape": "weight",
    "bias": "vector",
}
"""The role of each argument, which is an array, or the shape of one: an image (N, C, *S), a weight
(A, B, *K) or a vector (C,). The role, not the position, says which axes a memory layout moves."""


@dataclass(frozen=True, slots=True)
class Signature:
    """How an operator is called: positional arguments, then keyword parameters."""

    arguments: tuple[str, ...]
    parameters: tuple[str, ...]
    result: str = "image"
    """The role of the result: image, weight or vector."""
    dtypes: tuple[str, ...] = FLOATS
    """The dtypes that the operator is defined for."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The role of each argument."""
        return tuple(ROLES[name] for name in self.arguments)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arguments that are arrays, and no shapes."""
        return tuple(name for name in self.arguments if not name.endswith("_shape"))

    def __str__(self) -> str:
        keywords = ("*", *self.parameters) if self.parameters else ()
        return f"({', '.join((*self.arguments, *keywords))})"


_CONV = ("stride", "padding", "dilation", "groups")
_MAX_POOL = ("kernel", "stride", "padding", "dilation", "ceil_mode")
_AVG_POOL = ("kernel", "stride", "padding", "ceil_mode", "count_include_pad")

SIGNATURES: dict[str, Signature] = {
    "conv": Signature(("x", "w", "bias"), _CONV, dtypes=(*FLOATS, "int32", "int64")),
    "conv_transpose": Signature(
        ("x", "w", "bias"), ("stride", "padding", "output_padding", "dilation", "groups")
    ),
    "max_pool": Signature(("x",), _MAX_POOL, dtypes=DTYPES),
    "avg_pool": Signature(("x",), _AVG_POOL),
    "conv_input_grad": Signature(("grad", "w", "input_shape"), _CONV),
    "conv_weight_grad": Signature(("grad", "x", "weight_shape"), _CONV, result="weight"),
    "conv_bias_grad": Signature(("grad",), (), result="vector"),
    "max_pool_grad": Signature(("grad", "x"), _MAX_POOL),
    "avg_pool_grad": Signature(("grad", "input_shape"), _AVG_POOL),
}
"""Every operator by name, in the order in which tables list them."""

_CALLED_OTHERWISE = {
    "convolution": "conv",
    "correlation": "conv",
    "crosscorrelation": "conv",
    "depthwiseconv": "conv",
    "deconv": "conv_transpose",
    "deconvolution": "conv_transpose",
    "transposedconv": "conv_transpose",
    "transposeconv": "conv_transpose",
    "transposedconvolution": "conv_transpose",
    "maxpooling": "max_pool",
    "averagepool": "avg_pool",
    "averagepooling": "avg_pool",
    "avgpooling": "avg_pool",
    "meanpool": "avg_pool",
}
"""The names that frameworks have for some operators, without "_" and in small letters."""
LIKE_ONE = re.compile(r"conv(?!ert)|pool")
"""What the names of convolutions and pools of libraries have in them, in small letters."""
NOT_ONE = "it is no conv, conv_transpose, max_pool or avg_pool"
"""Why what has such a name need not be a call of an operator."""
_WITH_DIMS = re.compile(r"([123])d?(?=[a-z]|$)")


def meant_operator(name: object) -> str:
    """Return what another name of an operator, such as conv2d or MaxPool, stands for, or ""."""
    plain = re.sub("[_-]", "", str(name).casefold())
    dims = _WITH_DIMS.search(plain)
    plain = _WITH_DIMS.sub("", plain)
    names = {operator.replace("_", ""): operator for operator in SIGNATURES}
    operator = (names | _CALLED_OTHERWISE).get(plain, "")
    if operator and dims:
        return f"{operator} in {dims[1]} dimensions (-o {operator} --dims {dims[1]})"
    return operator
