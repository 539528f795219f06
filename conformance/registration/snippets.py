"""Snippets: an implementation's way to write its engine's own call as source text.

A report shows each difference with a standalone script that uses NumPy and the engine, and nothing
of this project. The suite writes the arrays and the exact result; only the adapter knows the call
in between. It declares ``implementation(..., snippet=function)``, a function that takes a
`SnippetCall` and returns the lines of source that make it::

    def snippet(call):
        return [
            "import torch, torch.nn.functional as F",
            f"got = F.conv{call.dims}d(torch.from_numpy(x), torch.from_numpy(w), "
            f"stride={call.text('stride')}).numpy()",
        ]

- Every array argument of the operator's signature (``x``, ``w``, ``bias``, ``grad``) is a variable
  of the script with that name, in the implementation's declared layout; ``call.arguments`` has the
  values, which tell what is None. Shapes (``input_shape``, ``weight_shape``) and parameters are not
  variables: write them out with ``call.text(name)``.
- Imports come first and go to the top of the script. The last line assigns the result, in the
  declared layout, to ``got``: a NumPy array, so that it can be compared with ``exact``.
- Three lines, imports included, keep the whole script within ten.
- bfloat16 numbers are handed over as float32 arrays, which hold them exactly: cast them in the
  engine, and the result to float32, so that the script needs no further package.
- Translate as the adapter does. To decline a call, return None, or raise anything: then the report
  shows a script that calls the adapter's function, as it does for an implementation without
  snippets.
- ``invalid`` calls come too, to show what an engine accepts: parameters may then be anything.

`implementations/engines/torch/snippet.py` is an example with every operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class SnippetCall:
    """One call to be written as source text."""

    operator: str
    dims: int
    dtype: str
    arguments: Mapping[str, Any]
    """The positional arguments by name, in the implementation's layout: arrays, None, shapes."""
    parameters: Mapping[str, Any]
    memory: Mapping[str, str]
    """How each argument lies in memory, by name: ``contiguous``, ``reversed``, ..."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """The versions of the packages that the implementation needs, where it runs."""
    invalid: str = ""
    """What makes the call invalid (`conformance.cases.invalid`), empty for a valid one."""

    def text(self, name: str) -> str:
        """Return a parameter, or a shape, as source text."""
        value = self.parameters[name] if name in self.parameters else self.arguments[name]
        return plain(value)


SnippetFunction: TypeAlias = Callable[[SnippetCall], Sequence[str] | None]


def plain(value: Any) -> str:
    """Return a parameter as source text; NaN and infinity have no literal of their own."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, tuple):
        return f"({', '.join(map(plain, value))}{',' * (len(value) == 1)})"
    return repr(value)
