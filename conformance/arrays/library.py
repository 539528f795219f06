"""What the conversions of all libraries share, and a kernel that is called through one.

`InForm` stands for a registered function: it takes NumPy arrays and returns one, as functions over
NumPy arrays do. Whoever observes or times a call binds it first (`InForm.bind`), so that the
conversion is no part of what is timed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from conformance.calling.filling import ToFill
from conformance.calling.observing import Array, NotAnArray
from conformance.errors import Unsupported

OUT = "out"
"""The argument that a kernel fills."""
Placed: TypeAlias = Sequence[tuple[Any, Array | None]]
"""Arguments, each with the buffer that it is a view of, None where it is no array."""


class Library(ABC):
    """Converts NumPy arrays to arrays of a library on one device, and back."""

    due: str
    """What a kernel must return, in words: ``torch.Tensor on cpu``."""
    has_memory_of_its_own = True
    """Whether its arrays may lie where no NumPy array does."""

    @abstractmethod
    def hand(self, array: Array, buffer: Array) -> Any:
        """Return the library's array of the numbers in ``array``, a view of ``buffer``.

        Raises `Unsupported` for a dtype that the library does not have.
        """

    @abstractmethod
    def take(self, output: Any) -> Any:
        """Return what a kernel has returned as a NumPy array, or else `NotAnArray`."""

    def around(self, placed: Placed) -> AbstractContextManager[Any]:
        """Return the context in which a kernel is called with these arguments."""
        return _NO_CONTEXT

    def wait(self, output: Any, *, watched: bool) -> Any:
        """Wait until what a call has begun is done, and return its output.

        If ``watched``, what is still computed elsewhere while the output could be read shows.
        """
        return output

    def written_back(self, handed: Any, array: Array, buffer: Array) -> None:
        """Write what a call has made of its argument into ``array``, if that is not its memory."""
        return

    def shares(self, output: Any, handed: Any) -> bool:
        """Whether both share memory that no NumPy array has."""
        return False

    def zeros(self, shape: tuple[int, ...], like: Any) -> Any:
        """Return zeros of the dtype and the device of an array of the library."""
        raise NotImplementedError

    def gradient(self, function: Callable[[Any], Any], at: Any, grad: Any) -> Any:
        """Return the gradient of sum(grad * function(t)) by t, at ``at``."""
        raise NotImplementedError

    def own(self, operator: str) -> Callable[..., Any] | None:
        """Return the library's own function of a forward operator, None where it has none.

        It takes arrays channels-first, and parameters as ``parameters="torch"`` does.
        """
        return None

    def shape(self, handed: Any) -> tuple[int, ...]:
        """Return the shape of an array of the library."""
        return tuple(handed.shape)

    def wrong(self, output: Any, text: str = "") -> NotAnArray:
        """Return the stand-in for an output that is not what is due; ``text`` says what it is."""
        kind = f"{type(output).__module__}.{type(output).__qualname__}"
        return NotAnArray(text or kind, self.due)


_NO_CONTEXT = nullcontext()


class BoundCall:
    """One call of a kernel with its arguments in its own form."""

    __slots__ = (
        *(
            "arguments",
            "function",
            "handed",
            "library",
            "parameters",
            "placed",
            "to_fill",
            "watched",
        ),
    )

    def __init__(
        self,
        library: Library,
        function: Callable[..., Any],
        placed: Placed,
        parameters: Mapping[str, Any],
        watched: bool,
        to_fill: ToFill | None = None,
    ) -> None:
        """Convert the arguments; raise `Unsupported` where one of them cannot be converted.

        The result is that ``to_fill``, if there is one, and what the kernel returns otherwise.
        """
        self.library, self.function, self.placed = library, function, placed
        self.parameters, self.watched = parameters, watched
        self.arguments = [
            value if buffer is None else library.hand(value, buffer) for value, buffer in placed
        ]
        self.to_fill, self.handed = to_fill, None
        if to_fill is not None:
            self.handed = library.hand(to_fill.array, to_fill.array)
            self.parameters = {**parameters, OUT: self.handed}

    def __call__(self) -> Any:
        """Make the call, and wait for its end."""
        with self.library.around(self.placed):
            try:
                output = self.function(*self.arguments, **self.parameters)
            except Exception:
                if self.to_fill is not None:
                    self._write_back()
                    self.to_fill.finished(written=False)
                raise
            if self.to_fill is not None:
                if output is not None and output is not self.handed:
                    return replace(self.library.wrong(output), due="None (or out itself)")
                output = self.handed
            return self.library.wait(output, watched=self.watched)

    def result(self, output: Any) -> Any:
        """Return the output as a NumPy array."""
        if self.to_fill is not None:
            self._write_back()
            if self.library.shape(self.handed) != self.to_fill.array.shape:
                shape = self.library.shape(self.handed)
                output = self.library.wrong(output, f"out, which has the shape {tuple(shape)} now")
            is_wrong = isinstance(output, NotAnArray)
            filled = self.to_fill.finished(written=not is_wrong)
            return output if is_wrong else filled
        return output if isinstance(output, NotAnArray) else self.library.take(output)

    def _write_back(self) -> None:
        """Write what the kernel has filled to the host, if it is not there."""
        assert self.to_fill is not None
        if self.library.shape(self.handed) == self.to_fill.array.shape:
            self.library.written_back(self.handed, self.to_fill.array, self.to_fill.array)

    def reshaped(self) -> list[int]:
        """Return the arguments that have another shape now; write back what the others hold."""
        found = []
        for position, (value, buffer) in enumerate(self.placed):
            if buffer is None:
                continue
            handed = self.arguments[position]
            if self.library.shape(handed) != value.shape:
                found.append(position)
            else:
                self.library.written_back(handed, value, buffer)
        return found

    def shared(self, output: Any) -> list[int]:
        """Return the arguments that share memory with the output where no NumPy array lies."""
        if not self.library.has_memory_of_its_own:
            return []
        return [
            position
            for position, (_, buffer) in enumerate(self.placed)
            if buffer is not None and self.library.shares(output, self.arguments[position])
        ]


class NumPy(Library):
    """Arrays as they are: of a kernel that takes its parameters in another convention."""

    due = "plain numpy.ndarray"

    def hand(self, array: Array, buffer: Array) -> Array:
        """Return the array."""
        return array

    def take(self, output: Any) -> Any:
        """Return the output."""
        return output


Express: TypeAlias = Callable[[Sequence[Any], Mapping[str, Any]], Mapping[str, Any]]
"""Returns the parameters of a call in another convention, by its NumPy arguments."""
Allocate: TypeAlias = Callable[[Sequence[Any], Mapping[str, Any]], ToFill]
"""Returns the array that a call is to fill, by its NumPy arguments and its parameters."""


@dataclass(frozen=True, slots=True)
class Own:
    """What a library has of its own for an operator, and a kernel takes the place of."""

    name: str
    """What it is called: "PyTorch's own layer"."""
    function: InForm
    layout: str


class InForm:
    """A kernel over arrays of a library, called with NumPy arrays."""

    def __init__(
        self,
        library: Library,
        function: Callable[..., Any],
        express: Express = lambda arguments, parameters: parameters,
        own: Callable[[], Own | None] = lambda: None,
        allocate: Allocate | None = None,
    ) -> None:
        """Call ``function``, whose library has its ``own``; it fills what ``allocate`` returns."""
        self.library = library
        self.function = function
        self.express = express
        self.own, self.allocate = own, allocate
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", "")

    def bind(
        self, placed: Placed, parameters: Mapping[str, Any], *, watched: bool = True
    ) -> BoundCall:
        """Return a call with its arguments converted, which is yet to be made."""
        arguments = [value for value, _ in placed]
        to_fill = None if self.allocate is None else self.allocate(arguments, parameters)
        parameters = self.express(arguments, parameters)
        return BoundCall(self.library, self.function, placed, parameters, watched, to_fill)

    def __call__(self, *arguments: Any, **parameters: Any) -> Any:
        """Convert, call, and convert back."""
        placed = [(a, a if isinstance(a, np.ndarray) else None) for a in arguments]
        call = self.bind(placed, parameters)
        return call.result(call())


def without_dtype(library: str, dtype: object) -> Unsupported:
    """Return what to raise for an array of a dtype that the library does not have."""
    return Unsupported(f"{library} has no arrays of dtype {dtype}")
