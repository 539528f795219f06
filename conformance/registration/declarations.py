"""What an implementation declares of itself: each declaration is one field of `Declarations`.

The fields define the arguments of `implementation(...)`, their documentation and their checks. They
also tell whether two declarations of one name agree, and what a worker reports of an implementation
that this process has not loaded. Editors and mypy know the arguments too: `taking` gives a function
the signature of a dataclass. (An explicit signature, or a ``TypedDict``, would repeat the list.)
"""
# ruff: noqa: RUF009  (`declares` returns a dataclass field)

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

from conformance.arrays import LIBRARIES, NUMPY, Traits
from conformance.arrays.gradients import AUTOGRAD, OF_FUNCTIONS
from conformance.arrays.parameters import CONVENTIONS, OWN
from conformance.dtypes import DTYPES, FORMATS, meant_dtype
from conformance.errors import RegistrationError, did_you_mean
from conformance.known.listed import FromFile
from conformance.requirements import conventions as known_conventions

if TYPE_CHECKING:
    from conformance.case import Case
    from conformance.known.difference import KnownDifference
    from conformance.registration.snippets import SnippetFunction

Supports: TypeAlias = "Callable[[Case], bool | str]"
Check: TypeAlias = Callable[[str, Any], str | None]
"""Returns what is wrong with a declaration, by its name and value, or None."""
P = ParamSpec("P")
R = TypeVar("R")

JAX_SHAPE_SECONDS = 0.1
"""What a new shape is reckoned at where arrays of JAX are taken and nothing is declared."""
MOST_BEYOND = 4096
"""Bytes past the end of an array that an implementation may declare to read."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@\[\]-]*")


def declares(
    text: str,
    check: Check | None = None,
    *,
    convert: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Any:
    """Return a dataclass field: what it means, its check, and the converter of a given value.

    ``options``, such as the default, are those of `dataclasses.field`.
    """
    return field(metadata={"says": text, "check": check, "convert": convert}, **options)


def _dtypes(name: str, value: Sequence[str]) -> str | None:
    if not value:
        return f"{name}=(); name at least one of {', '.join(DTYPES)}"
    for dtype in value:
        if dtype not in DTYPES:
            hint = did_you_mean(dtype, DTYPES, meant_dtype(dtype))
            return f"{name}={dtype!r}; {hint}allowed: {', '.join(DTYPES)}"
    return None


def _meeting(right: Callable[[Any], bool], text: str) -> Check:
    """Return the check that a value is ``right``; ``text`` says what would be."""
    return lambda name, value: None if right(value) else f"{name}={value!r}; {text}"


def _among(*allowed: str | None) -> Check:
    return _meeting(lambda value: value in allowed, f"allowed: {', '.join(filter(None, allowed))}")


def _from_0(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < math.inf


_positive = _meeting(lambda value: _from_0(value) and value > 0, "a positive number")
_seconds = _meeting(_from_0, "seconds, 0 or more")
_line = _meeting(lambda value: isinstance(value, str), "one line of text")


def _arrays(name: str, value: Any) -> str | None:
    known = (NUMPY, *LIBRARIES)
    if value in known:
        return None
    return f"{name}={value!r}; {did_you_mean(str(value), known)}allowed: {', '.join(known)}"


def _function_of(argument: str) -> Check:
    text = f"must be a function of a {argument}"
    return lambda name, value: None if value is None or callable(value) else f"{name} {text}"


def _tile(name: str, value: tuple[int, ...] | None) -> str | None:
    if value is None or (value and all(type(size) is int and size > 0 for size in value)):
        return None
    return f"{name}={value!r}; the output positions of a tile: a whole number, or one an axis"


def _conventions(name: str, value: Mapping[str, str]) -> str | None:
    for convention, alternative in value.items():
        if convention not in known_conventions():
            hint = did_you_mean(convention, known_conventions())
            return f"{name}={convention!r}; {hint}known are {', '.join(known_conventions())}"
        allowed = known_conventions()[convention].alternatives
        if alternative not in allowed:
            hint = did_you_mean(alternative, allowed)
            return f"{name}[{convention!r}]={alternative!r}; {hint}allowed: {', '.join(allowed)}"
    return None


def _files(name: str, value: Sequence[Any]) -> str | None:
    wrong = [file for file in value if not (isinstance(file, str) and file)]
    return f"{name}={wrong[0]!r}; the name of a file, such as conv.c" if wrong else None


def _listed(given: Any) -> Any:
    """Return a list of entries as a tuple; a file stays as it is, and is read when needed."""
    return given if isinstance(given, (str, Path, FromFile)) else tuple(given)


def _known(name: str, value: Iterable[Any] | str | Path) -> str | None:
    for entry in value if isinstance(value, tuple) else ():
        if type(entry).__name__ != "KnownDifference":  # most files do not import its module
            return f"{name}={entry!r}; a list of KnownDifference(...)"
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class Declarations:
    """What an implementation declares of itself."""

    family: str = declares(
        "The engine behind it (default: ``package``, else its name).", default=""
    )
    package: str | None = declares("The distribution that must be installed.", default=None)
    needs: Sequence[str] = declares(
        "Further distributions, one or several, that must be installed.",
        convert=lambda given: (given,) if isinstance(given, str) else tuple(given),
        default=(),
    )
    extra: str | None = declares("The extra of convformance that installs them.", default=None)
    layout: str = declares(
        'How the arrays lie that it takes and returns: "NHWC" is channels-last.',
        _among("NCHW", "NHWC"),
        default="NCHW",
    )
    arrays: str = declares(
        'Whose arrays it takes and returns: "torch", "jax", "tensorflow", "mlx", "cupy", or '
        '"dlpack", objects that have DLPack\'s methods alone. The suite converts, untimed.',
        _arrays,
        default=NUMPY,
    )
    device: str = declares(
        'The device of those arrays, by the name that the library has for it: "cuda:0".',
        _meeting(lambda value: isinstance(value, str) and value != "", 'a name, such as "cpu"'),
        default="cpu",
    )
    parameters: str = declares(
        'Whose convention its parameters have: "torch" pads with a number an axis, "tensorflow" '
        'with "SAME" or "VALID", and "numbers" has one number for all axes.',
        _among(*CONVENTIONS),
        default=OWN,
    )
    out: bool = declares(
        "Whether its functions fill a result that they are handed as ``out``; they return None, or "
        "it.",
        _meeting(lambda value: isinstance(value, bool), "True or False"),
        default=False,
    )
    gradients: str = declares(
        'Where gradients come from that no function is registered for: "autograd" differentiates '
        "the forward function by its library.",
        _among(OF_FUNCTIONS, AUTOGRAD),
        default=OF_FUNCTIONS,
    )
    error: str = declares(
        '"normwise" replaces the element-wise bound by one on the whole (Winograd, FFT).',
        _among("componentwise", "normwise"),
        default="componentwise",
    )
    dtypes: Sequence[str] = declares(
        "The dtypes, one or several, that it claims: it is judged on each of them.",
        _dtypes,
        convert=lambda given: (given,) if isinstance(given, str) else tuple(given),
        default=("float32", "float64"),
    )
    accumulate: str | None = declares(
        "The format of its accumulator, if not the dtype's.", _among(*FORMATS, None), default=None
    )
    multiply: str | None = declares(
        "The format of its multiplier's inputs, if not the dtype's.",
        _among(*FORMATS, None),
        default=None,
    )
    amplification: float = declares(
        'The factor of the bound, with ``error="normwise"``.', _positive, default=1.0
    )
    tile: Sequence[int] | None = declares(
        'The output positions of a tile, one number or one an axis, with ``error="normwise"``: the '
        "bound has the norms of what a tile reads, in the place of whole planes.",
        _tile,
        convert=lambda given: (given,) if isinstance(given, int) else given and tuple(given),
        default=None,
    )
    algorithm: str | None = declares(
        'How it computes, for the rates of timings: "direct" sums all products, "winograd" and '
        '"fft" need fewer, "any" chooses among them (default: "direct", "any" with a package).',
        _among("direct", "winograd", "fft", "any", None),
        default=None,
    )
    rounding: str = declares(
        'How it rounds: "toward_zero" doubles the unit roundoffs, as truncating adders need.',
        _among("nearest", "toward_zero"),
        default="nearest",
    )
    conventions: Mapping[str, str] = declares(
        "The conventions that it follows, by name, where SPEC.md allows others than the default.",
        _conventions,
        convert=lambda given: dict(given or {}),
        default_factory=dict,
    )
    arguments: str = declares(
        'Who checks the arguments of a call: "unchecked" says that its callers do, so that no '
        "invalid call is made.",
        _among("checked", "unchecked"),
        default="checked",
    )
    reads_beyond: int = declares(
        "Bytes that it may read past the end of an array: its callers leave so much room there.",
        _meeting(
            lambda value: type(value) is int and 0 <= value <= MOST_BEYOND,
            f"bytes, 0 to {MOST_BEYOND}",
        ),
        default=0,
    )
    threads: str = declares(
        'Whose calls it takes at a time: "one" says that one thread makes them.',
        _among("several", "one"),
        default="several",
    )
    supports: Supports | None = declares(
        "A function of a case: False, or a reason, for one that it does not compute.",
        _function_of("case"),
        default=None,
    )
    known: Sequence[KnownDifference] | str | Path = declares(
        "Differences that are expected, each with its reason (`conformance.known`), or a TOML "
        "file of them, named relative to the file that registers: they are reported apart.",
        _known,
        convert=_listed,
        default=(),
        compare=False,
    )
    settings: str = declares(
        "How its engine was told to compute, where its users may have it otherwise: a line.",
        _line,
        default="",
    )
    call_seconds: float = declares(
        "Seconds that a call takes however little its work is, if more than a tenth of a "
        "millisecond. Budgets are spent on what is declared: two runs judge the same cases.",
        _seconds,
        default=0.0,
    )
    shape_seconds: float = declares(
        "Seconds that the first call of a shape takes, about (0: the engine compiles nothing): "
        "budgets, as above.",
        _seconds,
        default=0.0,
    )
    work_seconds: float = declares(
        "Seconds a multiply-accumulate, if more than some nanoseconds: budgets, as above.",
        _seconds,
        default=0.0,
    )
    source: Sequence[str] = declares(
        "Files of its source, one or several, beside the one that registers it: the C of a library "
        "that it calls. The numbers in them say which sizes are worth a case.",
        _files,
        convert=lambda given: tuple(given) if isinstance(given, (list, tuple)) else (given,),
        default=(),
    )
    snippet: SnippetFunction | None = declares(
        "A function of a call: the lines of source that make it with the engine alone, for the "
        "scripts of the reports (`conformance.registration.snippets`).",
        _function_of("call"),
        default=None,
    )

    @property
    def traits(self) -> Traits:
        """What is known of the library whose arrays it takes."""
        return LIBRARIES[self.arrays]

    def __post_init__(self) -> None:
        for spec in fields(Declarations):
            convert = spec.metadata["convert"]
            if convert is not None:
                object.__setattr__(self, spec.name, convert(getattr(self, spec.name)))


@dataclass(frozen=True, eq=False)
class Arguments(Declarations):
    """The arguments of `implementation(...)`: a name, what is declared, and a version."""

    name: str
    _: KW_ONLY
    version: str | None = declares(
        "Its version, if not that of ``package``, or of the distribution that registers it.",
        default=None,
    )

    def check(self, origin: str) -> None:
        """Raise `RegistrationError`, naming the file ``origin``, for the first wrong argument."""
        where = f"{origin}: implementation {self.name!r}"
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise RegistrationError(
                f"{where}: a name is letters, digits and . _ + = @ [ ] -, and starts with a letter "
                f'or a digit: @implementation("my-conv")'
            )
        for spec in fields(Declarations):
            check = spec.metadata["check"]
            problem = check and check(spec.name, getattr(self, spec.name))
            if problem:
                raise RegistrationError(f"{where}: {problem}")
        if self.amplification != 1 and self.error != "normwise":
            raise RegistrationError(f'{where}: amplification needs error="normwise"')
        if self.tile is not None and self.error != "normwise":
            raise RegistrationError(f'{where}: tile needs error="normwise"')
        if self.gradients == AUTOGRAD and not (
            self.arrays in LIBRARIES and self.traits.differentiates
        ):
            able = ", ".join(name for name, one in LIBRARIES.items() if one.differentiates)
            raise RegistrationError(
                f'{where}: gradients="autograd" needs arrays= of a library that differentiates: '
                f"{able}"
            )
        if self.out and not (self.arrays == NUMPY or self.traits.writeable):
            able = ", ".join((NUMPY, *(name for name, one in LIBRARIES.items() if one.writeable)))
            raise RegistrationError(f"{where}: out=True needs arrays that can be filled: {able}")
        if self.out and self.gradients == AUTOGRAD:
            raise RegistrationError(
                f'{where}: gradients="autograd" differentiates what a function returns, and with '
                f"out=True it returns nothing new; register functions for the gradients"
            )
        if self.device != "cpu" and not (self.arrays in LIBRARIES and self.traits.devices):
            with_devices = ", ".join(name for name, traits in LIBRARIES.items() if traits.devices)
            raise RegistrationError(
                f"{where}: device={self.device!r} needs arrays= of a library that has devices: "
                f"{with_devices}"
            )

    def declared_in(self, origin: str) -> dict[str, Any]:
        """Return the declarations by name, with the default of ``family`` filled in.

        ``origin`` is the file that registers the implementation: paths are relative to it.
        """
        values = {spec.name: getattr(self, spec.name) for spec in fields(Declarations)}
        for file in self.source:
            if not (Path(origin).parent / file).is_file():
                raise RegistrationError(
                    f"{origin}: implementation {self.name!r}: source={file!r}: no such file beside "
                    f"it; name a file relative to {Path(origin).parent}"
                )
        if isinstance(self.known, (str, Path)):
            values["known"] = FromFile(Path(origin).parent / self.known, self.name)
        values["device"] = self._device
        values["settings"] = ", ".join(filter(None, (self._form, self.settings)))
        if self.arrays == "jax":  # which compiles each new shape
            values["shape_seconds"] = self.shape_seconds or JAX_SHAPE_SECONDS
        return values | {"family": self.family or self.package or self.name}

    @property
    def _device(self) -> str:
        is_default = self.device == "cpu" and self.arrays != NUMPY
        return self.traits.host if is_default else self.device

    @property
    def _form(self) -> str:
        """What it takes, in words, if that is not NumPy arrays and the suite's parameters."""
        arrays = "" if self.arrays == NUMPY else f"takes a {self.traits.noun} on {self._device}"
        parameters = "" if self.parameters == OWN else f"parameters of {self.parameters}"
        gradients = "gradients by its differentiation" if self.gradients == AUTOGRAD else ""
        out = "fills its result" if self.out else ""
        return ", ".join(filter(None, (arrays, parameters, gradients, out)))


def taking(arguments: Callable[P, Declarations]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Return a decorator that gives a function the signature of the dataclass ``arguments``.

    The decorator also appends the meaning of each declaration to the function's docstring.
    """

    def decorate(function: Callable[..., R]) -> Callable[P, R]:
        returned = inspect.signature(function).return_annotation
        signature = inspect.signature(arguments).replace(return_annotation=returned)
        lines = [
            f"- ``{spec.name}``: {spec.metadata['says']}"
            for spec in fields(arguments)  # type: ignore[arg-type]
            if "says" in spec.metadata
        ]
        function.__doc__ = "\n".join((inspect.getdoc(function) or "", "", *lines))
        vars(function)["__signature__"] = signature
        return function

    return decorate
