"""Timing: what is timed, what is written down, and which cheats the verification finds.

A clock of the tests' own, which implementations set forward, stands in for the machine's.
"""

from __future__ import annotations

import errno
import gc
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import Unsupported
from conformance.calling import timed
from conformance.case import Case
from conformance.errors import ConformanceError
from conformance.registration.implementation import Implementation
from conformance.runfile import tables
from conformance.runfile.reading import read
from conformance.runfile.tables import Timing
from conformance.spec import Spec, load
from conformance.timing import callers, data, processes
from conformance.timing import timed_run as timing
from conformance.timing.threads import VARIABLES
from conformance.timing.timed_run import Timings, matmul_gflops, time
from tests.defects import unregistered

LAYER = "conv2d:float32:x=1,3,8,8:w=4,3,3,3:padding=1/1,1/1:integers@0"
POOL = "max_pool2d:float32:x=1,3,8,8:kernel=2,2:stride=2,2:integers@0"
UNIT = 1e-6
"""Seconds that the clock of the tests goes forward for each multiply-accumulate."""


class Clock:
    """A clock that stands still unless it is set forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, x: Any, w: Any) -> None:
        """Take as long as a convolution without padding or stride costs."""
        self.now += UNIT * x.size * w[0, 0].size * len(w)


@pytest.fixture(scope="module")
def spec() -> Spec:
    return load()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timed, "perf_counter", made)
    monkeypatch.setattr(timing, "matmul_gflops", lambda dtype: 100.0)
    return made


@pytest.fixture
def run(clock: Clock, spec: Spec, tmp_path: Path) -> Callable[..., Timings]:
    """Time implementations on one small layer, without other defaults in the way."""

    def call(*chosen: Implementation, layers: Any = (LAYER,), **more: Any) -> Timings:
        options: dict[str, Any] = {"rounds": 6, "spec": spec, "output": tmp_path} | more
        return time(chosen, layers, **options)

    return call


def conv(
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Compute a 2-D convolution of one image, without stride, dilation or groups."""
    padded = np.pad(x[0], ((0, 0), *padding))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], axis=(1, 2))
    return np.ascontiguousarray(np.einsum("chwij,ocij->ohw", windows, w)[None])


def made(name: str, function: Callable[..., Any], **declarations: Any) -> Implementation:
    """Return an implementation of conv that calls ``function`` as ``conv`` above is called."""
    return unregistered(name, {"conv": function}, declarations)


def steady(clock: Clock, name: str = "steady", factor: float = 1.0) -> Implementation:
    """Return an implementation that takes ``factor`` times the work of the layer."""

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        clock.now += UNIT * factor * w.size * x[0, 0].size
        return conv(x, w, bias, **call)

    return made(name, function)


def only(timings: Timings) -> Timing:
    (found,) = timings.timings
    return found


SECONDS = UNIT * 4 * 3 * 9 * 64
"""What `steady` takes for LAYER."""


# --- what is measured -----------------------------------------------------------------------------


def test_every_round_times_one_call(run: Any, clock: Clock) -> None:
    found = only(run(steady(clock), rounds=7))

    assert (7, "conforms") == (found.calls, found.verified)
    assert pytest.approx([SECONDS] * 3) == [found.lower, found.median, found.upper]


def test_rates_are_two_operations_a_multiply_accumulate(run: Any, clock: Clock) -> None:
    found = only(run(steady(clock)))

    assert 4 * 3 * 9 * 64 == found.macs
    assert pytest.approx(2e-9 * found.macs / SECONDS) == found.gflops
    assert pytest.approx(2e-11 * found.macs / SECONDS) == found.peak


def test_a_pool_has_no_rate(run: Any, clock: Clock) -> None:
    def max_pool(x: Any, **call: Any) -> Any:
        clock.now += 1e-3
        return x.reshape(1, 3, 4, 2, 4, 2).max(axis=(3, 5))

    found = only(run(unregistered("pool", {"max_pool": max_pool}, {}), layers=[POOL]))

    assert pytest.approx(1e-3) == found.median
    assert (None, None, "conforms") == (found.gflops, found.peak, found.verified)


def test_ratios_are_taken_within_a_round(run: Any, clock: Clock) -> None:
    """A machine that gets slower from round to round changes no ratio."""

    def slowing(factor: float) -> Callable[..., Any]:
        calls = iter(range(1000))

        def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
            clock.now += 1e-2 * factor * 1.5 ** next(calls)
            return conv(x, w, bias, **call)

        return function

    fast, slow = made("fast", slowing(1)), made("slow", slowing(3))
    first, second = run(fast, slow, baseline=fast, seconds=1e9).timings

    assert pytest.approx([1, 3]) == [first.ratio, second.ratio]
    assert 2 * first.lower < first.upper


def test_the_baseline_is_the_fastest_that_conforms(run: Any, clock: Clock) -> None:
    def wrong(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        clock.now += 1e-9
        return np.zeros((1, 4, 8, 8), np.float32)

    chosen = made("wrong", wrong), steady(clock, "slow", 4), steady(clock, "fast")
    ratios = {found.implementation: found.ratio for found in run(*chosen).timings}

    assert pytest.approx({"wrong": 1e-9 / SECONDS, "slow": 4.0, "fast": 1.0}) == ratios


def test_ratios_are_to_the_named_baseline(run: Any, clock: Clock) -> None:
    chosen = steady(clock, "slow", 4), steady(clock, "fast")
    ratios = [found.ratio for found in run(*chosen, baseline=chosen[0]).timings]

    assert pytest.approx([1.0, 0.25]) == ratios


def test_a_baseline_with_fewer_calls_is_compared_in_the_rounds_that_it_has(
    run: Any, clock: Clock
) -> None:
    chosen = steady(clock, "slow", 4), steady(clock, "fast")
    slow, fast = run(*chosen, baseline=chosen[0], seconds=10 * SECONDS).timings

    assert (2, 6) == (slow.calls, fast.calls)
    assert pytest.approx([1.0, 0.25]) == [slow.ratio, fast.ratio]


def test_rounds_are_interleaved_in_random_order(run: Any, clock: Clock) -> None:
    """Each round has everybody once, and not always in the same order."""
    order: list[str] = []

    def recording(name: str) -> Implementation:
        def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
            order.append(name)
            clock.now += 0.02  # long enough not to be called twice a round
            return conv(x, w, bias, **call)

        return made(name, function)

    run(recording("a"), recording("b"), rounds=12, seconds=100)
    timed = ["".join(order[i : i + 2]) for i in range(len(order) - 24, len(order), 2)]

    assert {"ab", "ba"} == set(timed)


def test_consecutive_calls_get_other_data_at_the_same_address(run: Any, clock: Clock) -> None:
    seen: list[tuple[int, bytes, bytes]] = []

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        if x.shape == (1, 3, 8, 8):
            seen.append((x.ctypes.data, x.tobytes(), w.tobytes()))
        return conv(x, w, bias, **call)

    run(made("watching", function), rounds=9)
    pairs = list(itertools.pairwise(seen))

    assert len(seen) >= 11
    assert [a[0] for a in seen[-9:]] == [seen[-1][0]] * 9
    assert all(a[1] != b[1] and a[2] != b[2] for a, b in pairs)


def test_a_short_call_is_timed_after_one_on_other_data(run: Any, clock: Clock) -> None:
    """Else it would pay for what the other implementations left in the caches."""
    calls: list[bytes] = []

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        calls.append(x.tobytes())
        clock.now += 1e-4
        return conv(x, w, bias, **call)

    run(made("short", function), rounds=5)

    assert all(a != b for a, b in zip(calls[-10::2], calls[-9::2], strict=True))


def test_garbage_is_not_collected_while_calls_are_timed(run: Any, clock: Clock) -> None:
    enabled: list[bool] = []

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        enabled.append(gc.isenabled())
        return conv(x, w, bias, **call)

    run(made("watching", function), rounds=4)

    assert [False] * 4 == enabled[-4:]
    assert gc.isenabled()


def test_channels_last_arrays_are_converted_before_the_call(run: Any, clock: Clock) -> None:
    shapes: set[Any] = set()

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        shapes.add((x.shape[-1], w.shape))
        first, second = np.moveaxis(x, -1, 1), w.transpose(3, 2, 0, 1)
        return np.ascontiguousarray(np.moveaxis(conv(first, second, bias, **call), 1, -1))

    found = only(run(made("last", function, layout="NHWC")))

    assert {(3, (3, 3, 3, 4))} == shapes
    assert "conforms" == found.verified


def test_threads_are_set_for_engines_that_are_loaded_meanwhile(run: Any, clock: Clock) -> None:
    seen: set[str | None] = set()
    before = {name: os.environ.get(name) for name in VARIABLES}

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        seen.update(os.environ.get(name) for name in VARIABLES)
        return conv(x, w, bias, **call)

    found = only(run(made("watching", function), threads=3))

    assert {"3"} == seen
    assert 3 == found.threads
    assert before == {name: os.environ.get(name) for name in VARIABLES}


def test_the_rate_of_a_matrix_product_is_measured() -> None:
    assert matmul_gflops("float32", 64, 0.01) > 0


def test_every_timed_call_has_data_of_its_own(run: Any, clock: Clock) -> None:
    seen: list[bytes] = []

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        clock.now += 1e-2
        seen.append(x.tobytes())
        return conv(x, w, bias, **call)

    run(made("watching", function), rounds=9)

    assert 9 == len({*seen[-9:]})


def test_the_data_of_timed_calls_cannot_be_foreseen(run: Any, clock: Clock) -> None:
    seen: list[bytes] = []

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        seen.append(x.tobytes())
        return conv(x, w, bias, **call)

    for _ in range(2):
        run(made("watching", function), seed=3)

    whole = [x for x in seen if len(x) == 4 * 3 * 8 * 8]
    half = len(whole) // 2

    assert half > 6
    assert {*whole[:half]}.isdisjoint(whole[half:])


def test_long_numbers_are_among_the_data(run: Any, clock: Clock) -> None:
    """Arithmetic of fewer digits is wrong there, and right on small whole numbers."""
    largest: list[float] = []

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        largest.append(max(float(abs(x).max()), float(abs(w).max())))
        clock.now += 1e-2
        return conv(x, w, bias, **call)

    run(made("watching", function), rounds=60, seconds=100)

    assert {True, False} == {number > 2**18 for number in largest[-60:]}


def test_what_a_call_leaves_in_cycles_is_freed_on_its_time(run: Any, clock: Clock) -> None:
    class Cycle:
        """An object that takes a second to be freed, and refers to itself."""

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            clock.now += 1.0

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        Cycle()
        clock.now += 1e-2
        return conv(x, w, bias, **call)

    found = only(run(made("littering", function), seconds=100))

    assert pytest.approx(1.01) == found.median


def test_rounds_go_on_until_the_ratios_are_known(run: Any, clock: Clock) -> None:
    """On a clock without noise ten rounds are enough; noise of 30 % needs more."""
    noise = itertools.cycle([1.0, 1.3, 0.7, 1.2, 0.8, 1.1, 0.9])

    def noisy(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        clock.now += 1e-2 * next(noise)
        return conv(x, w, bias, **call)

    steadily = run(steady(clock), steady(clock, "other", 2), rounds=None, seconds=60).timings
    noisily = run(steady(clock), made("noisy", noisy), rounds=None, seconds=60).timings

    assert [10, 10] == [timing.calls for timing in steadily]
    assert 10 < noisily[1].calls


def test_the_interval_of_a_ratio_holds_it(run: Any, clock: Clock) -> None:
    _, other = run(steady(clock), steady(clock, "other", 2), rounds=8).timings

    assert pytest.approx([2.0, 2.0, 2.0]) == [other.ratio_low, other.ratio, other.ratio_high]


def test_the_first_call_is_told_apart(run: Any, clock: Clock) -> None:
    calls = iter([5.0])

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        clock.now += next(calls, 1e-2) if x.shape == (1, 3, 8, 8) else 1e-2
        return conv(x, w, bias, **call)

    found = only(run(made("cold", function), seconds=10))

    assert pytest.approx([5.0, 1e-2]) == [found.cold, found.median]


def test_one_set_of_data_in_four_is_long_in_x_and_in_w_by_turns() -> None:
    source = data.Source(Case.parse(LAYER), 3)
    drawn = [source.draw().case for _ in range(16)]
    long = [case.seed % 2 for case in drawn if case.data == "digits"]

    assert [0, 1, 0, 1] == long
    assert 16 == len({case.seed for case in drawn})


@pytest.mark.skipif(not processes.KNOWN, reason="only Linux tells what others use")
def test_the_processor_time_of_children_counts() -> None:
    spent = processes.Spent(os.getpid())
    spent.begin()
    busy = "import time\nwhile time.process_time() < 0.2: pass\ninput()"
    child = subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE)
    try:
        while (processes.cpu_seconds(child.pid) or 0.0) < 0.2:
            os.sched_yield()
        used = spent.end()
    finally:
        child.communicate(b"\n")

    assert used is not None
    assert used >= 0.2


# --- time budgets ---------------------------------------------------------------------------------


def test_calls_stop_where_the_time_budget_ends(run: Any, clock: Clock) -> None:
    found = only(run(steady(clock), seconds=3.5 * SECONDS, rounds=100))

    assert 3 == found.calls


def test_who_is_too_slow_is_not_called_on_the_whole_layer(run: Any, clock: Clock) -> None:
    sizes: set[int] = set()

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        sizes.add(x.size)
        clock.now += UNIT * w.size * x[0, 0].size * 1000
        return conv(x, w, bias, **call)

    layer = "conv2d:float32:x=1,3,32,32:w=4,3,3,3:padding=1/1,1/1:integers@0"
    found = run(made("slow", function), layers=[layer], seconds=10)

    assert () == found.timings
    assert "one call would take about" in found.skipped[0].reason
    assert max(sizes) < 3 * 32 * 32


def test_a_first_call_that_compiles_is_not_held_against_anyone(run: Any, clock: Clock) -> None:
    shapes: set[Any] = set()

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        clock.now += 1e-3 if x.shape in shapes else 100
        shapes.add(x.shape)
        return conv(x, w, bias, **call)

    found = only(run(made("compiling", function), warmup=1))

    assert 6 == found.calls
    assert pytest.approx(1e-3) == found.median


def test_a_layer_of_one_output_position_has_no_smaller_version(run: Any, clock: Clock) -> None:
    layer = "conv2d:float32:x=1,3,3,3:w=4,3,3,3:integers@0"

    assert 6 == only(run(steady(clock), layers=[layer])).calls


def test_who_is_slow_on_the_whole_layer_alone_is_skipped(run: Any, clock: Clock) -> None:
    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        clock.now += 9 if x.shape == (1, 3, 8, 8) else 0
        return conv(x, w, bias, **call)

    found = run(made("cliff", function))

    assert ((), "one call takes 9 s; the time budget is 1 s") == (
        found.timings,
        found.skipped[0].reason,
    )


@pytest.mark.parametrize("reason", ["declared", "raised"])
def test_what_is_not_supported_is_said(run: Any, clock: Clock, reason: str) -> None:
    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        raise Unsupported("only one channel")

    declared = {"supports": lambda case: "only one channel"} if reason == "declared" else {}
    found = run(made("partial", function, **declared), steady(clock))

    assert ["only one channel"] == [skipped.reason for skipped in found.skipped]
    assert "steady" == only(found).implementation
    assert found.conforms


# --- what the verification finds ------------------------------------------------------------------


def cheat(clock: Clock, after: Callable[[int, Any, Any, Any], Any]) -> Implementation:
    """Return an implementation whose k-th call of LAYER returns ``after(k, x, w, right)``."""
    calls = iter(range(10**6))

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        clock.work(x, w)
        right = conv(x, w, bias, **call)
        return after(next(calls), x, w, right) if x.shape == (1, 3, 8, 8) else right

    return made("cheat", function)


def verified(run: Any, one: Implementation, **more: Any) -> str:
    return only(run(one, **more)).verified


def test_a_kernel_that_drifts_is_found_out(run: Any, clock: Clock) -> None:
    """It is right at first, and loses the last row of its output when it has been timed a while."""

    def after(k: int, x: Any, w: Any, right: Any) -> Any:
        right[:, :, -1] *= k < 5
        return right

    found = verified(run, cheat(clock, after))

    assert found.startswith("REPEAT-4: timed call ")
    assert found.endswith("(before the timing, the output was right)")


def test_one_element_left_out_in_the_last_call_is_found_out(run: Any, clock: Clock) -> None:
    calls: list[int] = []

    def after(k: int, x: Any, w: Any, right: Any) -> Any:
        calls.append(k)
        right[0, 2, 3, 4] -= k == 7
        return right

    found = verified(run, cheat(clock, after))

    assert 7 == max(calls)
    assert found.startswith("REPEAT-4: timed call 6 of 6: ")
    assert "worst at [0, 2, 3, 4]" in found


def test_a_kernel_that_is_wrong_from_the_start_is_just_wrong(run: Any, clock: Clock) -> None:
    found = verified(run, cheat(clock, lambda k, x, w, right: right + 1))

    assert found.startswith("RESULT-2: before the timing: the sums over each group's 4 output")


def test_a_cache_keyed_on_shapes_is_found_out(run: Any, clock: Clock) -> None:
    cache: dict[Any, Any] = {}
    one = cheat(clock, lambda k, x, w, right: cache.setdefault(x.shape, right).copy())

    assert (
        "REPEAT-3: before the timing: returned the result for the data of another call"
        == verified(run, one)
    )


def test_a_cache_of_weights_keyed_on_their_address_is_found_out(run: Any, clock: Clock) -> None:
    """The input is new in every call, and so is the output, but the weight is the first one's."""
    cache: dict[int, Any] = {}

    def function(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        packed = cache.setdefault(w.ctypes.data, w.copy())
        return conv(x, packed if packed.shape == w.shape else w, bias, **call)

    assert verified(run, made("packing", function)).startswith("RE")


def test_an_output_buffer_that_is_used_again_is_found_out(run: Any, clock: Clock) -> None:
    buffer = np.empty((1, 4, 8, 8), np.float32)

    def after(k: int, x: Any, w: Any, right: Any) -> Any:
        buffer[...] = right
        return buffer

    found = verified(run, cheat(clock, after))

    assert found.startswith("PURE-3: timed call 1 of 6: the output shares memory with that of")


def test_a_changed_input_is_found_out_and_hurts_nobody_else(run: Any, clock: Clock) -> None:
    def after(k: int, x: Any, w: Any, right: Any) -> Any:
        x[0, 0, 0, 0] += 1
        return right

    found = {t.implementation: t.verified for t in run(cheat(clock, after), steady(clock)).timings}

    assert {"cheat": "PURE-1: a call changed its input x", "steady": "conforms"} == found


def test_an_output_inside_an_input_is_found_out(run: Any, clock: Clock) -> None:
    layer = "conv2d:float32:x=1,3,8,8:w=3,3,1,1:integers@0"
    found = verified(run, cheat(clock, lambda k, x, w, right: x), layers=[layer])

    assert "PURE-2: before the timing: the output shares memory with x" == found


@pytest.mark.parametrize(
    ("output", "requirement"),
    [
        (lambda right: right.astype(np.float64), "RESULT-4"),
        (lambda right: right[..., :-1], "RESULT-3"),
        (lambda right: right.tolist(), "RESULT-5"),
    ],
)
def test_what_is_no_result_is_found_out(
    run: Any, clock: Clock, output: Any, requirement: str
) -> None:
    """In a timed call as before it."""
    one = cheat(clock, lambda k, x, w, right: output(right) if k > 5 else right)

    assert verified(run, one).startswith(f"{requirement}: timed call ")


def test_an_exception_in_a_timed_call_is_a_violation(run: Any, clock: Clock) -> None:
    def after(k: int, x: Any, w: Any, right: Any) -> Any:
        if k > 5:
            raise RuntimeError("out of registers")
        return right

    found = only(run(cheat(clock, after)))

    assert "DECLARE-1: raised on a valid case: RuntimeError: out of registers" == found.verified
    assert 4 == found.calls


def test_who_declines_a_layer_after_some_calls_is_found_out(run: Any, clock: Clock) -> None:
    def after(k: int, x: Any, w: Any, right: Any) -> Any:
        if k > 5:
            raise Unsupported("tired")
        return right

    assert verified(run, cheat(clock, after)).startswith("DECLARE-7: ")


def test_a_wrong_output_makes_the_run_fail(run: Any, clock: Clock) -> None:
    assert run(steady(clock)).conforms
    assert not run(cheat(clock, lambda k, x, w, right: right + 1)).conforms


# --- data that lie in a file ----------------------------------------------------------------------


def test_data_lie_on_the_disk_where_memory_has_no_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(callers, "_SHARED", tmp_path / "missing")

    with callers._file(1000) as file:
        assert 1000 == os.fstat(file.fileno()).st_size


def test_no_room_for_the_data_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)

    with pytest.raises(ConformanceError, match=r"no room for 1 MiB .*set TMPDIR"):
        callers._file(1 << 20)


# --- the run file ---------------------------------------------------------------------------------


def test_the_run_file_has_everything(run: Any, clock: Clock) -> None:
    """Timings, why others were not timed, what was called, and under which conditions."""
    reason = "only one channel"
    partial = made("partial", conv, supports=lambda case: reason, settings="one thread")
    found = run(steady(clock), partial, seed=5)
    contents = read(found.path)
    facts, (row,), (gap,) = contents.facts, contents.rows(Timing), contents.rows(tables.Gap)
    rows = {one.name: one for one in contents.rows(tables.Implementation)}

    assert only(found) == row
    assert row.case.endswith("integers@5")
    assert ("partial", "conv", 1) == (gap.implementation, gap.operator, gap.count)
    assert gap.reason.endswith(f": {reason}")
    assert {"steady": "conforms", "partial": "unsupported"} == {
        name: one.verdict for name, one in rows.items()
    }
    assert {"steady": "", "partial": "one thread"} == {
        name: one.settings for name, one in rows.items()
    }
    expected = {"threads": 1, "rounds": 6, "seed": 5, "baseline": timing.FASTEST}
    assert expected == {key: facts[key] for key in expected}
    assert {"float32": 100.0} == facts["matmul_gflops"]
    assert {"cpu", "cores", "threads", "packages"} <= facts["machine"].keys()
    assert {"started", "finished"} <= facts.keys()


# --- selections -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds=0; a whole number, 1 to 1000000"),
        ({"threads": 0}, "threads=0"),
        ({"warmup": -1}, "warmup=-1"),
        ({"seconds": 0}, "seconds=0"),
        ({"dtype": "int32"}, "dtype 'int32' cannot be timed"),
    ],
)
def test_options_out_of_range_are_errors(
    run: Any, clock: Clock, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConformanceError, match=message):
        run(steady(clock), **options)


def test_a_baseline_that_is_not_timed_is_an_error(run: Any, clock: Clock) -> None:
    with pytest.raises(ConformanceError, match="baseline 'other' is not timed; choose one of stea"):
        run(steady(clock), baseline=steady(clock, "other"))
