"""A case: one fully determined call of one operator, and its one-line printed form, the case id.

A case id is a list of fields joined by colons, defaults left out, safe to paste into a shell::

    conv2d:float32:x=2,3,5,7:w=4,3,3,2:bias:stride=2,1:padding=1/0,0/0:integers@17

reads: conv in two dimensions; input (2, 3, 5, 7), weight (4, 3, 3, 2), with a bias; one row of
padding before the first axis; data made by the recipe ``integers`` from seed 17.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

from conformance.dtypes import DTYPES, meant_dtype
from conformance.errors import CaseError, did_you_mean
from conformance.signatures import SIGNATURES

Shape: TypeAlias = tuple[int, ...]
Padding: TypeAlias = tuple[tuple[int, int], ...]
Measured: TypeAlias = tuple[float, float, float]
"""The least and the greatest of some numbers, and the root of the mean of their squares."""

RECIPES = ("integers", "impulse", "digits", "normal", "small", "wide")
"""How generated data can be made (`conformance.cases.data`), the most readable first."""

SPECIAL_RECIPES = ("nan", "inf", "zeros", "subnormal", "huge")
"""How data can be made that holds special values."""

EVERY = "every"
"""How data is made that holds every value of a dtype: bit patterns that count up from the seed."""

MEASURED = "measured"
"""How data is made that lies in the `Case.ranges` of a model's own."""

ALL_RECIPES = (*RECIPES, *SPECIAL_RECIPES, EVERY, MEASURED)

MEMORY_LAYOUTS = (
    "contiguous",
    "fortran",
    "strided",
    "reversed",
    "broadcast",
    "offset",
    "unaligned",
    "readonly",
    "byteswapped",
    "channels_last",
    "channels_last_cropped",
    "cropped",
    "cropped_channels",
    "cropped_rows",
    "cropped_columns",
    "flipped",
    "flipped_channels",
    "expanded_batch",
    "expanded_channels",
    "exchanged",
    "spatial_first",
    "singletons",
    "shared",
)
"""How arrays can lie in memory (`conformance.calling.memory`)."""

_LONGEST_ID = 1000
"""Characters of a case id at most: its numbers stay short enough to be read and printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fully determined call: operator, dtype, shapes, parameters, data and memory layout.

    Shapes are channels-first: ``x`` is (N, C, *S), ``w`` is (O, C/groups, *K), for conv_transpose
    (C, O/groups, *K). A parameter that the operator does not have keeps its default. Tuples of
    parameters that are left empty are filled with the default, one an axis. A gradient has the
    fields of its forward call; conv_bias_grad, which depends on grad alone, has grad's shape as x.
    """

    operator: str
    """The operator's name, such as "conv"."""
    x: Shape
    """The input's shape: batch, channels, spatial axes."""
    w: Shape | None = None
    """The weight's shape; None if the operator has no weight."""
    bias: bool = False
    """Whether there is a bias."""
    kernel: Shape | None = None
    """The sizes of a pooling window; None if the operator is no pooling."""
    stride: Shape = ()
    """How far windows lie apart: a number an axis."""
    padding: Padding = ()
    """A pair (before, after) an axis."""
    output_padding: Shape = ()
    """What is added to the size of a transposed convolution's output: a number an axis."""
    dilation: Shape = ()
    """How far the elements of a window lie apart: a number an axis."""
    groups: int = 1
    """How many groups the channels are split into; 1 for an ordinary convolution."""
    ceil_mode: bool = False
    """Whether the output's size is rounded up."""
    count_include_pad: bool = True
    """Whether an average counts the padding."""
    dtype: str = "float32"
    """The name of the arrays' dtype."""
    data: str = "integers"
    """How the data is made: one of ALL_RECIPES."""
    seed: int = 0
    """The seed that the data is made from."""
    memory: str = "contiguous"
    """One of MEMORY_LAYOUTS, for every array, or for one of them: ``reversed-w``."""
    invalid: str = ""
    """The name of what makes the call invalid (`conformance.cases.invalid`), or empty."""
    ranges: tuple[Measured, ...] = ()
    """Of data that is ``measured``: what the numbers of each array are, to four digits."""

    def __post_init__(self) -> None:
        dims = self.dims
        if self.ranges:
            kept = self.ranges if self.data == MEASURED else ()
            object.__setattr__(self, "ranges", tuple(map(_rounded, kept)))
        for name in ("stride", "dilation"):
            if not getattr(self, name):
                object.__setattr__(self, name, (1,) * dims)
        if not self.output_padding:
            object.__setattr__(self, "output_padding", (0,) * dims)
        if not self.padding:
            object.__setattr__(self, "padding", ((0, 0),) * dims)

    @property
    def dims(self) -> int:
        """The number of spatial dimensions."""
        return len(self.x) - 2

    @property
    def window(self) -> Shape:
        """The kernel's sizes, whether it is a weight's or a pooling window's."""
        return self.kernel if self.kernel is not None else (self.w or ())[2:]

    @property
    def parameters(self) -> dict[str, Any]:
        """The keyword parameters of the call."""
        return {name: getattr(self, name) for name in SIGNATURES[self.operator].parameters}

    @property
    def id(self) -> str:
        """The case as one printable line, which `parse` reads back."""
        return str(self)

    def __str__(self) -> str:
        # A run asks for many ids: a field that has its default costs no more than the comparison.
        ones, zeros, unpadded = _defaults(self.dims)
        parts = [f"{self.operator}{self.dims}d", self.dtype, f"x={_ints(self.x)}"]
        if self.w is not None:
            parts.append(f"w={_ints(self.w)}")
        if self.kernel is not None:
            parts.append(f"kernel={_ints(self.kernel)}")
        if self.bias:
            parts.append("bias")
        if self.stride != ones:
            parts.append(f"stride={_ints(self.stride)}")
        if self.padding != unpadded:
            parts.append(f"padding={_pairs(self.padding)}")
        if self.output_padding != zeros:
            parts.append(f"output_padding={_ints(self.output_padding)}")
        if self.dilation != ones:
            parts.append(f"dilation={_ints(self.dilation)}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.ceil_mode:
            parts.append("ceil_mode")
        if not self.count_include_pad:
            parts.append("exclude_pad")
        if self.memory != "contiguous":
            parts.append(f"memory={self.memory}")
        if self.invalid:
            parts.append(f"invalid={self.invalid}")
        if self.ranges:
            parts.append(f"ranges={_measured(self.ranges)}")
        parts.append(f"{self.data}@{self.seed}")
        return ":".join(parts)

    @property
    def check(self) -> str:
        """The check that the case is made for (`conformance.requirements.CHECKS`)."""
        if self.invalid:
            return "reject"
        if self.memory != "contiguous":
            return "layout"
        return "special" if self.data in (*SPECIAL_RECIPES, EVERY) else "result"

    @classmethod
    def parse(cls, text: str) -> Case:
        """Return the case whose id is ``text``; raise `CaseError` for what is not a case id.

        `conformance.cases.validity` tells whether the operator accepts the case.
        """
        line = text.strip()
        if len(line) > _LONGEST_ID or not (line.isascii() and line.isprintable()):
            shown = ascii(line if len(line) <= 60 else f"{line[:56]} ...")
            raise CaseError(
                f"case id {shown}; allowed: at most {_LONGEST_ID} printable ASCII characters"
            )
        return _parse(line)

    def plain(self) -> Case:
        """Return the call of the same shapes whose parameters, dtype and data are the defaults."""
        return Case(operator=self.operator, x=self.x, w=self.w, kernel=self.kernel)

    def replace(self, **changes: Any) -> Case:
        """Return a copy with some fields changed (not validated)."""
        return replace(self, **changes)


@cache
def _defaults(dims: int) -> tuple[Shape, Shape, Padding]:
    """Return what strides, output padding and padding are where nothing is said of them."""
    return (1,) * dims, (0,) * dims, ((0, 0),) * dims


def _ints(values: Shape) -> str:
    return ",".join(map(str, values))


def _pairs(values: Padding) -> str:
    return ",".join(f"{before}/{after}" for before, after in values)


def _measured(ranges: tuple[Measured, ...]) -> str:
    return ",".join("/".join(f"{number:.4g}" for number in one) for one in ranges)


def _rounded(one: Measured) -> Any:
    return tuple(float(f"{number:.4g}") for number in one)


# --- parsing ------------------------------------------------------------------------------------

_HEADS = tuple(f"{operator}{dims}d" for operator in SIGNATURES for dims in (1, 2, 3))
_HEAD = re.compile(r"([a-z_]+?)([123])d")
_DATA = re.compile(r"([a-z]+)@(\d+)")


def _parse_ints(text: str) -> Shape:
    return tuple(int(part) for part in text.split(","))


def _parse_padding(text: str) -> Padding:
    pairs = [pair.split("/") for pair in text.split(",")]
    return tuple((int(before), int(after)) for before, after in pairs)


def _parse_measured(text: str) -> tuple[Any, ...]:
    triples = [tuple(map(float, part.split("/"))) for part in text.split(",")]
    if any(len(triple) != 3 for triple in triples):
        raise ValueError(text)
    return tuple(triples)


_VALUES: dict[str, tuple[Callable[[str], Any], str]] = {
    "x": (_parse_ints, "x=2,3,5,7"),
    "w": (_parse_ints, "w=4,3,3,3"),
    "kernel": (_parse_ints, "kernel=3,3"),
    "stride": (_parse_ints, "stride=2,1"),
    "padding": (_parse_padding, "padding=1/0,0/0"),
    "output_padding": (_parse_ints, "output_padding=1,0"),
    "dilation": (_parse_ints, "dilation=2,1"),
    "groups": (int, "groups=2"),
    "memory": (str, "memory=reversed-w"),
    "invalid": (str, "invalid=stride-zero"),
    "ranges": (_parse_measured, "ranges=-2/2.5/1,-0.1/0.1/0.05"),
}
_FLAGS: dict[str, tuple[str, bool]] = {
    "bias": ("bias", True),
    "ceil_mode": ("ceil_mode", True),
    "exclude_pad": ("count_include_pad", False),
}


def _parse(text: str) -> Case:
    head, *parts = text.split(":")
    match = _HEAD.fullmatch(head)
    if match is None or match[1] not in SIGNATURES:
        raise CaseError(
            f"case id '{text}': '{head}' is not an operator with its dimensions; "
            f"{did_you_mean(head, _HEADS)}allowed: "
            f"{', '.join(SIGNATURES)} followed by 1d, 2d or 3d, such as conv2d"
        )
    if not parts or parts[0] not in DTYPES:
        hint = did_you_mean(parts[0], DTYPES, meant_dtype(parts[0])) if parts else ""
        raise CaseError(
            f"case id '{text}': the second field is the dtype; {hint}allowed: {', '.join(DTYPES)}"
        )
    values: dict[str, Any] = {"operator": match[1], "dtype": parts[0]}
    for part in parts[1:]:
        name, value = _parse_field(part, text)
        if any(key in values for key in value):
            raise CaseError(f"case id '{text}': '{name}' is given twice; give it once")
        values |= value
    if "x" not in values:
        raise CaseError(f"case id '{text}': x is missing; add the input's shape, like x=2,3,5,7")
    if "data" not in values:
        raise CaseError(
            f"case id '{text}': the data is missing; end with one of "
            f"{', '.join(f'{recipe}@SEED' for recipe in RECIPES)}"
        )
    case = Case(**values)
    if case.dims != int(match[2]):
        raise CaseError(
            f"case id '{text}': x has {case.dims} spatial axes where {head} needs {match[2]}"
        )
    return case


def _parse_field(part: str, text: str) -> tuple[str, dict[str, Any]]:
    if part in _FLAGS:
        name, flag = _FLAGS[part]
        return part, {name: flag}
    name, _, value = part.partition("=")
    if name in _VALUES:
        reader, example = _VALUES[name]
        try:
            return name, {name: reader(value)}
        except ValueError:
            raise CaseError(
                f"case id '{text}': '{part}' cannot be read; write it like {example}"
            ) from None
    match = _DATA.fullmatch(part)
    if match is not None and match[1] in ALL_RECIPES:
        return "data", {"data": match[1], "seed": int(match[2])}
    hint = did_you_mean(name.split("@")[0], (*_VALUES, *_FLAGS, *ALL_RECIPES))
    raise CaseError(
        f"case id '{text}': '{part}' is not a field; {hint}"
        f"allowed: {', '.join((*_VALUES, *_FLAGS))} "
        f"and the data, one of {', '.join(f'{recipe}@SEED' for recipe in RECIPES)}"
    )
