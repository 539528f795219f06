"""The frame of the course: the work that every operator needs, whatever its idea is.

A chapter writes the idea of an operator: a function of arrays that are ready to be computed with,
and of a `Call`, which says how the windows lie. The frame makes the operator of it::

    arguments are checked: sizes that do not fit raise, before anything is computed
    x is padded, and x, w and grad are widened to the dtype that sums are made in
    y = the idea
    the bias is added, and y is rounded to the dtype of x

float16 and bfloat16 are summed in float32 and rounded once, at the end; other dtypes are summed as
they are. The table lists the ideas; * stands for one number a spatial axis. With ``layout="NHWC"``
the axis C of an image comes last, and so do the axes C/G and O of a weight:

====================  ==============================================================================
conv                  x (N, C, *padded), w (O, C/G, *K), call -> y (N, O, *out)
conv_transpose        x (N, C, *out), w (C, O/G, *K), call -> y (N, O, *size)
max_pool              x (N, C, *padded), the padding being the lowest value, call -> y (N, C, *out)
avg_pool              x (N, C, *padded), counts (*out), call -> y (N, C, *out)
conv_weight_grad      grad (N, O, *out), x (N, C, *padded), call -> dw (O, C/G, *K)
max_pool_grad         grad (N, C, *out), x as for max_pool, call -> dx (N, C, *size)
avg_pool_grad         shares = grad / counts (N, C, *out), call -> dx (N, C, *size)
====================  ==============================================================================

Two gradients need no idea of their own: the gradient of conv's input is conv_transpose, and the
gradient of the bias is a sum.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import update_wrapper
from inspect import Parameter
from typing import Any

from conformance.implementations import _operators
from conformance.implementations._arguments import Array
from conformance.implementations._operators import Idea, Operator
from conformance.registration.implementation import Implementation
from conformance.signatures import SIGNATURES

_OPERATORS: dict[str, Operator] = {name: getattr(_operators, name) for name in SIGNATURES}
_RAISES = """Raises ValueError for an argument that does not fit the others, and names it, and
TypeError for a dtype without numbers."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Makes operators of ideas, and registers them: the decorator of a chapter's functions."""

    implementation: Implementation
    pads: bool = True
    """Whether ideas get padded arrays; if not, *padded in the table means *size."""

    def __call__(self, idea: Operator) -> Operator:
        """Register and return the operator that ``idea`` is named after.

        Raises KeyError for another name, `RegistrationError` for an operator that is there already.
        """
        return self.implementation(self.operator(idea.__name__, idea))

    def operator(self, name: str, idea: Operator) -> Operator:
        """Return the operator ``name`` that ``idea`` makes, without registering it.

        Its docstring is the idea's, then that of `_operators`. Raises KeyError for an unknown name.
        """
        operator = self._bind(name, idea)
        text = operator.__doc__
        update_wrapper(operator, idea)
        operator.__doc__ = f"{inspect.getdoc(idea)}\n\n{text}"
        return operator

    def gradients(self, conv_transpose: Operator) -> tuple[Operator, Operator]:
        """Register and return conv_input_grad and conv_bias_grad, beside ``conv_transpose``.

        conv_input_grad uses the idea of ``conv_transpose``, an operator that this frame made.
        """
        idea = inspect.unwrap(conv_transpose)
        operators = [self._bind(name, idea) for name in ("conv_input_grad", "conv_bias_grad")]
        for operator in operators:
            operator.__module__ = idea.__module__  # where scripts import it from
            self.implementation(operator)
        return operators[0], operators[1]

    def _bind(self, name: str, compute: Operator) -> Operator:
        """Return the operator ``name`` of `_operators`, with ``compute`` for its idea."""
        function, signature = _OPERATORS[name], SIGNATURES[name]
        idea = Idea(compute, self.implementation.layout == "NHWC", self.pads)

        def operator(*arguments: Any, **parameters: Any) -> Array:
            return function(idea, *arguments, **parameters)

        operator.__name__ = operator.__qualname__ = name
        operator.__doc__ = f"{inspect.getdoc(function)}\n\n{_RAISES}"
        items = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in signature.arguments]
        items += [Parameter(name, Parameter.KEYWORD_ONLY) for name in signature.parameters]
        operator.__signature__ = inspect.Signature(items)  # type: ignore[attr-defined]
        return operator
