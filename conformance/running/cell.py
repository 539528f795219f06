"""A cell of a run: the results of one implementation for one operator, dimension and dtype."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from conformance.case import EVERY, Case
from conformance.checks.conventions import Probe
from conformance.features import Count, features_of
from conformance.features import written as features_written
from conformance.judging import Verdict
from conformance.runfile import asked, shares, tables
from conformance.runfile.judged import fingerprint
from conformance.runfile.words import (
    ADAPTER_WRONG,
    CONFORMS,
    INCONCLUSIVE,
    KNOWN_DIFFERENCE,
    UNSUPPORTED,
    VIOLATES,
)
from conformance.running.causes import Causes
from conformance.running.known_in_run import Kinds, Subject, add_kinds, kinds_of
from conformance.running.violation import Violation

MIN_COMPARED = 10
"""A cell that compared fewer cases than this proves too little to be called conforming."""

_LAYOUTS = {
    "fortran": "Fortran-ordered arrays",
    "strided": "strided arrays",
    "reversed": "reversed arrays",
    "broadcast": "broadcast arrays",
    "offset": "arrays at an offset",
    "unaligned": "unaligned arrays",
    "readonly": "read-only arrays",
    "byteswapped": "byte-swapped arrays",
    "channels_last": "channels-last arrays",
    "channels_last_cropped": "channels-last crops",
    "cropped": "crops along every axis",
    "cropped_channels": "slices of channels",
    "cropped_rows": "crops along the first spatial axis",
    "cropped_columns": "crops along the last axis",
    "flipped": "arrays flipped along the last axis",
    "flipped_channels": "arrays with their channels in reverse",
    "expanded_batch": "arrays expanded along the batch",
    "expanded_channels": "arrays expanded along the channels",
    "exchanged": "arrays with two axes exchanged",
    "spatial_first": "arrays with spatial axes first",
    "singletons": "arrays with stray strides",
    "shared": "arrays in one buffer",
}
_SPECIAL = {
    "nan": "NaN",
    "inf": "infinities",
    "zeros": "zeros of both signs",
    "subnormal": "subnormal numbers",
    "huge": "huge numbers",
    EVERY: "every value",
}


def class_of(case: Case) -> str:
    """Return the class of a case (`conformance.runfile.asked`), in plain words."""
    if case.invalid:
        return "invalid calls"
    if case.memory != "contiguous":
        return _LAYOUTS[case.memory.partition("-")[0]]
    return _SPECIAL.get(case.data, "ordinary calls")


MIN_NONZERO = 0.1
"""A cell needs a result that is not all zero in this share of its cases to be called conforming."""


@dataclass(slots=True)
class Cell:
    """The results of one implementation for one operator, dimension and dtype."""

    implementation: str
    operator: str
    dims: int
    dtype: str
    planned: int = 0
    reached: int = 0
    compared: int = 0
    unsupported: int = 0
    violating: int = 0
    invalid: int = 0
    accepted: int = 0
    elements: int = 0
    nonzero: int = 0
    worst: float = 0.0
    worst_case: Case | None = None
    seconds: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    covered: Counter[int] = field(default_factory=Counter)
    """How many failures each known difference covers, by its index in the implementation's list.
    They are not counted as violating."""
    kinds: dict[int, Kinds] = field(default_factory=dict)
    """How these failed."""
    uncovered: list[Verdict] = field(default_factory=list)
    """The failures that no known difference covers."""
    conventions: list[Probe] = field(default_factory=list)
    """The alternative of each convention that the implementation follows."""
    stopped: bool = False
    """Whether the clock ended the cell, so that another run may judge other cases."""
    due: Counter[str] = field(default_factory=Counter)
    """Of each class of cases, how many are planned and supported."""
    asked: Counter[str] = field(default_factory=Counter)
    """Of each class of cases, how many were compared."""
    spared: Counter[str] = field(default_factory=Counter)
    """Of the classes that have a budget of their own, how many cases that does not pay for at what
    is declared (`running.affordable`): a verdict does without them."""
    listed: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Which cases are listed completely, in words, and how many, by their class."""
    by_feature: dict[str, Count] = field(default_factory=dict)
    """What came of the cases that have a feature (`conformance.features`)."""
    in_ranges: list[int] = field(default_factory=lambda: [0] * shares.RANGES)
    """How many cases have a largest error in each range (`conformance.runfile.shares`)."""
    adapter_wrong: bool = False
    """Whether nothing was judged, because the adapter fails the simplest cases."""
    judged: list[int] = field(default_factory=list)
    """The fingerprints of the cases that were compared, until the whole block is judged."""
    cases: str = ""
    """Then these, and those that violate, as the run file has them (`runfile.judged`)."""

    @property
    def known(self) -> int:
        """The number of failures that known differences cover."""
        return self.covered.total()

    @property
    def verdict(self) -> str:
        """One of the verdicts of `conformance.runfile.words`.

        It is inconclusive if too little was compared, in all or of one class of cases.
        """
        if self.adapter_wrong:
            return ADAPTER_WRONG
        if self.violating:
            return VIOLATES
        if self.unsupported and self.compared == self.invalid:
            return KNOWN_DIFFERENCE if self.known else UNSUPPORTED
        least = max(1, min(MIN_COMPARED, self.planned))  # one's own suite may be small
        if not self.known and self.nonzero < max(least, MIN_NONZERO * self.compared):
            return INCONCLUSIVE
        if not asked.enough(self.paid_for):
            return INCONCLUSIVE
        return KNOWN_DIFFERENCE if self.known else CONFORMS

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """The cases due and the cases compared, by class."""
        return {name: (due, self.asked[name]) for name, due in self.due.items() if due > 0}

    @property
    def paid_for(self) -> dict[str, tuple[int, int]]:
        """The counts without the cases that were spared."""
        counts = self.counts.items()
        left = {name: (due - self.spared[name], done) for name, (due, done) in counts}
        return {name: (due, done) for name, (due, done) in left.items() if due > 0}

    @property
    def classes(self) -> str:
        """The counts as the run file has them."""
        return asked.written(self.counts)

    @property
    def spaces(self) -> str:
        """What is listed completely, as the run file has it."""
        return asked.written(self.listed)

    @property
    def features(self) -> str:
        """The counts by feature as the run file has them."""
        return features_written(getattr(self, "by_feature", {}))

    @property
    def errors(self) -> str:
        """The distribution of errors as the run file has it."""
        return shares.written(getattr(self, "in_ranges", ()))

    def row(self) -> tables.Cell:
        """Return the cell as a row of the run file."""
        worst_case = self.worst_case.id if self.worst_case else None
        # A block that an older version kept does not say which cases were compared.
        return tables.Cell.of(self, worst_case=worst_case, cases=getattr(self, "cases", ""))

    def plan(self, cases: Iterable[Case], kind: str | None = None) -> None:
        """Plan ``cases``, of the class ``kind``, as far as they turn out to be supported."""
        new = [kind or class_of(case) for case in cases]
        self.planned += len(new)
        self.due.update(new)

    def leave_out(self, cases: Iterable[Case], kind: str | None = None) -> None:
        """Note that ``cases``, which are planned as of the class ``kind``, are not due."""
        self.due.subtract(kind or class_of(case) for case in cases)

    def count(
        self, verdict: Verdict, *, elements: int, nonzero: bool, kind: str | None = None
    ) -> None:
        """Count a verdict on a case whose exact result has so many ``elements``.

        ``nonzero`` says whether one of them is not zero; ``kind`` is the class of the case, if not
        that of `class_of`.
        """
        self.reached += 1
        kind = kind or class_of(verdict.case)
        counts = [self.by_feature.setdefault(name, Count()) for name in features_of(verdict.case)]
        if verdict.status == UNSUPPORTED:
            self.unsupported += 1
            self.due[kind] -= 1
            for count in counts:
                count.unsupported += 1
            return
        self.compared += 1
        self.judged.append(fingerprint(verdict.case.id))
        for count in counts:
            count.compared += 1
            count.known += verdict.failed  # until it is found that no known difference covers it
        if not verdict.case.invalid:
            self.in_ranges[shares.range_of(verdict.worst)] += 1
        self.invalid += bool(verdict.case.invalid)
        self.accepted += bool(verdict.case.invalid) and verdict.failed
        self.asked[kind] += 1
        self.elements += elements
        self.nonzero += nonzero
        if verdict.worst > self.worst:
            self.worst, self.worst_case = verdict.worst, verdict.case

    def explain(self, subject: Subject, failures: Sequence[Verdict], causes: Causes) -> None:
        """Count failures, and add a violation for each cause that no known difference covers."""
        new, covered = subject.covered_by(failures)
        for index, verdicts in covered.items():
            self.covered[index] += len(verdicts)
            add_kinds(self.kinds.setdefault(index, {}), kinds_of(verdicts))
        self.violating += len(new)
        self.uncovered += new
        self._count_violating(new)
        try:
            for violation in causes.explain(new):
                self.show(violation)
        except KeyboardInterrupt:  # what is left is shown as it was found
            causes.shrinking = False
            for violation in causes.explain([f for f in new if causes.is_left(f)]):
                self.show(violation)
            raise
        finally:
            self.violating -= causes.innocent
            causes.innocent = 0

    def _count_violating(self, failures: Iterable[Verdict]) -> None:
        """Count failures by feature which are no known differences, each case once."""
        for case in {failure.case for failure in failures}:
            for name in features_of(case):
                count = self.by_feature.setdefault(name, Count())
                count.violating += 1
                count.known -= min(count.known, 1)

    def show(self, violation: Violation) -> None:
        """Add a violation, or put it in the place of what was known of its cause before."""
        for index, other in enumerate(self.violations):
            if (violation.requirement, violation.case, violation.cause, violation.found) == (
                other.requirement,
                other.case,
                other.cause,
                other.found,
            ):
                self.violations[index] = violation
                return
        self.violations.append(violation)

    def accuse(self, violation: Violation) -> bool:
        """Add a violation that was found while another function was judged.

        Return whether it is new: one case of the requirement is enough to show it.
        """
        self.violating += violation.count
        for index, other in enumerate(self.violations):
            if other.requirement == violation.requirement:
                count = other.count + violation.count
                self.violations[index] = replace(other, count=count)
                return False
        self.violations.append(violation)
        return True
