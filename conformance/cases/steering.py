"""Steering: cases are changed until an implementation supports them, instead of being passed over.

What `only` describes is known, and needs no question. Any other ``supports=`` is asked. First about
the plainest cases: which value of each parameter is supported at all. Then each parameter is set
free again, as far as it stays supported. What is learnt in this way turns a case that is declined
into one that is supported; of that case each parameter is tried to be as it was before. So the
conditions between parameters (dilation, but only with stride one) need no language of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TypeAlias

from conformance.case import Case
from conformance.cases import changes
from conformance.cases.changes import Change
from conformance.cases.only import Only
from conformance.cases.validity import is_valid
from conformance.operators import OPERATORS, Operator

Accepts: TypeAlias = Callable[[Case], bool]
"""Whether an implementation supports a case."""


def _free(case: Case) -> Case:
    return case


_FIELDS: Mapping[str, tuple[Change, ...]] = {
    "window": (
        _free,
        changes.square_window,
        *(changes.window_of(sizes) for sizes in ((1, 3, 5), (2, 3), (3,), (2,), (1,))),
    ),
    "stride": (
        _free,
        changes.uniform("stride"),
        *(changes.nearest("stride", values) for values in ((1, 2), (1,), (2,))),
        changes.stride_of_kernel,
    ),
    "dilation": (
        _free,
        changes.uniform("dilation"),
        *(changes.nearest("dilation", values) for values in ((1, 2), (1,))),
    ),
    "padding": (
        _free,
        changes.symmetric_padding,
        lambda case: changes.uniform("padding")(changes.symmetric_padding(case)),
        changes.fixed("padding", (0, 0)),
        changes.half_padding,
    ),
    "output_padding": (
        _free,
        changes.uniform("output_padding"),
        changes.fixed("output_padding", 0),
    ),
    "groups": (_free, changes.one_group, changes.depthwise),
    "ceil_mode": (_free, changes.fixed("ceil_mode", False), changes.fixed("ceil_mode", True)),
    "count_include_pad": (
        _free,
        changes.fixed("count_include_pad", True),
        changes.fixed("count_include_pad", False),
    ),
    "bias": (_free, changes.without_bias, changes.with_bias),
    "input": (_free, changes.square_input),
    "batch": (_free, changes.full_batch, partial(changes.batch_of, (1,))),
    "memory": (_free, changes.contiguous),
    "data": (_free, changes.ordinary_data),
}
"""The changes of each field, from none to the most restrictive; some end in another direction."""

_PLAIN: Mapping[str, tuple[int, ...]] = {
    "count_include_pad": (1, 2),
    "ceil_mode": (1, 2),
    "bias": (1, 2),
    "groups": (1, 2),
    "padding": (3, 4),
    "window": (0, 1, 4, 5, 6),
    "stride": (3, 5, 4),
}
"""The changes of a field that can be the plainest; of other fields it is the last one."""

_PLAIN_SAMPLES, _SAMPLES = 6, 24
"""Cases that must be supported where something is called supported."""

_Choice: TypeAlias = dict[str, int]
"""The number of the change of each field."""


class Steering:
    """Changes cases of one operator, dimension and dtype until they are supported."""

    def __init__(self, accepts: Accepts, samples: Sequence[Case], only: Only | None = None) -> None:
        """Learn from ``samples``, ordinary cases, when it is needed; `only` says everything."""
        self._accepts, self._only = accepts, only
        self._samples = _spread(samples, _SAMPLES)

    def __call__(self, case: Case) -> Case | None:
        """Return a supported case like ``case``, which is that case where it is supported.

        The result is None where nothing like it is supported, as far as is known.
        """
        if self._accepts(case):
            return case
        if self._only is not None:
            projected = self._only.steer(case)
            return projected if projected and self._usable(projected) else None
        if self._choice is None:
            return None
        return self._nearest(case, self._choice)

    def _nearest(self, case: Case, learnt: _Choice) -> Case | None:
        """Return the supported case that has most of the fields of ``case``."""
        choice = dict(learnt)
        best = _changed(case, choice)
        if best is None or not self._usable(best):
            return None
        for field in [name for name, number in learnt.items() if number]:
            freer = _changed(case, choice | {field: 0})
            if freer is not None and freer != best and self._usable(freer):
                choice[field], best = 0, freer
        return best

    def _usable(self, case: Case) -> bool:
        return is_valid(case) and self._accepts(case)

    @cached_property
    def _choice(self) -> _Choice | None:
        """The freest change of each field with which all samples are supported."""
        if not self._samples:
            return None
        few = _spread(self._samples, _PLAIN_SAMPLES)
        plain = _plain_choices(OPERATORS[self._samples[0].operator])
        choice = next((choice for choice in plain if self._all(few, choice)), None)
        for field in choice or ():
            assert choice is not None
            for number in range(choice[field]):
                if self._all(self._samples, choice | {field: number}):
                    choice[field] = number
                    break
        return choice

    def _all(self, samples: Sequence[Case], choice: _Choice) -> bool:
        changed = (_changed(case, choice) for case in samples)
        return all(case is not None and self._accepts(case) for case in changed)


def _plain_choices(operator: Operator) -> Iterator[_Choice]:
    """Yield the combinations of the plainest changes of an operator's fields."""
    has = {*operator.parameters, *operator.arguments, "input", "batch", "memory", "data"}
    has |= {"window"} if operator.has_window else set()
    last = {field: len(options) - 1 for field, options in _FIELDS.items() if field in has}
    fields = [field for field in _PLAIN if field in has]
    for numbers in itertools.product(*(_PLAIN[field] for field in fields)):
        yield last | dict(zip(fields, numbers, strict=True))


def _changed(case: Case, choice: _Choice) -> Case | None:
    """Return the case with the chosen changes, made valid; None where it cannot be."""
    for field, number in choice.items():
        if number:
            case = _FIELDS[field][number](case)
    return changes.fitted(case)


def _spread(cases: Sequence[Case], count: int) -> Sequence[Case]:
    """Return at most ``count`` of ``cases``, evenly spaced."""
    return cases[:: max(1, -(-len(cases) // count))]
