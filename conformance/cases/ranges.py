"""The ranges that generation draws from, which are the ``[ranges]`` table of a spec file."""

from __future__ import annotations

from dataclasses import dataclass

MOST_EXAMPLES = 1_000_000
"""The most cases that are generated for an operator and dimension."""
EXAMPLE_BYTES = 30_000
"""The memory that an example takes, with what is derived from it, about: all of them are held."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """The values that generated cases may have; every tuple lists the allowed ones."""

    dims: tuple[int, ...] = (1, 2, 3)
    dtypes: tuple[str, ...] = ("float32", "float64")
    """Floating-point dtypes; their cases are converted to integer dtypes."""
    data: tuple[str, ...] = ("integers", "impulse", "digits", "normal", "wide")
    batch: tuple[int, ...] = (1, 2, 3, 0)
    channels: tuple[int, ...] = (1, 2, 3, 4)
    """Input channels, and output channels, of one group."""
    groups: tuple[int, ...] = (1, 2, 3, 4)
    multiplier: tuple[int, ...] = (1, 2, 3)
    """Output channels for each input channel of a depthwise convolution."""
    kernel: tuple[int, ...] = (1, 2, 3, 4, 5)
    stride: tuple[int, ...] = (1, 2, 3)
    dilation: tuple[int, ...] = (1, 2, 3)
    padding: tuple[int, ...] = (0, 1, 2, 3)
    """Rows before and after an axis; pooling cuts them to half of its window."""
    output: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    """Output sizes along an axis (conv_transpose: input sizes)."""
    boundary_channels: tuple[int, ...] = (7, 8, 9, 15, 16, 17, 31, 32, 33)
    boundary_widths: tuple[int, ...] = (31, 32, 33, 63, 64, 65)
    """Sizes at, one below and one above the sizes of vectors and tiles in kernels."""
    boundary_share: float = 0.25
    """The share of cases in which one axis has such a size."""
    work: int = 60_000
    """The largest cost of a case, in multiply-accumulates (`conformance.cases.draft`)."""
    seeds: int = 100
    """Data seeds are 0 to seeds - 1."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The whole numbers that a field of `Ranges` may hold, and how many of them."""

    least: int
    most: int
    values: int = 1
    """How many values the field may list; tables of all combinations on three axes are built."""


LIMITS: dict[str, Limit] = {
    "dims": Limit(1, 3, 3),
    "batch": Limit(0, 64, 16),
    "channels": Limit(1, 64, 16),
    "groups": Limit(1, 64, 16),
    "multiplier": Limit(1, 16, 16),
    "kernel": Limit(1, 16, 8),
    "stride": Limit(1, 16, 6),
    "dilation": Limit(1, 16, 6),
    "padding": Limit(0, 16, 6),
    "output": Limit(1, 64, 12),
    "boundary_channels": Limit(1, 1024, 32),
    "boundary_widths": Limit(1, 4096, 32),
    "work": Limit(1000, 100_000_000),
    "seeds": Limit(1, 10_000),
}
"""The limits of the whole-number fields: generous, but not for a typo (``kernel = [1000]``)."""
