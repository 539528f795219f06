"""Calls that differ from a case in one thing: a parameter, or the operator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from conformance.case import Case
from conformance.cases.validity import is_valid
from conformance.checks.relations.claims import put
from conformance.judging import Prepared
from conformance.operators import GRADIENTS, OPERATORS

_EACH = 3
"""Variations of one parameter."""
_TRIED = 8
"""Candidates for variations of one parameter whose exact results are computed."""


def parameters_changed(base: Prepared) -> Iterator[tuple[str, Prepared]]:
    """Yield what changed and the call, for calls with one other parameter and the same x and w.

    Each has another result than the base case and the variations before it. Results of the base
    case's shape, or of a shape that several variations have, come first: a cache whose key is made
    of shapes confuses them.
    """
    case = base.case
    operator = OPERATORS[case.operator]
    for name in operator.parameters:
        candidates = [c for c in _changed(case, name) if is_valid(c)]
        shapes, shape = [operator.output_shape(c) for c in candidates], operator.output_shape(case)
        order = sorted(
            range(len(candidates)),
            key=lambda i: (shapes[i] != shape, shapes.count(shapes[i]) == 1, i),
        )
        results = [base.reference.exact]
        for i in order[:_TRIED]:
            variation = Prepared.of(candidates[i])
            exact = variation.reference.exact
            if len(results) <= _EACH and not any(np.array_equal(exact, r) for r in results):
                results.append(exact)
                yield f"{name}={getattr(variation.case, name)}", variation


def _changed(case: Case, name: str) -> Iterator[Case]:
    value = getattr(case, name)
    if isinstance(value, bool):
        yield case.replace(**{name: not value})
    elif name == "groups":
        # The shape of conv's weight tells the groups; that of conv_transpose's does not.
        yield from (case.replace(groups=groups) for groups in (1, 2, 3, 4) if groups != value)
    elif name == "padding":
        for axis, (a, b) in enumerate(value):
            moved = (b, a), (a + 1, b - 1), (a - 1, b + 1)
            for pair in (*moved, (a + 1, b), (a, b + 1), (0, 0)):
                if pair != (a, b) and min(pair) >= 0:
                    yield case.replace(padding=put(value, axis, pair))
    elif isinstance(value, tuple):
        least = 0 if name == "output_padding" else 1
        yield case.replace(**{name: value[::-1]})
        for axis, size in enumerate(value):
            for other in (least, size + 1, size + 2, size - 1):
                if other != size and other >= least:
                    yield case.replace(**{name: put(value, axis, other)})


def other_operators(case: Case, operators: Iterable[str]) -> list[Case]:
    """Return calls of other operators with nearly the shapes and parameters of ``case``."""
    calls = []
    for name in operators:
        if name == case.operator:
            continue
        gradient = GRADIENTS.get(name)
        for plain in (False, True):
            call = _of(case, gradient.forward.name if gradient else name, plain=plain)
            call = gradient.derived(call) if gradient else call
            if is_valid(call):
                calls.append(call)
                break
    return calls


def _of(case: Case, operator: str, *, plain: bool) -> Case:
    """Return a call of a forward operator on the same x; ``plain`` leaves out all parameters."""
    c = case.x[1]
    window = case.window or (1,) * case.dims
    call = Case(operator=operator, x=case.x, dtype=case.dtype, data=case.data, seed=case.seed)
    weighted = OPERATORS[operator].has_weight
    call = call.replace(w=(c, c, *window)) if weighted else call.replace(kernel=window)
    if plain:
        return call
    shared = {"stride", "dilation"} & {*OPERATORS[operator].parameters}
    pairs = zip(case.padding, window, strict=True)
    padding = tuple((min(b, k // 2), min(a, k // 2)) for (b, a), k in pairs)
    return call.replace(padding=padding, **{name: getattr(case, name) for name in shared})
