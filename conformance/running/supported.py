"""Cases of its own for an implementation that does not support everything.

Cases are drawn once for all implementations, and what one declines is passed over. Where that
leaves too little of a cell, or of one class of its cases, the declined cases are steered
(`conformance.cases.steering`) towards what is supported, in their order, until there is enough.
The same implementation and the same shared cases give the same cases of its own.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from conformance.calling import Request
from conformance.case import SPECIAL_RECIPES, Case
from conformance.cases.data import make_inputs, memory_ways
from conformance.cases.only import Only
from conformance.cases.steering import Steering
from conformance.cases.validity import is_valid
from conformance.isolation.dispatch import call_once, caller_of
from conformance.judging import Prepared
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation
from conformance.running import cache
from conformance.running.budget import Budget
from conformance.running.cell import class_of

ENOUGH = 400
"""An implementation gets cases of its own until so many of a cell are supported."""
MOST = 600
"""It gets no more than these of its own, and special values in small windows beside them."""
_SHARE, _FEW = 0.5, 6
"""And so long as a class has less than this share of what was drawn of it, or than so many."""
_WORK = 1_000_000
"""Steered cases have at most so many multiply-accumulates, or four times those of the drawn one.
What has more is not called only to learn whether it is accepted."""


@dataclass
class Supported:
    """The ``supports=`` of an implementation in one cell: it remembers, and it steers.

    Invalid values are asked only of parameters that are supported: where no case with another
    value than the default is, the parameter is there because the call demands it.
    """

    implementation: Implementation
    """The implementation as it declares itself."""
    operator: str
    dtype: str
    accepts: Accepting | None = None
    """What calls tell beyond ``supports=``."""
    steering: Steering | None = None
    without: frozenset[str] = frozenset()
    """The parameters that are not supported."""
    _gaps: dict[Case, str | None] = field(default_factory=dict)

    def __call__(self, case: Case) -> bool | str:
        """Return True, or the reason why the implementation declines the case."""
        if case not in self._gaps:
            self._gaps[case] = self.implementation.gap(case)
        gap = self._gaps[case]
        if gap is None and case.invalid and (name := parameter_of(case)) in self.without:
            return f"supports no {name}, so that no invalid {name} is asked"
        return gap or True

    @property
    def only(self) -> Only | None:
        """What is declared as data."""
        declared = self.implementation.supports
        return declared if isinstance(declared, Only) else None

    def computes(self, case: Case) -> bool:
        """Whether the implementation supports a case, and accepts a call of it."""
        return self(case) is True and (self.accepts is None or self.accepts(case))

    def computes_shared(self, case: Case) -> bool:
        """Whether it supports a shared case, and did not decline it when it was called."""
        return self(case) is True and (self.accepts is None or self.accepts.known(case))

    def steer(self, case: Case) -> Case | None:
        """Return a supported case like ``case``, or None."""
        if self.steering is None or (case.operator, case.dtype) != (self.operator, self.dtype):
            return None
        changed = self.steering(case)
        allowed = max(_WORK, 4 * work(case))
        return changed if changed is not None and work(changed) <= allowed else None


def parameter_of(case: Case) -> str | None:
    """Return the parameter that an invalid call gives a wrong value to, None if it is none."""
    parameters = OPERATORS[case.operator].parameters
    named = [name for name in parameters if case.invalid.startswith(f"{name}-")]
    return max(named, key=len, default=None)


def bare(case: Case) -> Case:
    """Return the case without data and mistake: what is accepted hardly depends on them."""
    return case.replace(data="integers", seed=0, invalid="")


class Accepting:
    """Whether an implementation accepts a call, found out by making it, once for all data."""

    def __init__(
        self, implementation: Implementation, answered: Mapping[Case, bool], budget: Budget
    ) -> None:
        """Start from calls that were ``answered``; those that are made are paid by ``budget``."""
        self._implementation = implementation
        self._answered = dict(answered)
        self._budget: Budget | None = budget

    def known(self, case: Case) -> bool:
        """Return whether a call of a shared case is accepted, True where it was not made."""
        return self._answered.get(bare(case), True)

    def __call__(self, case: Case) -> bool:
        """Return whether the case without its mistake is accepted when it is called.

        Of a large case it is taken for granted.
        """
        case = bare(case)
        if work(case) > _WORK and case not in self._answered:
            return True
        if case not in self._answered:
            if self._budget is None or not self._budget.affords_case(case):
                self._budget = None
                return False
            self._answered[case] = self._ask(case)
        return self._answered[case]

    def _ask(self, case: Case) -> bool:
        implementation, inputs = self._implementation, make_inputs(case)
        ways, layout = memory_ways(case), implementation.layout
        request = Request(case.operator, inputs, case.parameters, layout, ways, work=work(case))
        with caller_of(implementation).while_shrinking(), np.errstate(all="ignore"):
            observation = call_once(implementation, request)
        return observation.unsupported is None and observation.ended is None


def for_cell(
    implementation: Implementation,
    cases: Sequence[Case],
    *,
    cached: bool,
    accepts: Accepting | None = None,
) -> tuple[Implementation, list[Prepared]]:
    """Return the implementation as it steers the cases of a cell, and the cases of its own.

    ``cases`` are the shared ones. ``accepts`` tells, by a call, of an implementation that declines
    cases only where it is called. One that declares no ``supports=`` has no cases of its own.
    """
    first = cases[0]
    operator, dtype = first.operator, first.dtype
    declared = implementation.supports
    elsewhere = operator not in implementation.functions or dtype not in implementation.dtypes
    if (declared is None and accepts is None) or elsewhere:
        return implementation, []
    supported = Supported(implementation, operator, dtype, accepts)
    ordinary = [case for case in cases if case.check == "result" and case.x[0]]
    supported.steering = Steering(supported.computes, ordinary, supported.only)
    own = list(_own(supported, cases))
    computed = [case for case in (*ordinary, *own) if supported.computes_shared(case)]
    if computed:
        defaults = computed[0].plain()
        supported.without = frozenset(
            name
            for name in OPERATORS[operator].parameters
            if name != "kernel"
            if all(getattr(case, name) == getattr(defaults, name) for case in computed)
        )
    own = [case for case in own if supported(case) is True]
    name = cache.key(own=[case.id for case in own])
    prepared = cache.prepare(lambda: own, name, cached=cached) if own else []
    return replace(implementation, supports=supported), prepared


def _own(supported: Supported, cases: Sequence[Case]) -> Iterator[Case]:
    """Yield the cases of an implementation's own, one for each declined case while it lacks any."""
    drawn = Counter(name for case in cases for name in _classes(case))
    there = {case for case in cases if supported.computes_shared(case)}
    count = Counter(name for case in there for name in _classes(case))
    total = len(there)

    def lacking(case: Case) -> bool:
        return any(count[name] < max(_SHARE * drawn[name], _FEW) for name in _classes(case))

    def steered(declined: Iterable[Case]) -> Iterator[Case]:
        nonlocal total
        for case in declined:
            if total >= ENOUGH and not lacking(case):
                continue
            changed = supported.steer(case)
            if changed is None or changed in there or not is_valid(changed):
                continue
            there.add(changed)
            count.update(_classes(changed))
            total += 1
            yield changed

    declined = [case for case in cases if case not in there]
    yield from itertools.islice(steered(declined), MOST)
    if declined:
        yield from steered(_special_windows(there))


def _special_windows(there: Iterable[Case]) -> Iterator[Case]:
    """Yield special values in small windows of each size.

    The drawn cases have them in a window of one shape and in a few others. They are listed when the
    drawn cases are used up, and made from those that are supported by then.
    """
    smallest: dict[tuple[int, ...], Case] = {}
    ordinary = [case for case in there if case.check == "result" and case.x[0]]
    for case in sorted(ordinary, key=lambda case: (work(case), case.id)):
        smallest.setdefault(case.window, case)
    windows = sorted(smallest, key=lambda window: (max(window, default=0), window))
    for recipe, window in itertools.product(SPECIAL_RECIPES, windows[:8]):
        for seed in range(6 if recipe in ("nan", "inf") else 2):
            yield smallest[window].replace(data=recipe, seed=seed)


def _classes(case: Case) -> Iterator[str]:
    """Yield the classes of a case that cases of its own make up for.

    They are that of `class_of`, the special values by kind of window, and which parameters are set
    together: where a padding hides what a dilation does wrong, both without the other are needed.
    """
    kind = class_of(case)
    yield kind
    window = "one" if set(case.window) <= {1} else "even" if not max(case.window) % 2 else "odd"
    yield f"{kind}, window {window}"
    if kind != "ordinary calls":
        return
    defaults = case.plain()
    names = OPERATORS[case.operator].parameters
    states = [f"{name} {getattr(case, name) != getattr(defaults, name)}" for name in names]
    yield f"bias {case.bias}"
    for pair in itertools.combinations(states, 2):
        yield " and ".join(pair)


def concerns_unsupported(implementation: Implementation, case: Case) -> bool:
    """Whether a call is invalid in a parameter that the implementation does not support."""
    supports = implementation.supports
    return isinstance(supports, Supported) and parameter_of(case) in supports.without
