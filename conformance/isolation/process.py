"""One worker process as the run sees it: its start, its messages, its limits and its end.

It uses nothing but pipes and files without a name, so that nothing outlives the processes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import mmap
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

from conformance.calling import starving
from conformance.calling.observing import CALLING, CRASH, HANG, MEMORY, Observation, one_line
from conformance.errors import ConformanceError
from conformance.isolation import AVAILABLE, PROTOCOL
from conformance.isolation.wire import Frame, Inbox, WireError
from conformance.machine import cache_folder
from conformance.registration import entry_points
from conformance.registration.place import Place

ENTRY = Path(__file__).with_name("entry.py")
"""What an interpreter runs first."""
_CHUNK = 1 << 20
_TICK = 0.02
"""Seconds between looks at memory, while an answer is waited for."""
_SOON = 0.1
"""From this share of its limit on it is looked at whether a call waits for a core."""
_STARVED, _STARVED_SECONDS = 20.0, 300.0
"""What it waits for one does not count until it has taken so many times its limit, and as long."""
_MOST_PRINTED = 64 << 20
"""Bytes that a call may print before it is ended as one that does not come back."""
_GRACE = 1.0
"""Seconds that the guardian gets to end everything, before it is ended as well."""
_TAIL = 300
"""Characters of stderr that are reported."""
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_THREAD_TIMEOUT": "18"}
"""Environment variables for workers: threads of OpenMP sleep while they wait, and those of OpenBLAS
after 2**18 cycles, a tenth of a millisecond. Workers share cores, and a thread that spins keeps a
core from the thread that it waits for (measured: tens of times slower with OpenMP)."""


class Ended(Exception):
    """The worker is gone: one of ENDINGS, and how; ``error`` and ``where`` as an observation's."""

    def __init__(self, kind: str, how: str, error: str = "", where: str = "") -> None:
        super().__init__(how)
        self.kind = kind
        self.how = how
        self.error = error
        self.where = where

    def seen(self) -> Observation:
        """Return the observation of a call that ended so."""
        return Observation(ended=self.kind, how=self.how, error=self.error, where=self.where)


class StartError(ConformanceError):
    """No worker could be started; the message says what would be right."""


class Process:
    """A worker process that loads an implementation, and has loaded it after `greet`."""

    def __init__(self, place: Place, name: str | None) -> None:
        """Start the interpreter of a place, which begins to load the implementation ``name``.

        If ``name`` is None, it loads all implementations that are registered there. Raises
        `StartError` where there is no such interpreter.
        """
        if not AVAILABLE:
            raise StartError("worker processes need a POSIX system; use --no-isolate")
        self._python, self._target = place.python, place.target
        self._out, self._err = _nameless(), _nameless()
        self.limits = place.limits
        self.pid = 0
        self._started = time.monotonic()
        self._inbox = Inbox()
        self._outbox: deque[memoryview] = deque()
        self._ready: deque[tuple[tuple[Any, ...], bytearray]] = deque()
        self._open: list[int] = []
        self._page = mmap.mmap(-1, mmap.PAGESIZE)  # replaced by the one that is shared
        self._how = ("it was ended", "", "")
        self._guardian: subprocess.Popen[bytes] | None = None
        try:
            self._spawn(self._python)
            same = self._python == sys.executable
            path = [os.path.abspath(part) for part in sys.path] if same else None
            self.send(Frame().packed("greeting", PROTOCOL, path, self._target, name))
        except BaseException:
            self.stop()
            raise

    def greet(self) -> Process:
        """Wait until the implementation is loaded, and return this process.

        Raises `StartError` where the interpreter cannot serve or the implementation cannot be
        loaded, and `Ended` where loading it ends the process.
        """
        if self.pid:
            return self
        try:
            self._read_greeting(self._python)
        except BaseException:
            self.stop()
            raise
        self.startup = time.monotonic() - self._started
        return self

    def _spawn(self, python: str) -> None:
        requests, self._requests = self._pipe()
        self._answers, answers = self._pipe()
        control, self._control = self._pipe()
        self._status, status = self._pipe()
        page = tempfile.TemporaryFile()  # noqa: SIM115  closed below
        page.truncate(mmap.PAGESIZE)
        self._page = mmap.mmap(page.fileno(), mmap.PAGESIZE)
        theirs = (requests, answers, control, status, page.fileno())
        command = [python, "-u", "-E", str(ENTRY), packages(), self._folder_to_hide()]
        try:
            self._guardian = subprocess.Popen(
                [*command, *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,
                pass_fds=theirs,
                start_new_session=True,
                env=_ENVIRONMENT | os.environ,
            )
        except OSError as problem:
            raise StartError(
                f"interpreter {python}: cannot be started ({problem.strerror}); name a Python of "
                f"version 3.11 or later"
            ) from None
        finally:
            page.close()
            for number in theirs[:4]:
                os.close(number)
                self._open.remove(number)
        os.set_blocking(self._requests, False)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._poll.register(self._status, select.POLLIN)

    def _folder_to_hide(self) -> str:
        """Return the folder of references, "" for the suite's own adapters: they look for none."""
        kind, location = self._target
        if kind == "module" and location.startswith(f"{__name__.partition('.')[0]}."):
            return ""
        folder = cache_folder()
        with contextlib.suppress(OSError):  # where nothing can be written, nothing is found
            folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @property
    def hides(self) -> bool:
        """Whether the worker cannot see the folder of references."""
        return int.from_bytes(self._page[32:40], sys.byteorder) != 0

    def _pipe(self) -> tuple[int, int]:
        pair = os.pipe()
        self._open += pair
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # the system allows one user no more
                fcntl.fcntl(pair[1], fcntl.F_SETPIPE_SZ, _CHUNK)
        return pair

    def _read_greeting(self, python: str) -> None:
        try:
            answer, _ = self.receive(lambda: self.limits.loading)
        except Ended as ended:
            if ended.kind == CRASH and python != sys.executable and not self._spoken():
                raise StartError(
                    f"interpreter {python}: no worker starts there ({ended.how}); name a Python of "
                    f"version 3.11 or later"
                ) from None
            raise
        kind, detail, *_ = answer
        if kind == "refused":
            raise StartError(f"interpreter {python}: {detail}")
        if kind == "failed":
            where = "" if python == sys.executable else f"interpreter {python}: "
            raise StartError(f"{where}{detail}")
        if kind != "hello" or detail != PROTOCOL:
            raise StartError(
                f"interpreter {python}: its worker speaks protocol {detail}, this run {PROTOCOL}"
            )
        self.pid, *_, self.declared = answer[2:]

    def _spoken(self) -> bool:
        """Whether the entry has split: before that, no code of the implementation has run."""
        return int.from_bytes(self._page[8:16], sys.byteorder) != 0

    @property
    def guardian(self) -> int:
        """The process of which the worker, and all that it starts, descend; 0 once it is gone."""
        return 0 if self._guardian is None else self._guardian.pid

    @property
    def begun(self) -> int:
        """How many calls the worker has begun."""
        return int.from_bytes(self._page[:8], sys.byteorder)

    @property
    def serving(self) -> int:
        """The number of the request that the worker is or was serving, from 1 on."""
        return int.from_bytes(self._page[16:24], sys.byteorder)

    def send(self, data: bytes) -> None:
        """Send a frame. What does not fit into the pipe now is sent by `receive`, while it waits.

        If the worker has died, the frame is dropped: `receive` returns the answers that are still
        in the pipe, then raises `Ended`.
        """
        if not self.gone:
            self._outbox.append(memoryview(data))
            self._write()

    def _write(self) -> None:
        while self._outbox:
            try:
                written = os.write(self._requests, self._outbox[0])
            except BlockingIOError:
                return
            except BrokenPipeError:  # the worker is gone: receiving says how
                self._outbox.clear()
                return
            self._outbox[0] = self._outbox[0][written:]
            if not self._outbox[0]:
                self._outbox.popleft()

    def receive(self, seconds: Callable[[], float]) -> tuple[tuple[Any, ...], bytearray]:
        """Return the next frame; raise `Ended` where the worker ends, or ``seconds()`` are over.

        The time is that of one call: it starts again with every call that the worker begins. Time
        in which the machine is stopped, or busy with other processes, does not count, however
        many times the limit it is, up to `_STARVED`.
        """
        waited, begun, before_call = 0.0, self.begun, dict[str, float]()
        while not self._ready:
            if self.gone:
                raise Ended(CRASH, *self._how)
            before = time.monotonic()
            for number, _ in self._poll.poll(1000 * _TICK):
                if self.gone:
                    break
                if number == self._answers:
                    self._read()
                else:
                    self._read_status()
            if not self.gone:
                self._write()
            if self._ready or self.gone:
                continue
            passed = time.monotonic() - before
            if begun != self.begun:
                waited, begun, before_call = 0.0, self.begun, {}
            waited += min(passed, 2 * _TICK)
            if passed > _TICK / 2:
                self._check_size()
            limit = seconds()
            if not before_call and waited > _SOON * limit:
                before_call = starving.waits(self.guardian)
            if waited > limit and not self._starves(waited, limit, before_call):
                words, where = self._ask_where()
                self.stop()
                raise Ended(HANG, f"no answer after {limit:.3g} s{words}", where=where)
        return self._ready.popleft()

    def _starves(self, waited: float, limit: float, before: Mapping[str, float]) -> bool:
        """Whether a call would not have used up its time if the worker had had a core."""
        if waited > max(_STARVED * limit, _STARVED_SECONDS):
            return False
        return waited - starving.longest(before, starving.waits(self.guardian)) <= limit

    def _read(self) -> None:
        data = os.read(self._answers, _CHUNK)
        if not data:
            self._read_status(wait=True)
            return
        self._inbox.feed(data)
        try:
            self._ready += self._inbox.frames()
        except WireError as problem:
            self.stop()
            raise Ended(CRASH, f"the call wrote into the pipe of its worker: {problem}") from None

    def _read_status(self, *, wait: bool = False) -> None:
        """Take the answers that are left, note how the worker ended, and stop."""
        if wait and not select.select([self._status], [], [], _GRACE)[0]:
            self.stop()
            raise Ended(CRASH, "the call closed the pipe of its worker")
        text = os.read(self._status, 64).decode()
        os.set_blocking(self._answers, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._answers, _CHUNK):
                self._inbox.feed(data)
        with contextlib.suppress(WireError):
            self._ready += self._inbox.frames()
        if self._page[24]:
            self._how = ("the call closed the pipe of its worker", "closed pipe", "")
        else:
            ending, error = "it ended without a word", ""
            if text or self._spoken():
                ending, error = _ending(text)
            tail, where = self._tail()
            self._how = (ending + tail, error, where)
        self.stop()

    def _check_size(self) -> None:
        resident = _resident(self.pid)
        if resident > self.limits.bytes:
            self.stop()
            allowed = self.limits.bytes / 2**20
            raise Ended(MEMORY, f"held {resident / 2**20:.0f} MiB, allowed {allowed:.0f}")
        size = sum(os.fstat(file.fileno()).st_size for file in (self._out, self._err))
        if size > _MOST_PRINTED:
            self.stop()
            raise Ended(HANG, f"went on printing, {size >> 20} MiB so far")

    def _ask_where(self) -> tuple[str, str]:
        """Return the line at which a call hangs, in words and as ``file:line``.

        If its process cannot tell, the words are what it wrote to stderr, and the other is empty.
        """
        where = ("", "")
        if not self.pid:
            return where
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGUSR1)  # faulthandler writes the stack to stderr
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline and not (where := _deepest(self._stderr()))[1]:
            select.select([], [], [], 0.01)
        return where if where[1] else self._tail()

    def _stderr(self) -> str:
        number = self._err.fileno()
        start = max(0, os.fstat(number).st_size - 16_384)
        return os.pread(number, 16_384, start).decode(errors="replace")

    def _tail(self) -> tuple[str, str]:
        """Return in words where the process ended and what it wrote before; and ``file:line``."""
        text = self._stderr()
        last = one_line(_DUMP.split(text, maxsplit=1)[0][-_TAIL:])
        words, where = _deepest(text)
        return words + (f"; stderr ends: {last!a}" if last else ""), where

    @property
    def gone(self) -> bool:
        """Whether the worker has ended."""
        return self._guardian is None

    def stop(self) -> None:
        """End the worker and all that it has started."""
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            os.close(self._control)
            self._open.remove(self._control)
            try:
                guardian.wait(_GRACE)
            except subprocess.TimeoutExpired:
                pass
            except BaseException:
                _kill(guardian, self.pid)
                raise
            _kill(guardian, self.pid)
        while self._open:
            os.close(self._open.pop())
        self._out.close()
        self._err.close()


def _kill(guardian: subprocess.Popen[bytes], worker: int) -> None:
    """End the guardian and the worker, if the guardian has not ended as it should."""
    if guardian.poll() is None or guardian.returncode != 0:
        for group in (guardian.pid, worker):
            if group:
                with contextlib.suppress(OSError):
                    os.killpg(group, signal.SIGKILL)
        guardian.wait()


def _nameless() -> IO[bytes]:
    """Return a new file without a name, whose writers append."""
    import fcntl  # missing on some systems that import this module

    file = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
    flags = fcntl.fcntl(file.fileno(), fcntl.F_GETFL)
    fcntl.fcntl(file.fileno(), fcntl.F_SETFL, flags | os.O_APPEND)
    return file


def _resident(pid: int) -> int:
    """Return the bytes that a process holds in memory; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError):
        return 0


def _ending(status: str) -> tuple[str, str]:
    """Return how a process ended, in words and as the fact: ``SIGSEGV``, ``exit 3``."""
    kind, _, number = status.strip().partition(" ")
    if kind == "exit":
        return f"its process exited with status {number}", f"exit {number}"
    if kind != "signal":
        return "its process was killed by SIGKILL, its guardian as well", "SIGKILL"
    try:
        name = signal.Signals(int(number)).name
    except ValueError:
        name = f"signal {number}"
    hint = ", as the system does where memory runs out" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{hint}", name


_LIBRARY = re.compile(r"/lib(?:64)?/python3\.[0-9]+/")
_DUMP = re.compile(
    r"^(?:Fatal Python error: |(?:Current t|T)hread 0x|Stack \()",
    re.MULTILINE,
)
"""The beginning of what faulthandler writes."""
_STACK = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<what>.+)$', re.MULTILINE)


def _deepest(stderr: str) -> tuple[str, str]:
    """Return the innermost line of the implementation in a stack that faulthandler wrote.

    It is in words, and as ``file:line``.
    """
    frames = [frame for frame in _STACK.finditer(stderr) if not frame["file"].startswith(CALLING)]
    # A line of the standard library, such as one of ctypes, is not where the mistake is.
    theirs = [f for f in frames if "site-packages" in f["file"] or not _LIBRARY.search(f["file"])]
    for frame in theirs or frames:
        place = f"{frame['file']}:{frame['line']}"
        return f", in {frame['what']} ({place})", place
    return "", ""


@cache
def packages() -> str:
    """Return the folders of this project's packages, by name, as JSON for a worker.

    They are the package of this module, and those packages below it that have entry points and lie
    elsewhere, as the implementations do in an editable install.
    """
    own = __name__.partition(".")[0]
    names = {own}
    for module in entry_points.modules():
        parts = module.split(".")
        if parts[0] == own:
            names |= {".".join(parts[:length]) for length in range(2, len(parts))}
    specs = {name: importlib.util.find_spec(name) for name in sorted(names)}
    folders = {name: Path(s.origin).parent for name, s in specs.items() if s and s.origin}
    elsewhere = {
        name: str(folder)
        for name, folder in folders.items()
        if folder.parent != folders.get(name.rpartition(".")[0])
    }
    return json.dumps(elsewhere)
