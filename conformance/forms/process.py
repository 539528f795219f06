"""Programs: kernels in any language, which read calls on stdin and write results to stdout.

The protocol is docs/programs.md. The program is a child of its worker, and its stderr is the
worker's. If it ends, so does the worker, in the same way: what is told of a worker's end, how its
calls are counted, and its next start are then what they are for every other implementation.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any, NoReturn

import numpy as np

from conformance.calling.observing import Array, one_line
from conformance.dtypes import DTYPES, dtype_from
from conformance.errors import ConformanceError, PluginError, Unsupported
from conformance.forms.asking import Rejected, check_types, check_version
from conformance.registration.implementation import Function
from conformance.signatures import SIGNATURES

PROTOCOL = 1
GREETING = b'{"convformance": %d}\n' % PROTOCOL
_SECONDS_OF_ENGINES = 60.0
"""Seconds that an engine has to answer the greeting: a busy machine takes long to read one."""
_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 20
_SHOWN = 80
"""Characters of a wrong answer that are shown."""


def request(operator: str, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> bytes:
    """Return a call as a program reads it: a line, then the bytes of the arrays.

    Raises `Unsupported` for what the protocol cannot express.
    """
    check_types(parameters, "the protocol of programs")
    described: dict[str, Any] = {}
    data = []
    for name, value in zip(SIGNATURES[operator].arguments, arguments, strict=True):
        if isinstance(value, np.ndarray):
            dtype = _name_of(value.dtype)
            if dtype not in DTYPES:
                raise Unsupported(f"the protocol of programs has no arrays of {value.dtype}")
            described[name] = {"dtype": dtype, "shape": value.shape}
            data.append(_little_endian(value))
        else:
            described[name] = value
    header = {
        "operator": operator,
        "arguments": described,
        "parameters": parameters,
        "bytes": sum(map(len, data)),
    }
    return b"".join((json.dumps(header).encode(), b"\n", *data))


@lru_cache(maxsize=32)
def _name_of(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype, which NumPy takes long to find."""
    return dtype.name


def _little_endian(array: Array) -> bytes:
    if sys.byteorder == "big" and array.dtype.itemsize > 1:  # pragma: no cover
        return array.byteswap().tobytes()
    return array.tobytes()


def _array(data: bytes, dtype: str, shape: Sequence[int]) -> Array:
    array = np.frombuffer(bytearray(data), dtype_from(dtype)).reshape(shape)
    if sys.byteorder == "big" and array.dtype.itemsize > 1:  # pragma: no cover
        array = array.byteswap()
    return array


def operator_of(words: Sequence[str], operator: str) -> Function:
    """Return an operator of the program that ``words`` start, when a worker or a call needs it.

    It is for adapters, which declare by themselves what a program would: one that is started for
    one operator is used for the others.
    """
    return Operator(operator, partial(_started, tuple(words)))


@cache
def _started(words: tuple[str, ...]) -> Program:
    program = Program(words, f"program '{shlex.join(words)}'")
    program.greet(_SECONDS_OF_ENGINES)
    return program


class Operator:
    """An operator of a program, as a function."""

    def __init__(self, operator: str, program: Callable[[], Program]) -> None:
        self.operator, self.program = operator, program

    def start_program(self) -> None:
        """Start the program, so that no call is the one that does."""
        self.program()

    def __call__(self, *arguments: Any, **parameters: Any) -> Array:
        """Let the program make a call; return its result, or raise what it has answered."""
        return self.program().call(request(self.operator, arguments, parameters))


class Program:
    """A program that has been started."""

    def __init__(self, words: Sequence[str], where: str) -> None:
        self.words, self.where = words, where
        self.buffer = bytearray()
        try:
            self.process = subprocess.Popen(
                words, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise PluginError(
                f"{where}: {words[0]!a} cannot be started ({reason}); name a command, as a shell "
                f"would run it"
            ) from None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout.fileno()

    def greet(self, seconds: float) -> dict[str, Any]:
        """Return what the program declares in answer to the greeting, without the version.

        Raises `PluginError` where it does not answer within so many ``seconds``, or otherwise.
        """
        until = time.monotonic() + seconds
        due = f'{{"convformance": {PROTOCOL}, "operators": ["conv"]}}'
        try:
            self._write(GREETING)
            answer: dict[str, Any] = json.loads(self._line(until))
        except TimeoutError:
            self._stop()
            raise PluginError(
                f"{self.where}: does not answer the greeting within {seconds:g} s; it has to read "
                f"a line and to answer, flushed, with one such as {due}"
            ) from None
        except (EOFError, OSError):
            raise PluginError(
                f"{self.where}: {_how(self._stop())} before it answered the greeting; it has to "
                f"answer with a line such as {due}{_last_words()}"
            ) from None
        except ValueError:
            self._stop()
            raise PluginError(
                f"{self.where}: answers the greeting with {self._shown()}, which is no line with a "
                f"JSON object; due is one such as {due}"
            ) from None
        if "convformance" not in answer:
            self._stop()
            raise PluginError(
                f"{self.where}: answers the greeting with {_short(answer)}; due is a line such as "
                f"{due}"
            )
        try:
            check_version(answer, PROTOCOL, self.where, "the protocol")
        except PluginError:
            self._stop()
            raise
        return answer

    def call(self, data: bytes) -> Array:
        """Make a call, and return its result; the worker ends if the program does."""
        try:
            self._write(data)
            try:
                answer = json.loads(self._line())
            except ValueError:
                self._fail(f"answered with {self._shown()}, which is no line with a JSON object")
            if "unsupported" in answer:
                raise Unsupported(one_line(answer["unsupported"]))
            if "rejected" in answer:
                raise Rejected(one_line(answer["rejected"]))
            result = answer.get("result")
            if not (isinstance(result, dict) and _is_shape(result.get("shape"))):
                due = '{"result": {"dtype": ..., "shape": [...]}}'
                self._fail(f"answered with {_short(answer)}, where {due} is due")
            dtype, shape = result.get("dtype"), result["shape"]
            if dtype not in DTYPES:
                self._fail(f"answered with dtype {_short(dtype)}; there are {', '.join(DTYPES)}")
            try:
                size = dtype_from(dtype).itemsize * math.prod(shape)
            except ConformanceError as problem:
                raise Unsupported(str(problem)) from None
            return _array(self._take(size), dtype, shape)
        except (EOFError, OSError):
            self._end()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.stdin, view) :]

    def _read(self, until: float | None) -> None:
        """Read what there is into the buffer; raise `EOFError` at the end of stdout."""
        if until is not None:
            left = max(0.0, until - time.monotonic())
            if not select.select([self.stdout], [], [], left)[0]:
                raise TimeoutError
        data = os.read(self.stdout, _CHUNK)
        if not data:
            raise EOFError
        self.buffer += data

    def _line(self, until: float | None = None) -> bytes:
        """Return the next line; of one that is no answer the buffer keeps the beginning."""
        searched = 0
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            if searched > _LONGEST_LINE:
                raise ValueError
            self._read(until)
        line = bytes(self.buffer[:end])
        if line[:1] != b"{":
            raise ValueError
        del self.buffer[: end + 1]
        return line

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._read(None)
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def _shown(self) -> str:
        return _short(self.buffer[: 2 * _SHOWN].decode(errors="replace").partition("\n")[0])

    def _stop(self) -> int:
        """Let the program end, or end it, and return its status as `subprocess` has it."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            return self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _end(self) -> NoReturn:
        """End this worker as the program has ended."""
        status = self._stop()
        if status < 0:
            with contextlib.suppress(OSError):
                signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        os._exit(status)

    def _fail(self, words: str) -> NoReturn:
        """End this worker, because the program does not follow the protocol."""
        os.write(2, f"\nthe program {words}; its stdout is for answers alone".encode())
        self.process.kill()
        os._exit(1)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def _how(status: int) -> str:
    """Return how a program ended."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _last_words() -> str:
    """Return what the program has written to stderr, which is a file here, if it did."""
    try:
        text = os.pread(2, _CHUNK, max(0, os.fstat(2).st_size - 300)).decode(errors="replace")
    except OSError:
        return ""
    return f"; stderr ends: {one_line(text)!a}" if text.strip() else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
