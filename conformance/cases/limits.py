"""How large a case may be: what is larger is refused before anything of that size is made."""

from __future__ import annotations

import math

from conformance.case import Case, Shape
from conformance.errors import CaseError
from conformance.machine import memory
from conformance.operators import GRADIENTS, OPERATORS, work

MOST = 2**31 - 1
"""The largest number in a case, its seed excepted; positions are then far below 2**63."""
MOST_ELEMENTS = 2**28
"""The most elements of an array: 2 GiB in float64."""
MOST_INDEX = 2**60
"""The product of the axes of an array may not be larger, even where one of them is empty."""
MOST_WORK = 2**40
"""The most multiply-accumulates of a call: minutes of all cores of a large machine."""
MOST_IN_WINDOW = 2**22
"""The most elements that a window reads, of all samples, where single windows are gathered."""
MOST_GATHERED = 2**24
"""The most elements of the windows at all positions of a generated call (`gathered`): a correct
implementation may hold them all, and is not to run out of memory."""
_BYTES = 32
"""How many bytes are held for each element, about: some arrays of float64."""


def check_size(case: Case) -> None:
    """Raise `CaseError` if a number, an array or the work of a valid call is too large."""
    for name in ("x", "w", "kernel", "stride", "padding", "output_padding", "dilation", "groups"):
        if _largest(getattr(case, name)) > MOST:
            value = getattr(case, name)
            raise _error(case, f"{name}={value!r} is too large; allowed: numbers up to {MOST}")
    operator = OPERATORS[case.operator]
    shapes = {name: operator.argument_shape(case, name) for name in operator.arguments}
    shapes["output"] = output = operator.output_shape(case)
    framed = output if operator.is_transposed else case.x  # what padding crops, or is added to
    axes = zip(framed[2:], case.padding, strict=True) if operator.has_window else ()
    whole = (*framed[:2], *(size + sum(padding) for size, padding in axes))
    shapes["output before cropping" if operator.is_transposed else "padded x"] = whole
    total = 0
    for name, shape in shapes.items():
        elements, plane = math.prod(shape or (0,)), math.prod((shape or ())[2:])
        if max(elements, plane) > MOST_ELEMENTS or _product(shape or ()) > MOST_INDEX:
            raise _error(case, f"{name} {shape} is too large; allowed: {MOST_ELEMENTS} elements")
        total += elements
    if work(case) > MOST_WORK:
        text = f"its {work(case)} multiply-accumulates are too many; allowed: {MOST_WORK}"
        raise _error(case, text)
    _check_memory(case, total)


def _product(shape: Shape) -> int:
    """Return the product of the axes that are not empty."""
    return math.prod(filter(None, shape))


def check_windows(case: Case) -> None:
    """Raise `CaseError` if all windows of a valid call are too large to be gathered.

    The exact result is computed from them, padded positions included.
    """
    operator = OPERATORS[case.operator]
    if not operator.has_window:
        return
    forward = GRADIENTS[case.operator].forward if case.operator in GRADIENTS else operator
    if operator.is_transposed:
        channels, positions = operator.output_shape(case)[1], math.prod(case.x[2:])
    else:
        channels, positions = case.x[1], math.prod(forward.output_shape(case)[2:])
    elements = max(1, case.x[0]) * channels * positions * math.prod(case.window)
    if elements > MOST_ELEMENTS:
        raise _error(
            case,
            f"its windows have {elements} elements, too many for an exact result; allowed: "
            f"{MOST_ELEMENTS}, and more in forward calls in float on data of integers",
        )
    _check_memory(case, elements)


def check_window(case: Case) -> None:
    """Raise `CaseError` if a window of a large call has too many elements to be verified."""
    samples, channels, kernel = max(1, case.x[0]), case.x[1] // case.groups, math.prod(case.window)
    if OPERATORS[case.operator].has_weight:
        elements, most = samples * channels * kernel, MOST_IN_WINDOW
    else:  # all windows of a channel are gathered
        positions = math.prod(OPERATORS[case.operator].output_shape(case)[2:])
        elements, most = samples * positions * kernel, MOST_ELEMENTS
    if elements > most:
        text = f"kernel={case.window!r} is too large to be verified: {elements} elements are read"
        raise _error(case, f"{text} at a time; allowed: {most}")


def gathered(case: Case, *, scattered: bool = False) -> int:
    """Return the elements of the windows at all positions of a valid forward call.

    Those of a transposed convolution, and of a gradient whose results are ``scattered``, lie at the
    positions of what is larger, its input or its output.
    """
    operator = OPERATORS[case.operator]
    out, size = math.prod(operator.output_shape(case)[2:]), math.prod(case.x[2:])
    positions = max(out, size) if scattered or operator.is_transposed else out
    return math.prod(case.x[:2]) * positions * math.prod(case.window)


def _largest(value: object) -> int:
    """Return the largest number in a field: a number, a tuple of them, of pairs, or None."""
    if isinstance(value, tuple):
        return max(map(_largest, value), default=0)
    return value if isinstance(value, int) else 0


def _check_memory(case: Case, elements: int) -> None:
    if elements * _BYTES > memory():
        needed, there = (f"{size / 2**30:.1f} GiB" for size in (elements * _BYTES, memory()))
        raise _error(case, f"it is too large: it takes about {needed} of memory, of {there}")


def _error(case: Case, text: str) -> CaseError:
    return CaseError(f"case {case.operator}{case.dims}d: {text}")
