"""State: what calls leave to the process, to later calls and to calls of other threads."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.calling import HistoryCall, perform, process_state
from conformance.calling.observing import Observation
from conformance.calling.threads import interrupted
from conformance.case import Case
from conformance.checks.histories import CROSSED, history
from conformance.checks.repeat import judge_named_history
from conformance.errors import RegistrationError
from conformance.isolation.dispatch import close_all
from conformance.judging import PROCESS, THREADS, Verdict, judge
from conformance.registration.declarations import Arguments
from conformance.registration.implementation import Implementation
from conformance.registration.registry import Registry
from conformance.requirements import severity
from conformance.running.causes import shrink_to_violations
from conformance.running.selection import Selection
from conformance.running.series import histories_of
from tests.correct import correct
from tests.defects import defects, kernels, unregistered
from tests.defects.witness import CORRECT

POOL = Case.parse("max_pool1d:float32:x=1,2,6:kernel=2:integers@0")
CONV = Case.parse("conv1d:float32:x=1,2,6:w=2,2,3:integers@0")


def pool(function: Any, **declared: Any) -> Implementation:
    return unregistered("mine", {"max_pool": function}, declared)


def plain(x: Any, **call: Any) -> Any:
    return kernels.max_pool(x, **call)


def named(name: str) -> Implementation:
    return next(one for one in (*defects(), *correct()) if one.name == name).implementation()


def test_a_call_that_changes_the_process_is_found_by_what_it_changes() -> None:
    def ignores(x: Any, **call: Any) -> Any:
        np.seterr(all="ignore")
        return plain(x, **call)

    verdict = judge(pool(ignores), POOL)

    assert "PROCESS-6" == verdict.requirement
    assert "the call leaves NumPy's error state changed" == verdict.message


def test_what_a_call_has_changed_is_put_back(tmp_path: Path) -> None:
    before = os.getcwd()

    def leaves(x: Any, **call: Any) -> Any:
        os.chdir(tmp_path)
        return plain(x, **call)

    verdict = judge(pool(leaves), POOL)

    assert "the call leaves the current folder changed" == verdict.message
    assert before == os.getcwd()


def test_what_is_set_up_once_is_no_fault_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POOL_IS_READY", raising=False)

    ready: list[bool] = []

    def sets_up(x: Any, **call: Any) -> Any:
        if not ready:
            os.environ["POOL_IS_READY"] = "1"
            ready.append(True)
        return plain(x, **call)

    assert "conforms" == judge(pool(sets_up), POOL).status
    assert "POOL_IS_READY" in os.environ


def test_a_number_that_grows_once_is_no_leak_and_one_that_grows_each_time_is() -> None:
    opened: list[int] = []

    def opens(limit: int) -> Any:
        def opening(x: Any, **call: Any) -> Any:
            if len(opened) < limit:
                opened.append(os.open(os.devnull, os.O_RDONLY))
            return plain(x, **call)

        return opening

    few = judge_named_history(pool(opens(3)), POOL, PROCESS)
    many = judge_named_history(pool(opens(400)), POOL, PROCESS)
    for number in opened:
        os.close(number)

    assert None is few
    assert many is not None
    assert "the call leaves the number of open files changed" == many.message


def test_an_invalid_call_that_changes_the_process_is_a_finding_on_state() -> None:
    leaking = named("leaves-a-file-open-where-it-raises")
    case = Case.parse("max_pool_grad1d:float32:x=1,1,4:kernel=2:invalid=stride-zero:integers@0")

    assert "PROCESS-6" == found(leaking, case, PROCESS).requirement
    assert None is judge_named_history(leaking, case.replace(invalid=""), PROCESS)
    assert "state" == severity("PROCESS-6", "violates", valid=False)


def test_what_others_change_after_a_run_is_not_put_back_by_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = pool(plain)
    for stream in (io.StringIO(), io.StringIO()):
        monkeypatch.setattr(sys, "stdout", stream)
        random.seed(id(stream))
        state = random.getstate()

        assert None is judge_named_history(one, POOL, PROCESS)
        assert stream is sys.stdout
        assert state == random.getstate()
        close_all()  # as a run and a replay do


@pytest.mark.parametrize("part", [*process_state.QUICK, *process_state.SLOW], ids=lambda p: p.name)
def test_each_part_of_the_state_is_read_twice_alike_and_put_back(
    part: process_state.Part,
) -> None:
    with process_state.quiet():
        before = part.read()
        if part.put_back is not None:
            part.put_back(before)

        assert before == part.read()


def test_a_finding_of_the_process_is_shrunk_and_its_script_shows_what_changed() -> None:
    violations = shrink_to_violations(
        named("draws-from-random"), [found(named("draws-from-random"), POOL, PROCESS)]
    )
    (violation,) = violations

    assert "max_pool1d:float32:x=1,2,1:kernel=1:integers@0" == violation.case.id
    assert "--as process" in violation.replay
    assert 'print("before:", hash(random.getstate()))' in violation.script
    assert 'print("after: ", hash(random.getstate()))' in violation.script


def found(implementation: Implementation, case: Case, name: str) -> Verdict:
    verdict = judge_named_history(implementation, case, name)
    assert verdict is not None
    return verdict


def test_a_call_is_stopped_at_its_own_lines_while_another_one_is_made() -> None:
    made: list[str] = []

    def call(name: str) -> Observation:
        made.append(f"{name} begins")
        made.append(f"{name} ends")
        return Observation(output=name)

    seen, others = interrupted(lambda: call("a"), lambda: call("b"), call, set(), 0)

    assert ("a", {"b"}) == (seen.output, {other.output for other in others})
    first = made.index("a begins", made.index("a ends"))
    assert "b begins" in made[first:][: made[first:].index("a ends")]


def test_a_buffer_that_threads_share_is_found_and_needs_several_threads() -> None:
    racy = named("scratch-shared-by-threads")
    (violation,) = shrink_to_violations(racy, [found(racy, CONV, THREADS)])

    assert "REPEAT-5" == violation.requirement
    assert "several threads" in violation.needs
    assert "--as threads" in violation.replay
    assert "threading.Thread" in violation.script


def test_what_one_thread_shows_as_well_is_not_laid_to_threads() -> None:
    case = Case.parse("conv_transpose1d:float32:x=1,2,5:w=2,2,2:integers@0")
    verdict = judge_named_history(named("offset-of-the-call-before"), case, THREADS)

    assert verdict is None or verdict.requirement != "REPEAT-5"


@pytest.mark.parametrize("name", ["scratch-of-each-thread", "scratch-behind-a-lock"])
def test_a_buffer_of_each_thread_and_one_behind_a_lock_are_right(name: str) -> None:
    implementation = named(name)
    case = POOL if "max_pool" in implementation.functions else CONV

    assert None is judge_named_history(implementation, case, THREADS)


def test_an_implementation_for_one_thread_is_called_by_one() -> None:
    threads = set()

    def noting(x: Any, **call: Any) -> Any:
        threads.add(threading.get_ident())
        return plain(x, **call)

    several = judge_named_history(pool(noting), POOL, THREADS), len(threads)
    threads.clear()
    one = judge_named_history(pool(noting, threads="one"), POOL, THREADS), len(threads)

    assert (None, True) == (several[0], several[1] > 2)
    assert (None, 0) == one


def test_threads_are_one_or_several() -> None:
    with pytest.raises(RegistrationError, match="threads='two'; allowed: several, one"):
        Arguments("mine", threads="two").check("mine.py")


def test_an_output_is_handed_over_as_it_came() -> None:
    taken: list[Any] = []

    def reversed_view(x: Any) -> Any:
        taken.append(x)
        return (x + 1)[..., ::-1]

    x = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    first = HistoryCall("a call", "max_pool", (x,), {})
    second = HistoryCall("another", "max_pool", (x,), {}, takes=(0, 0, True))
    answers = perform({"max_pool": reversed_view}, [first, second])

    assert taken[1].strides[-1] < 0
    assert answers[1].taken is not None
    assert (-(x + 1)[..., ::-1]).tolist() == answers[1].taken.tolist()
    assert None is answers[0].changed_by


@pytest.mark.parametrize(
    ("name", "requirement"),
    [("own-output-packed-beforehand", "REPEAT-6"), ("own-output-as-workspace", "PURE-4")],
)
def test_a_result_that_is_no_plain_argument_is_found(name: str, requirement: str) -> None:
    implementation = named(name)
    case = CONV if "conv" in implementation.functions else CONV.replace(operator="conv_transpose")

    assert requirement == found(implementation, case, "compositions").requirement


def test_every_crossed_history_is_made_in_one_dtype_and_takes_turns_in_the_others() -> None:
    def names(dtype: str) -> set[str]:
        cases = [POOL.replace(x=(1, 1, size), dtype=dtype) for size in range(2, 30)]
        return {name for name, _ in histories_of(cases, ("float32", "float64", "int8"))}

    assert {*CROSSED} <= names("float32")
    assert 1 == len({*CROSSED} & names("float64"))
    assert names("int8") != names("float64")


def test_outputs_that_are_handed_on_cannot_overflow() -> None:
    for text in (
        "conv2d:float16:x=2,8,5,5:w=4,8,3,3:integers@0",
        "conv_transpose2d:float16:x=2,8,5,5:w=8,4,3,3:integers@0",
        "conv_input_grad1d:float16:x=2,8,5:w=4,8,3:integers@0",
        "conv_weight_grad2d:float16:x=2,8,5,5:w=4,8,3,3:integers@0",
        "max_pool_grad3d:float16:x=1,2,3,3,3:kernel=2:integers@0",
    ):
        case = Case.parse(text)
        implementation = named_kernel(case.operator)
        calls = history("compositions", case)

        assert calls is not None
        answers = perform(implementation.functions, calls.calls)
        assert all(np.isfinite(a.seen.output.astype(float)).all() for a in answers)
        assert None is judge_named_history(implementation, case, "compositions")


def test_sums_of_outputs_that_are_handed_on_need_not_be_exact() -> None:
    calls = history("compositions", Case.parse("avg_pool1d:float32:x=1,1,4:kernel=2:integers@0"))

    assert calls is not None
    assert {"normal"} == {step.prepared.case.data for step in calls.steps if step.takes}


def named_kernel(operator: str) -> Implementation:
    return unregistered("kernel", {operator: CORRECT[operator]}, {"dtypes": ("float16",)})


PLUGIN = """
import numpy as np
from conformance import implementation
from conformance.implementations.im2col import im2col

mine, kept = implementation("mine", dtypes="float32"), {}
functions = im2col.implementation.functions

@mine
def conv(x, w, bias, **call):
    scratch = kept.setdefault(x.shape, np.empty_like(x))
    scratch[...] = x
    return functions["conv"](scratch, w, bias, **call)

@mine
def max_pool(x, **call):
    np.random.seed(1)
    return functions["max_pool"](x, **call)
"""


def test_threads_and_the_process_are_judged_in_workers_and_scripts_show_it(
    tmp_path: Path, copied_registry: Registry
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    selection = Selection(plugins=[file])
    (loaded,), _ = selection.load()
    mine = selection.isolated(loaded)
    raced = next(shrink_to_violations(mine, [found(mine, CONV, THREADS)]))
    seeded = next(shrink_to_violations(mine, [found(mine, POOL, PROCESS)]))
    close_all()

    def printed(script: str) -> str:
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        return run.stdout + run.stderr

    assert ("REPEAT-5", "PROCESS-6") == (raced.requirement, seeded.requirement)
    assert "where one thread gets" in printed(raced.script)
    before, after = printed(seeded.script).splitlines()
    assert before.partition(":")[2].split() != after.partition(":")[2].split()
