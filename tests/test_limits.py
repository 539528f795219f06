"""Absurd sizes and numbers: one line that says what is too large, before anything is made of it."""

from __future__ import annotations

import math
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

import conformance
from conformance.case import Case
from conformance.cases.limits import check_size, check_windows
from conformance.cases.validity import is_valid
from conformance.cli import main
from conformance.errors import CaseError, ConformanceError
from conformance.operators import OPERATORS
from conformance.registration.registry import Registry
from conformance.spec import load

HUGE = 10**22 + 1


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_registry: Registry) -> Path:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line of an error; assert that nothing large was made before."""
    tracemalloc.start()
    status = main(arguments)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    out, err = capsys.readouterr()

    assert (2, "") == (status, out)
    assert err.startswith("convformance: error: ")
    assert 1 == err.count("\n")
    assert peak < 1 << 26
    return err


ABSURD = {
    "conv2d:float32:x=1,99999999,99999,9999:w=1,99999999,3,3:normal@0": "x (1, 99999999, 99999, 9",
    "conv2d:float32:x=1,1,100000,100000:w=1,1,3,3:integers@0": "x (1, 1, 100000, 100000) is too",
    f"conv1d:float32:x=1,1,{HUGE}:w=1,1,3:integers@0": f"x=(1, 1, {HUGE}) is too large",
    f"conv1d:float32:x={HUGE},1,3:w=1,1,3:integers@0": "is too large; allowed: numbers up to 2147",
    f"conv1d:float32:x=1,{HUGE},3:w={HUGE},1,1:groups={HUGE}:integers@0": "is too large",
    f"conv1d:float32:x=1,1,3:w=1,1,1:stride={HUGE}:integers@0": f"stride=({HUGE},) is too large",
    f"conv1d:float32:x=1,1,3:w=1,1,1:dilation={HUGE}:integers@0": f"dilation=({HUGE},) is too la",
    f"conv1d:float32:x=1,1,3:w=1,1,1:padding={HUGE}/0:integers@0": f"padding=(({HUGE}, 0),) is t",
    "conv1d:float32:x=1,1,3:w=1,1,1:padding=2147483647/0:integers@0": "output (1, 1, 2147483650) i",
    "conv1d:float32:x=1,1,3:w=1,1,1:padding=2147483647/0:stride=2147483647:normal@0": "padded x (1",
    "conv_transpose1d:float32:x=1,1,2:w=1,1,1:stride=999999999:padding=0/999999900:normal@0": (
        "output before cropping (1, 1, 1000000000) is too large"
    ),
    "conv1d:float32:x=1,1,3:w=2147483647,1,1:integers@0": "w (2147483647, 1, 1) is too large",
    "conv1d:float32:x=0,1,2147483647:w=1,1,1:integers@0": "x (0, 1, 2147483647) is too large",
    "conv2d:float32:x=1,1,9999,9999:w=1,1,5000,5000:integers@0": "multiply-accumulates are too m",
    "conv2d:float32:x=1,64,1000,1000:w=1,64,3,3:normal@0": "its windows have 573",
    "conv2d:float32:x=1,64,1000,1000:w=1,64,3,3:integers@0:memory=fortran": "its windows have 573",
    "conv1d:float32:x=1,1,100000000:w=1,1,99999999:integers@0": "too large to be verified",
    "conv_transpose1d:float32:x=1,1,9999:w=1,1,3:stride=99999:integers@0": "output (1, 1, 9997",
    "conv_weight_grad2d:float32:x=1,64,1000,1000:w=1,64,3,3:integers@0": "its windows have 573",
    "conv_input_grad2d:float32:x=1,64,1000,1000:w=1,64,3,3:integers@0": "its windows have 573",
    "conv_bias_grad2d:float32:x=1,1,99999,99999:integers@0": "grad (1, 1, 99999, 99999) is too",
    "max_pool2d:float32:x=1,1,9999,9999:kernel=5000,5000:integers@0": "multiply-accumulates are",
    "max_pool1d:float32:x=1,1,999999:kernel=500000:integers@0": "too large to be verified",
    "max_pool1d:float32:x=1,1,999999:kernel=500000:nan@0": "its windows have 25",
    "max_pool_grad1d:float32:x=1,1,999999:kernel=500000:normal@0": "its windows have 25",
    "avg_pool1d:float32:x=1,1,1:kernel=2147483647:padding=1073741823/1073741823:nan@0": "padded x",
    f"max_pool1d:float32:x=1,1,3:kernel={HUGE}:integers@0": f"kernel=({HUGE},)",
    "conv2d:float32:x=1,1,100000,100000:w=1,1,3,3:invalid=stride-zero:integers@0": "is too large",
}  # fmt: skip
"""Case ids, and what is said of each."""


@pytest.mark.parametrize(("case", "expected"), ABSURD.items(), ids=range(len(ABSURD)))
def test_a_case_that_is_too_large_is_told_in_a_line_and_nothing_is_made(
    capsys: pytest.CaptureFixture[str], case: str, expected: str
) -> None:
    assert expected in told(capsys, "replay", case, "im2col")


FAR = [
    "conv1d:float32:x=1,1,3:w=1,1,1:stride=2147483647:integers@0",
    "conv2d:float32:x=1,1,3,3:w=1,1,2,2:stride=2147483647,99999999:integers@0",
    "conv1d:float32:x=1,1,3:w=1,1,1:dilation=2147483647:integers@0",
    "conv_transpose1d:float32:x=1,1,1:w=1,1,1:stride=2147483647:integers@0",
    "conv_transpose1d:float32:x=1,1,3:w=1,1,1:dilation=2147483647:integers@0",
    "max_pool1d:float32:x=1,1,9:kernel=1:stride=2147483647:integers@0",
    "avg_pool1d:float32:x=1,1,9:kernel=1:stride=2147483647:ceil_mode:integers@0",
]


@pytest.mark.parametrize("case", FAR)
def test_a_number_that_is_large_where_it_costs_nothing_is_judged_and_timed(
    capsys: pytest.CaptureFixture[str], case: str
) -> None:
    assert 0 == main(("replay", case, "im2col", "naive"))
    assert 0 == main(("time", case, "-i", "im2col", "--rounds", "1"))


@pytest.mark.parametrize(
    "case", [case for case in ABSURD if case.startswith("conv2d") and "invalid" not in case]
)
def test_judge_and_time_and_known_files_refuse_what_is_too_large(
    capsys: pytest.CaptureFixture[str], case: str
) -> None:
    with pytest.raises(CaseError, match="too"):
        conformance.judge("im2col", case)
    if "normal" not in case and "memory" not in case:  # timed on whole numbers
        assert "too" in told(capsys, "time", case, "-i", "im2col")
    Path("known.toml").write_text(
        f'[[known]]\nimplementation = "im2col"\nrequirement = "CONV-1"\ncase = "{case}"\n'
        'where = {operator = "conv"}\nreason = "no"\n'
    )
    assert "too" in told(capsys, "run", "-i", "im2col", "--known", "known.toml")


def test_a_suite_of_a_spec_file_with_absurd_sizes_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = '[[case]]\nname = "a"\noperator = "max_pool"\nx = [1, 1, 999999]\nkernel = [{}]\n'
    Path("my.toml").write_text(text.format("1, 1"))
    assert "kernel" in told(capsys, "spec", "--spec", "my.toml")
    Path("my.toml").write_text(text.format("1").replace("[1, 1, 9", f"[{HUGE}, 1, 9"))
    assert "x = " in told(capsys, "spec", "--spec", "my.toml")
    Path("my.toml").write_text(text.format("1").replace("[1, 1, 9", "[999, 1, 9"))
    assert "x (999, 1, 999999) is too large" in told(capsys, "spec", "--spec", "my.toml")


def test_a_case_that_takes_more_memory_than_the_machine_has_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("conformance.cases.limits.memory", lambda: 2**20)

    with pytest.raises(CaseError, match=r"takes about 0\.0 GiB of memory, of 0\.0 GiB"):
        check_size(Case(operator="conv", x=(1, 1, 99999), w=(1, 1, 1)))


def test_no_packaged_case_is_too_large() -> None:
    spec = load()
    cases = [entry.case for name in spec.suites for entry in spec.suite(name).cases]

    assert len(cases) > 300
    for case in cases:
        check_size(case)


def test_the_windows_are_those_that_the_reference_gathers() -> None:
    """One more position of x is too many, for each operator that has windows."""
    for operator in OPERATORS.values():
        if not operator.has_window:
            continue
        case = Case(operator=operator.name, x=(1, 1, 2**24 + 15), kernel=(16,))
        if operator.has_weight:
            case = case.replace(w=(1, 1, 16), kernel=None)
        if operator.is_transposed:
            case = case.replace(x=(1, 1, 2**24))
        else:
            case = case.replace(stride=(1,))
            if "kernel" in operator.parameters:
                case = case.replace(x=(1, 1, 2**24 + 15), padding=((0, 0),))
        check_windows(case)
        with pytest.raises(CaseError, match="its windows have"):
            check_windows(case.replace(x=(1, 1, case.x[2] + 16)))


NUMBERS = [
    ("run", "-n", "99999999999999"),
    ("run", "--examples", "-1"),
    ("run", "--examples", "1e3"),
    ("run", "--seconds", "nan"),
    ("run", "--seconds", "-inf"),
    ("run", "--seconds", "0"),
    ("run", "--seed", "-1"),
    ("run", "--seed", "0x10"),
    ("run", "--jobs", "0"),
    ("run", "--call-memory", "0"),
    ("run", "--call-memory", "1.5"),
    ("run", "--call-seconds", "nan"),
    ("time", "--rounds", "99999999999999"),
    ("time", "--warmup", "99999999999999"),
    ("time", "--threads", "99999999999999"),
    ("time", "--seconds", "nan"),
    ("time", "--seed", "-1"),
    ("spec", "--coverage", "-n", "99999999999999"),
    ("spec", "--seed", "-1"),
    ("replay", "--call-seconds", "0", "conv1d:float32:x=1,1,1:w=1,1,1:integers@0"),
]


@pytest.mark.parametrize("arguments", NUMBERS, ids=" ".join)
def test_a_number_that_is_out_of_its_range_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    option = next(argument for argument in arguments if argument.startswith("-"))
    option = arguments[arguments.index(option) + (option == "--coverage")]

    assert option in told(capsys, *arguments)


@pytest.mark.parametrize(
    "given",
    [
        {"examples": 10**14},
        {"examples": "10"},
        {"examples": True},
        {"seed": -1},
        {"seed": 1.5},
        {"seconds": math.nan},
        {"seconds": "1"},
    ],
    ids=str,
)
def test_run_refuses_numbers_that_are_out_of_their_range(given: dict[str, object]) -> None:
    (name,) = given
    with pytest.raises(ConformanceError, match=f"{name}="):
        conformance.run("im2col", **given)


TINY = (
    *("-i", "im2col", "--tier", "smoke", "--examples", "3", "--suite", "none"),
    *("--operator", "conv", "--dims", "1", "--check", "result"),
)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--seconds", "1e308"),
        ("--seconds", "inf"),
        ("--seed", str(10**40)),
        ("--jobs", "100000"),
        ("--isolate", "--call-memory", str(10**20), "--call-seconds", "1e308"),
    ],
    ids=" ".join,
)
def test_a_large_number_that_means_no_limit_is_no_mistake(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    status = main(("run", *TINY, *arguments))

    assert status in (0, 3)  # too little is compared to be conclusive
    assert "Traceback" not in capsys.readouterr().err


# --- hundreds of ids, made at random --------------------------------------------------------------

_SIZES = (0, 1, 2, 3, 5, 64, 65537, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, HUGE, 10**40)
_SMALL = (1, 1, 1, 2, 3)


def _number(draw: random.Random) -> int:
    return draw.choice(_SMALL if draw.random() < 0.8 else _SIZES)


def _ids(count: int, seed: int) -> Iterator[str]:
    """Yield case ids whose fields have a plausible form, and small or absurd numbers."""
    draw = random.Random(seed)
    for _ in range(count):
        operator = draw.choice(tuple(OPERATORS))
        dims = draw.choice((1, 1, 2, 3))

        def ints(length: int) -> str:
            return ",".join(str(_number(draw)) for _ in range(length))

        channels = _number(draw)
        x = f"x={_number(draw)},{channels},{ints(dims)}"
        fields = [f"{operator}{dims}d", draw.choice(("float32", "float64", "float16", "int32")), x]
        if OPERATORS[operator].has_weight:
            fields.append(f"w={_number(draw)},{channels},{ints(dims)}")
        elif OPERATORS[operator].has_window:
            fields.append(f"kernel={ints(dims)}")
        for name in ("stride", "dilation", "output_padding"):
            if draw.random() < 0.3:
                fields.append(f"{name}={ints(dims)}")
        if draw.random() < 0.3:
            pairs = (f"{_number(draw) - 1}/{_number(draw) - 1}" for _ in range(dims))
            fields.append(f"padding={','.join(pairs)}")
        if draw.random() < 0.2:
            fields.append(f"groups={_number(draw)}")
        if draw.random() < 0.1:
            fields.append(draw.choice(("bias", "ceil_mode", "exclude_pad", "memory=strided-x")))
        if draw.random() < 0.1:
            fields.append(draw.choice(("invalid=stride-zero", "invalid=groups-zero", "invalid=?")))
        recipe = draw.choice(("integers", "normal", "wide", "nan", "subnormal", "huge"))
        fields.append(f"{recipe}@{_number(draw) * draw.choice((0, 1, 10**40))}")
        if draw.random() < 0.1:
            fields[draw.randrange(len(fields))] = draw.choice(
                ("", "x=", "w=1", "stride=1,", "é", "x")
            )
        yield ":".join(fields)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_case_id_says_there_is_a_verdict_or_one_line(
    capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    judged = 0
    for text in _ids(150, seed):
        status = main(("replay", text, "im2col"))
        out, err = capsys.readouterr()
        if status == 2:
            assert "" == out, text
            assert 1 == err.count("\n"), text
            assert err.startswith("convformance: error: "), text
        else:
            assert status in (0, 1), text
            assert "im2col: " in out, text
            judged += 1
    assert 5 < judged < 145


def test_what_is_small_is_still_valid() -> None:
    valid = 0
    for text in _ids(400, 9):
        try:
            valid += is_valid(Case.parse(text))
        except CaseError:
            continue
    assert valid > 20
