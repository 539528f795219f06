"""The tables of the run file: one frozen dataclass each, a field a column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from conformance.runfile import asked
from conformance.runfile.row import NOT_IN_JSON, Lines, Row
from conformance.runfile.words import CONFORMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation(Row):
    """What an implementation declares, and the verdict on it."""

    table = "implementation"
    key = ("name",)

    name: str
    family: str
    version: str
    layout: Annotated[str, NOT_IN_JSON]
    accumulate: Annotated[str | None, NOT_IN_JSON]
    multiply: Annotated[str | None, NOT_IN_JSON]
    error: Annotated[str, NOT_IN_JSON]
    rounding: Annotated[str, NOT_IN_JSON] = "nearest"
    settings: Annotated[
        str, "How its engine was told to compute, where its users may have it otherwise."
    ] = ""
    environment: Annotated[
        str, "The versions of Python, NumPy and the packages that it needs, where it runs."
    ] = ""
    verdict: Annotated[
        str,
        "conforms | violates | known difference | unsupported | inconclusive | not installed | "
        "adapter wrong (it fails the simplest cases, so that its engine was not judged).",
    ]
    note: Annotated[
        Lines,
        "Why it was not called (any more), that the clock ended some of its cells, or on how few "
        "cases it was judged since it compiles for each shape; and whose bits it has, if another "
        "is said to compute otherwise.",
        NOT_IN_JSON,
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(Row):
    """One row for each implementation, operator, number of spatial dimensions and dtype."""

    table = "cell"
    key = ("implementation", "operator", "dims", "dtype")

    implementation: str
    operator: str
    dims: int
    dtype: str
    planned: Annotated[int, "Cases of the cell."]
    reached: Annotated[
        int,
        "How many of them the time budget reached: compared + unsupported, and those that are "
        "known to end the process, which are counted as known and not called.",
    ]
    compared: int
    unsupported: int
    violating: Annotated[int, "Failures."]
    known: Annotated[
        int, "Further failures, which a known difference covers; the table known has the reasons."
    ] = 0
    invalid: Annotated[int, "Invalid calls among those compared."] = 0
    accepted: Annotated[int, "Those of them that were not rejected."] = 0
    elements: Annotated[int, "Output elements compared.", NOT_IN_JSON]
    nonzero: Annotated[int, "Cases compared whose exact result is not all zero.", NOT_IN_JSON]
    worst: Annotated[
        float | None,
        "The largest error as a fraction of the bound: 0 where the result is exact, or where "
        "nothing was compared.",
    ]
    worst_case: str | None
    seconds: Annotated[float, NOT_IN_JSON]
    verdict: str
    classes: Annotated[
        str,
        "JSON: of each class of cases how many were due (planned, and supported) and compared.",
        NOT_IN_JSON,
    ] = "{}"

    spaces: Annotated[
        str,
        "JSON: of each class of cases that are listed completely, which in words, and how many.",
        NOT_IN_JSON,
    ] = "{}"
    features: Annotated[
        str,
        "JSON: of the cases with each feature how many were compared, unsupported, violating and "
        "known differences.",
        NOT_IN_JSON,
    ] = "{}"
    errors: Annotated[
        str,
        "JSON: how many cases have a largest error of 0, up to 0.001, 0.01, 0.1, 0.25, 0.5, 0.75 "
        "and 1 of the bound, and beyond.",
        NOT_IN_JSON,
    ] = "[]"

    cases: Annotated[
        str,
        "Which cases were compared, and which of them violate: a key of the table cases, then two "
        "masks of its list, as base64 of zlib of a bit each. Empty in older files.",
        NOT_IN_JSON,
    ] = ""

    @property
    def by_class(self) -> dict[str, tuple[int, int]]:
        """The cases due and the cases compared, by class (`conformance.runfile.asked`)."""
        return asked.read(self.classes)

    @property
    def by_space(self) -> dict[str, tuple[str, int]]:
        """Which cases are listed completely, in words, and how many, by their class."""
        return asked.read_spaces(self.spaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases(Row):
    """The cases of all implementations of an operator, a number of dimensions and a dtype."""

    table = "cases"
    key = ("digest",)
    later = True

    digest: str
    fingerprints: Annotated[
        str, "CRC-32 of each case id, sorted: four bytes, the lowest first, all as base64."
    ]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Violation(Row):
    """The smallest case of each violated requirement of a cell."""

    table = "violation"

    implementation: str
    operator: str
    dims: int
    dtype: str
    requirement: str
    status: str
    severity: Annotated[
        str,
        "How bad it is: values | state | layouts | declarations | invalid. Empty in older files: "
        "then it follows from requirement, status and case.",
    ] = ""
    case: str
    found: Annotated[str, "The case that first showed it, before it was shrunk."]
    named: Annotated[
        str, "What the cases that show it are called in the user's own suites, or nothing."
    ] = ""
    count: Annotated[int, "How many of the cell's cases violate the requirement."]
    message: Lines
    script: Annotated[Lines, "A standalone reproducer.", NOT_IN_JSON]
    replay: Annotated[str, "The command that judges the case again.", NOT_IN_JSON]
    engine_script: Annotated[
        Lines,
        "A reproducer in ten lines at most that uses the engine alone; empty where there is none.",
        NOT_IN_JSON,
    ] = ""
    cause: Annotated[
        str,
        "The type of what was raised, or how the process ended, and the line where it did: "
        "ValueError at mine.py:12. Empty for a wrong result.",
    ] = ""
    needs: Annotated[str, "What the case needs to fail: padding, several channels."] = ""
    not_called: Annotated[
        int, "How many of the cases were not called, since this cause ends the process."
    ] = 0
    times_called: Annotated[
        int, "How often the smallest case was called by itself; 0 where it was not repeated."
    ] = 0
    times_failed: Annotated[int, "How often it failed then."] = 0
    after: Annotated[
        Lines, "The calls that must come before it in the process, where it needs any; a line each."
    ] = ""
    before: Annotated[
        Lines,
        "The last calls that came before it in the process, where it did not fail again; a line "
        "each.",
    ] = ""

    picture: Annotated[
        str,
        "JSON: the arrays of the smallest case, exact and got, and which elements are wrong; empty "
        "where they are too large to be drawn.",
        NOT_IN_JSON,
    ] = ""

    @property
    def fails_alone(self) -> bool:
        """Whether the case by itself shows the failure every time, so that a replay does."""
        return self.times_failed == self.times_called and not self.after

    def __repr__(self) -> str:
        return f"<Violation of {self.requirement} by {self.implementation}: {self.case}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Row):
    """The known differences on the lists of the implementations, and whether they still occur."""

    table = "known"

    implementation: str
    requirement: str
    operator: str
    case: Annotated[str, "The one that shows it, of the operator."]
    covers: Annotated[str, "Which cases it may show in, and on which machines."]
    reason: Lines
    link: str
    versions: Annotated[str, "Those that have it; empty for all."]
    status: Annotated[
        str,
        "known difference (it occurs) | stale (its case was judged, and nothing shows it) | "
        "not judged | other version | other machine.",
    ]
    count: Annotated[int, "How many failures of the run it covers."]
    message: Annotated[Lines, "What its case showed."]
    script: Lines
    engine_script: Lines
    replay: str
    beyond: Annotated[
        str,
        "Failures it covers that fail otherwise than its case: how many, how, and one of them.",
    ] = ""

    @property
    def why(self) -> str:
        """The reason, and what else is covered than was shown."""
        beyond = f"covers more than its case shows, {self.beyond}" if self.beyond else ""
        return "; ".join(filter(None, (self.reason, beyond)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness(Row):
    """What each implementation makes of the smallest case that shows a violation of another's.

    Or a known difference: one case for each requirement and operator, whoever's it is.
    """

    table = "witness"
    key = ("implementation", "requirement", "operator")

    implementation: str
    requirement: str
    operator: str
    case: str
    status: Annotated[str, "conforms | violates | unsupported | crashed | timed out."]
    cited: Annotated[str, "The requirement that this implementation violates there, or nothing."]
    message: Lines
    engine_script: Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention(Row):
    """Which alternative of each convention, and which class of accuracy, the probes saw.

    One row for each implementation, convention, operator, dims and dtype.
    """

    table = "convention"
    key = ("implementation", "convention", "operator", "dims", "dtype")

    implementation: str
    convention: str
    requirement: str
    operator: str
    dims: int
    dtype: str
    declared: str
    followed: Annotated[str, "An alternative | either | mixed | neither | not asked."]
    agrees: Annotated[bool, "Whether declared allows what is followed."]
    probes: Annotated[int, "Cases that could tell."]
    case: Annotated[str, "The one that decided, or nothing."]
    message: Lines
    by_default: Annotated[bool, "Whether nothing is declared: that is the default then."] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Row):
    """Why cases were not computed, and how many."""

    table = "unsupported"

    implementation: str
    operator: str
    reason: Lines
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer(Row):
    """One row for each implementation and large case: a layer of a network, or a generated shape.

    The name of a generated shape is its case id.
    """

    table = "layer"
    key = ("implementation", "layer")

    implementation: str
    layer: str
    operator: str
    dims: int
    case: Annotated[str, "The one that was judged: the layer, or a smaller one like it."]
    share: Annotated[float, "How many of the layer's output elements it has."]
    status: Annotated[str, "A verdict on the case."]
    message: Lines
    seconds: Annotated[float, "Of calling and checking."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Row):
    """What came of each call of a model, whose suite was given as a file.

    The last rows are what of the model is no call of an operator.
    """

    table = "call"
    later = True

    implementation: str
    suite: str
    call: Annotated[str, "Its name in the suite."]
    operator: str
    dims: int
    dtype: str
    count: Annotated[int, "How often the model makes it."]
    layers: Annotated[str, "The layers that make it, by commas."]
    layer_count: Annotated[int, "How many they are."]
    status: Annotated[
        str,
        "The worst verdict on its cases | known difference | not judged | no call of an operator.",
    ]
    requirement: Annotated[str, "What it violates, or nothing."]
    message: Lines
    case: Annotated[str, "The case that decided, or nothing."]
    judged: Annotated[int, "How many cases of it were judged, of several kinds of data."]
    due: Annotated[int, "How many there are that the implementation computes."]
    share: Annotated[float, "The largest share of its output elements that a case had."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(Row):
    """Outputs of two implementations on the cases of an operator that both computed."""

    table = "pair"
    key = ("first", "second", "operator")

    first: str
    second: str
    operator: str
    cases: int
    elements: int
    identical: Annotated[int, "Elements that are equal bit for bit."]
    largest: Annotated[
        float | None,
        "The largest difference as a multiple of the bound of correct arithmetic in the dtype.",
    ]
    largest_case: Annotated[str | None, "The case that has it."]
    missed: Annotated[
        int,
        "Identical elements that are not the number nearest to the exact result: another order of "
        "a sum rarely misses it by the same bits.",
    ] = 0

    def plus(self, other: Pair) -> Pair:
        """Return the numbers of both together; the case is that of the larger difference.

        Of two that are as large it is the first by name, in whatever order they are added.
        """
        pairs = self, other
        larger = min(pairs, key=lambda pair: (-(pair.largest or 0.0), pair.largest_case or ""))
        return replace(
            self,
            cases=self.cases + other.cases,
            elements=self.elements + other.elements,
            identical=self.identical + other.identical,
            missed=self.missed + other.missed,
            largest=self.largest if larger.largest is None else larger.largest,
            largest_case=larger.largest_case,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing(Row):
    """How long each implementation takes for each layer timed: seconds of one call."""

    table = "timing"
    key = ("implementation", "layer")

    implementation: str
    layer: str
    case: str
    calls: Annotated[int, "Timed calls, or batches of short ones, the warm-up left out."]
    median: float | None
    lower: Annotated[float | None, "The first quartile."]
    upper: Annotated[float | None, "The third quartile."]
    ratio: Annotated[
        float | None,
        "The median, over the rounds in which both were called, of its time over the baseline's.",
    ]
    macs: Annotated[
        int,
        "Multiply-accumulates of a call, padding included; for a pool, elements of its windows.",
    ]
    gflops: Annotated[float | None, "2 * macs / median, in 10**9 a second; None for a pool."]
    peak: Annotated[
        float | None, "gflops as a share of the matrix-product rate measured in the same run."
    ]
    threads: int
    verified: Annotated[Lines, "conforms, or what is wrong with the outputs of its calls."]
    batch: Annotated[int, "The calls whose mean is one of the times."] = 1
    base: Annotated[str, "The layer that varies, in a sweep over one dimension."] = ""
    swept: Annotated[str, "The dimension: batch, channels, size or kernel."] = ""
    value: Annotated[int, "Its value here."] = 0
    doubt: Annotated[Lines, "Why the times are not believable; empty where they are."] = ""
    wrong_case: Annotated[str, "The case of the first wrong output, with its data, or nothing."] = (
        ""
    )
    median_low: Annotated[
        float | None, "The 95 % confidence interval of the median begins here; None for few calls."
    ] = None
    median_high: Annotated[float | None, "It ends here."] = None
    ratio_low: Annotated[float | None, "The 95 % confidence interval of the ratio begins here."] = (
        None
    )
    ratio_high: Annotated[float | None, "It ends here."] = None
    cold: Annotated[float | None, "Seconds of the first call of the layer."] = None
    memory: Annotated[
        int | None, "Bytes that the process held during that call, beyond those before it."
    ] = None
    moved: Annotated[int, "Bytes of the arguments and the result of a call."] = 0
    bandwidth: Annotated[
        float | None, "moved / median, as a share of the copy bandwidth measured for as many bytes."
    ] = None
    roof: Annotated[
        float | None,
        "The least time of a call by the rates of matrix products and of copies, as a share of the "
        "median.",
    ] = None
    cpu: Annotated[
        float | None, "Processor seconds a second of the calls, of all threads together."
    ] = None
    waited: Annotated[
        float | None, "The share of the time in which other processes had the processor."
    ] = None
    samples: Annotated[
        str,
        "JSON: the seconds of each timed call, in the order of the rounds. Empty in older files.",
        NOT_IN_JSON,
    ] = ""

    @property
    def is_verified(self) -> bool:
        return self.verified == CONFORMS

    @property
    def is_believed(self) -> bool:
        """Whether its outputs are right, and its times can be believed."""
        return self.is_verified and not self.doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Row):
    """Which lines of an implementation's own source calls have reached, one row for each file.

    Lines are those of statements inside functions that the judged operators use.
    """

    table = "source"
    key = ("implementation", "file")
    later = True

    implementation: str
    file: str
    statements: int
    executed: Annotated[int, "How many of them a call has executed that returned."]
    never: Annotated[str, "The lines that no call has executed: 41-47, 52."]
    raising: Annotated[str, "The lines that only calls have executed which raised."]
    always: Annotated[str, "The lines of each if without else whose condition was never false."]
    beyond: Annotated[str, "The numbers that no case is cheap enough for, as a size."]
    partial: Annotated[bool, "Whether some calls were not measured, being slow."]


TABLES: tuple[type[Row], ...] = (
    Implementation,
    Cell,
    Cases,
    Violation,
    Known,
    Witness,
    Convention,
    Gap,
    Layer,
    Call,
    Pair,
    Timing,
    Source,
)
