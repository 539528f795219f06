"""One defect does not hide another, nor accuse what is innocent; and what fails now and then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.calling import Observation
from conformance.calling.observing import call_observed
from conformance.case import Case
from conformance.cli import main
from conformance.isolation.dispatch import close_all
from conformance.isolation.process import Process
from conformance.judging import Accuracy, Prepared, Verdict, judge_observation
from conformance.registration.registry import Registry
from conformance.running.again import kind_of
from conformance.running.needs import needs_of

HEAD = """
import os, time
from pathlib import Path
import numpy as np
from conformance import implementation
from conformance.implementations import im2col
mine = implementation("mine")
"""
CONV = """
@mine
def conv(x, w, bias, *, stride, padding, dilation, groups):
{body}
    return im2col.conv(
        x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
"""
SMALL = (
    *("--operator", "conv", "--dims", "1", "--dtype", "float32"),
    *("--check", "result", "--check", "declare", "--check", "process"),
)


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: Registry,
) -> Any:
    """Work in a folder of the test's own, and end what a test has started."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    close_all()


def found(capsys: Any, code: str, *options: str) -> list[dict[str, Any]]:
    """Return the violations that a run of a plugin with this code finds, with their cells'."""
    Path("mine.py").write_text(HEAD + code)
    main(["run", "--plugin", "mine.py", "--seconds", "5", *(options or SMALL), "--json"])
    (told,) = json.loads(capsys.readouterr().out)["implementations"]
    return [
        violation | {"operator": cell["operator"]}
        for cell in told["cells"]
        for violation in cell["violations"]
    ]


def conv(*lines: str) -> str:
    return CONV.format(body="\n".join(f"    {line}" for line in lines))


def kinds(violations: list[dict[str, Any]]) -> set[str]:
    """Return what was raised, or how the process ended; of wrong results the requirement."""
    return {v.get("cause", "").partition(" at ")[0] or v["requirement"] for v in violations}


# --- one defect does not hide another -----------------------------------------------------------


def test_an_empty_batch_that_raises_hides_no_other_exception(capsys: Any) -> None:
    code = conv(
        "if x.shape[0] == 0: raise ValueError('empty')",
        "if max(map(max, padding)): raise KeyError('padding')",
        "if x.shape[1] == 1 and w.shape[0] > 1: raise IndexError('a channel')",
        "if stride[0] > 1: [][stride[0]]",
    )
    violations = found(capsys, code)

    assert {"DECLARE-1"} == {v["requirement"] for v in violations}
    assert {"ValueError", "KeyError", "IndexError"} == kinds(violations)
    assert 4 == len({v["cause"] for v in violations})
    assert all(f" at {Path.cwd()}/mine.py:" in v["cause"] for v in violations)


def test_exceptions_of_one_type_are_told_apart_by_their_lines(capsys: Any) -> None:
    code = conv(
        "if dilation[0] > 1: raise ValueError('no')",
        "if groups > 1: raise ValueError('no')",
    )

    assert ["dilation", "groups"] == sorted(v["needs"] for v in found(capsys, code))


def test_one_line_that_raises_for_two_parameters_has_two_causes(capsys: Any) -> None:
    code = conv("if dilation[0] > 1 or groups > 1: raise ValueError('no')")

    assert ["dilation", "groups"] == sorted(v["needs"] for v in found(capsys, code))


def test_an_exception_hides_no_wrong_values_elsewhere(capsys: Any) -> None:
    code = conv(
        "if groups > 1: raise TypeError('no')",
        "if stride[0] > 1: x = x + 1",
    )

    assert {"TypeError", "CONV-4"} == kinds(found(capsys, code))


def test_a_defect_of_many_channels_hides_none_of_a_single_one(capsys: Any) -> None:
    code = conv(
        "if w.shape[1] > 1: raise ValueError('no')",
        "if dilation[0] > 1: x = x + 1",
    )

    assert {"ValueError", "CONV-5"} == kinds(found(capsys, code))


def test_a_wrong_dtype_hides_no_wrong_values(capsys: Any) -> None:
    code = conv(
        "if max(map(max, padding)): x = x + 1",
        "x, w = x.astype(np.float64), w.astype(np.float64)",
        "bias = None if bias is None else bias.astype(np.float64)",
    )

    needs = {v["requirement"]: v.get("needs") for v in found(capsys, code)}
    needs.pop("REJECT-20", None)

    assert {"RESULT-4": None, "CONV-3": "padding"} == needs


def test_correct_values_of_a_wrong_dtype_are_one_finding(capsys: Any) -> None:
    code = conv(
        "x, w = x.astype(np.float64), w.astype(np.float64)",
        "bias = None if bias is None else bias.astype(np.float64)",
    )

    assert {"RESULT-4"} == kinds(found(capsys, code)) - {"REJECT-20"}


def test_a_crash_hides_no_wrong_values_of_other_parameters(capsys: Any) -> None:
    code = conv(
        "if max(map(max, padding)): os.abort()",
        "if dilation[0] > 1: x = x + 1",
    )

    assert {"SIGABRT", "CONV-5"} == kinds(found(capsys, code))


def test_a_case_that_always_ends_its_process_is_called_a_few_times(capsys: Any) -> None:
    code = conv(
        "if max(map(max, padding)):",
        "    open('calls', 'a').write('x')",
        "    os.abort()",
    ).replace("'calls'", repr(str(Path("calls").resolve())))
    violations = found(capsys, code, *SMALL, "--suite", "edge")
    crashes = (v for v in violations if v["requirement"] == "PROCESS-1")
    crash = max(crashes, key=lambda v: v["count"])

    assert crash["not_called"] > 0.5 * crash["count"]
    assert 60 > len(Path("calls").read_text())


def test_calls_that_hang_or_crash_in_two_regions_are_made_a_few_times_a_cell(capsys: Any) -> None:
    calls = Path("calls").resolve()
    code = conv(
        "crashes, hangs = max(map(max, padding)) > 0, max(stride) > 1",
        "if crashes or hangs:",
        f"    with open({str(calls)!r}, 'a') as file:",
        "        file.write('crash ' if crashes else 'hang ')",
        "    os.abort() if crashes else time.sleep(1000)",
        "if dilation[0] > 1: x = x + 1",
    )
    cell = ("--operator", "conv", "--dims", "1", "--dtype", "float32", "--dtype", "float64")
    violations = found(capsys, code, *cell, "--call-seconds", "0.5")
    made = calls.read_text().split()
    needs = {v["requirement"]: v["needs"] for v in violations if "invalid" not in v["case"]}

    assert {"PROCESS-1", "PROCESS-2", "CONV-5"} <= {*needs}
    assert "padding" in needs["PROCESS-1"]
    assert "dilation" in needs["CONV-5"]
    assert "stride" in needs["PROCESS-2"]  # how far it is shrunk depends on the machine
    assert 30 > made.count("hang")
    assert 80 > made.count("crash")


RAISING = """
def fails(value):
    if value > 1:
        raise ValueError("one")
    [][value]


def through_another_line(value):
    return fails(value)
"""


def test_the_place_that_raised_is_the_innermost_line_of_the_implementation(tmp_path: Path) -> None:
    file = tmp_path / "raising.py"
    file.write_text(RAISING)
    namespace: dict[str, Any] = {}
    exec(compile(RAISING, str(file), "exec"), namespace)
    seen = [call_observed(namespace["through_another_line"], [(n, None)], {}) for n in (2, 1)]

    assert [("ValueError", f"{file}:4"), ("IndexError", f"{file}:5")] == [
        (one.error, one.where) for one in seen
    ]


CASE = "conv1d:float32:x=2,3,9:w=4,3,3:bias:stride=2:padding=1/2:normal@0"


def seen(output: Any, text: str = CASE, **observed: Any) -> Verdict:
    prepared = Prepared.of(Case.parse(text))
    return judge_observation("mine", Accuracy(), prepared, Observation(output=output, **observed))[
        0
    ]


def exact(text: str = CASE) -> np.ndarray[Any, Any]:
    return np.asarray(Prepared.of(Case.parse(text)).reference.exact)


def cited(verdict: Verdict) -> list[str | None]:
    return [one.requirement for one in verdict.findings]


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "complex64", ">f4", "longdouble"])
def test_right_values_are_right_in_any_dtype(dtype: str) -> None:
    assert ["RESULT-4"] == cited(seen(exact().astype(dtype)))


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "complex64", ">f4", "longdouble"])
def test_wrong_values_are_wrong_in_any_dtype(dtype: str) -> None:
    assert ["RESULT-4", "RESULT-1"] == cited(seen((exact() + 10).astype(dtype)))


def test_a_value_of_a_coarser_dtype_is_judged_by_its_bound_and_the_message_says_so() -> None:
    output = exact().astype(np.float16)
    output[0, 0, 0] += np.float16(8)
    _, value = seen(output).findings

    assert "judged by the bound of float16, in which it was returned" in value.message


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("max_pool1d:float32:x=2,3,9:kernel=3:normal@0", "float16"),
        ("max_pool1d:float32:x=2,3,9:kernel=3:nan@0", "float64"),
        ("max_pool1d:float16:x=2,3,9:kernel=3:normal@0", "bfloat16"),
        ("max_pool1d:int8:x=2,3,9:kernel=3:integers@0", "int64"),
        ("conv1d:int32:x=2,3,9:w=4,3,3:integers@0", "float64"),
        ("conv1d:float64:x=2,3,9:w=4,3,3:wide@0", "float32"),
        ("avg_pool_grad1d:float32:x=2,3,9:kernel=3:normal@0", "float64"),
    ],
)
def test_the_values_of_every_operator_are_judged_in_spite_of_the_dtype(
    text: str, dtype: str
) -> None:
    from conformance.dtypes import dtype_from

    right = exact(text).astype(dtype_from(dtype))
    wrong = (np.nan_to_num(right.astype(np.float64)) + 20).astype(right.dtype)

    assert ["RESULT-4"] == cited(seen(right, text))
    assert 2 == len(cited(seen(wrong, text)))


def test_a_changed_input_and_shared_memory_hide_no_wrong_values() -> None:
    output = (exact() + 10).astype(np.float32)

    assert ["PURE-1", "PURE-2", "RESULT-1"] == cited(seen(output, changed=(0,), shared=(1,)))


def test_an_exception_hides_no_changed_input() -> None:
    assert ["DECLARE-1", "PURE-1"] == cited(seen(None, raised="ValueError: no", changed=(0,)))


def test_a_wrong_shape_is_no_wrong_value() -> None:
    shape, value = seen(np.zeros(3, np.float32)), seen((exact() + 10).astype(np.float32))

    assert ("shape", "result") == (kind_of(shape), kind_of(value))


def test_what_a_failure_may_need_is_also_in_the_shapes() -> None:
    plain = Case.parse("conv1d:float32:x=1,1,3:w=1,1,1:integers@0")

    assert frozenset() == needs_of(plain)
    assert {"an empty batch"} == needs_of(plain.replace(x=(0, 1, 3)))
    assert {"several channels", "several samples"} == needs_of(
        plain.replace(x=(2, 2, 3), w=(1, 2, 1))
    )


# --- the innocent -------------------------------------------------------------------------------

POOLS = """
broken = []

@mine
def max_pool_grad(grad, x, *, kernel, stride, padding, dilation, ceil_mode):
    broken.append(1)
    return im2col.max_pool_grad(
        grad, x, kernel=kernel, stride=stride, padding=padding, dilation=dilation,
        ceil_mode=ceil_mode,
    )

@mine
def avg_pool_grad(grad, input_shape, *, kernel, stride, padding, ceil_mode, count_include_pad):
    if broken:
        {harm}
    if stride[0] > 1:
        grad = grad + 1
    return im2col.avg_pool_grad(
        grad, input_shape, kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )
"""


@pytest.mark.parametrize("harm", ["os.abort()", "raise TypeError('bad argument type')"])
def test_what_another_function_has_broken_accuses_that_one(capsys: Any, harm: str) -> None:
    options = ("--dims", "1", "--dtype", "float32", "--examples", "30", "--suite", "none")
    violations = found(capsys, POOLS.format(harm=harm), *options)
    innocent = [v for v in violations if v["operator"] == "avg_pool_grad"]
    guilty = [v for v in violations if v["operator"] == "max_pool_grad"]

    assert {"violates"} == {v["status"] for v in innocent}
    assert {"GRAD-7"} <= {v["requirement"] for v in innocent}
    assert {"PROCESS-5"} == {v["requirement"] for v in guilty}
    assert all(v["case"].startswith("max_pool_grad1d") for v in guilty)
    assert 1 == len(guilty)


def test_a_failure_that_needs_an_earlier_call_names_it(capsys: Any) -> None:
    code = "left = []\n" + conv(
        "if padding[0][0] == 1 and padding[0][1] == 0: left.append(1)",
        "if left and groups > 1 and bias is None: raise TypeError('bad argument type')",
    )
    violations = found(capsys, code)
    (after,) = (v for v in violations if v.get("after"))

    assert "REPEAT-2" == after["requirement"]
    assert "padding" in after["after"]
    assert "that call wrote outside its arrays, or left state" in after["message"]
    assert "groups=2" in after["case"]


# --- now and then -------------------------------------------------------------------------------


def test_what_fails_now_and_then_is_counted(capsys: Any) -> None:
    code = "import itertools\nnumbers = itertools.count()\n" + conv(
        "if dilation[0] > 1 and next(numbers) % 3: x = x + 1"
    )
    violations = found(capsys, code)
    counted = [v for v in violations if v["times_failed"] < v["times_called"]]

    assert 10 == counted[0]["times_called"]
    assert f"fails in {counted[0]['times_failed']} of 10: a race" in counted[0]["message"]


def test_what_fails_in_every_dtype_and_dimension_is_shown_in_one_new_worker(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, start = [], Process.__init__

    def noted(process: Process, place: Any, name: Any) -> None:
        started.append(name)
        start(process, place, name)

    monkeypatch.setattr(Process, "__init__", noted)
    violations = found(
        capsys,
        conv("if dilation[0] > 1: x = x + 1"),
        *("--operator", "conv", "--dims", "1", "--dims", "2", "--check", "result"),
        *("--dtype", "float32", "--dtype", "float64", "--suite", "none", "--examples", "60"),
    )

    assert [(10, 10)] * 4 == [(v["times_failed"], v["times_called"]) for v in violations]
    assert 2 == len(started)  # the one that makes the calls, and the new one


def test_what_always_fails_is_called_ten_times_and_says_nothing_of_it(capsys: Any) -> None:
    (violation,) = found(capsys, conv("if dilation[0] > 1: x = x + 1"))

    assert (10, 10) == (violation["times_failed"], violation["times_called"])
    assert "fails" not in violation["message"]


def test_a_crash_that_never_comes_again_is_reported_with_what_was_called_before(
    capsys: Any,
) -> None:
    code = conv(
        "mark = Path(__file__).with_name('crashed')",
        "if stride[0] == 2 and w.shape[2] > 1 and not mark.exists():",
        "    mark.touch()",
        "    os.abort()",
    )
    (violation,) = found(capsys, code)

    assert "PROCESS-1" == violation["requirement"]
    assert 1 == violation["times_failed"] < violation["times_called"]
    assert f"failed once in {violation['times_called']} tries" in violation["message"]
    assert all(line.startswith("conv") for line in violation["before"].splitlines())
    for report in ("report.md", "report.html"):
        text = Path("convformance-run", report).read_text()
        assert violation["before"].splitlines()[-1] in text
        assert "it may conform" in text
