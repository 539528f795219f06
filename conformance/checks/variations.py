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
"""Candidates for them whose exact results are looked at."""


def parameters_changed(base: Prepared) -> Iterator[tuple[str, Prepared]]:
    """Yield calls with one parameter changed and the same shapes of x and w, and what changed.

    Only such calls count as have another result than the base case. First those whose result has
    the shape of the base case's, or of an earlier variation's: no key made of shapes tells them
    apart.
    """
    case = base.case
    operator = OPERATORS[case.operator]
    for name in operator.parameters:
        candidates = [c for c in _changed(case, name) if is_valid(c)]
        shapes, known = [operator.output_shape(c) for c in candidates], operator.output_shape(case)
        order = sorted(
            range(len(candidates)),
            key=lambda i: (shapes[i] != known, shapes.count(shapes[i]) == 1, i),
        )
        results = [base.reference.exact]
        for i in order[:_TRIED]:
            made = Prepared.of(candidates[i])
            exact = made.reference.exact
            if len(results) <= _EACH and not any(np.array_equal(exact, r) for r in results):
                results.append(exact)
                yield f"{name}={getattr(made.case, name)}", made


def _changed(case: Case, name: str) -> Iterator[Case]:
    value = getattr(case, name)
    if isinstance(value, bool):
        yield case.replace(**{name: not value})
    elif name == "groups":
        # Of conv, the weight's shape tells the groups; of conv_transpose it does not.
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
    """Return calls of other operators with the shapes and parameters of ``case``, or nearly so."""
    found = []
    for name in operators:
        if name == case.operator:
            continue
        gradient = GRADIENTS.get(name)
        for plain in (False, True):
            made = _of(case, gradient.forward.name if gradient else name, plain=plain)
            made = gradient.derived(made) if gradient else made
            if is_valid(made):
                found.append(made)
                break
    return found


def _of(case: Case, operator: str, *, plain: bool) -> Case:
    """Return a call of a forward operator on the same x; ``plain`` leaves out all parameters."""
    c = case.x[1]
    window = case.window or (1,) * case.dims
    made = Case(operator=operator, x=case.x, dtype=case.dtype, data=case.data, seed=case.seed)
    weighted = OPERATORS[operator].has_weight
    made = made.replace(w=(c, c, *window)) if weighted else made.replace(kernel=window)
    if plain:
        return made
    shared = {"stride", "dilation"} & {*OPERATORS[operator].parameters}
    pairs = zip(case.padding, window, strict=True)
    padding = tuple((min(b, k // 2), min(a, k // 2)) for (b, a), k in pairs)
    return made.replace(padding=padding, **{name: getattr(case, name) for name in shared})
