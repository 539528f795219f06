"""Kernels whose callers check the arguments: one declaration, and no invalid call is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance import implementation
from conformance.case import Case
from conformance.cases import invalid
from conformance.cli import main
from conformance.errors import RegistrationError
from conformance.implementations import im2col
from conformance.registration.registry import get
from conformance.running.judge_cell import MOST_ENDED_BY_MISTAKES
from conformance.running.run import run
from conformance.testing import checks

PLUGIN = """
import os
import numpy as np
from conformance import implementation
from conformance.implementations import im2col

@implementation("kernel", dtypes=("float32",){declared})
def conv(x, w, bias, **parameters):
    try:
        return im2col.conv(x, w, bias, **parameters)
    except (ValueError, TypeError):  # here a kernel would read what is not its own
        {otherwise}
"""
ACCEPTS, CRASHES = "return np.zeros(3, np.float32)", "os.abort()"
UNCHECKED = ', arguments="unchecked"'
SMALL = ("--examples", "8", "--suite", "none", "--dims", "1", "--seconds", "0.5")


@pytest.fixture
def judged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: object,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a kernel: the exit status, and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def judge(otherwise: str, declared: str, *options: str) -> tuple[int, str]:
        Path("kernel.py").write_text(PLUGIN.format(otherwise=otherwise, declared=declared))
        status = main(("run", "--plugin", "kernel.py", *SMALL, *options))
        return status, capsys.readouterr().out

    return judge


@pytest.mark.parametrize("otherwise", [ACCEPTS, CRASHES])
def test_the_first_run_says_how_to_declare_it_instead_of_a_block_for_each_requirement(
    judged: Callable[..., tuple[int, str]], otherwise: str
) -> None:
    status, out = judged(otherwise, "")
    text = " ".join(out.split())

    assert 1 == status
    assert 1 == text.count('if its callers check the arguments, declare arguments="unchecked"')
    assert 1 == sum(line.startswith("convformance replay") for line in out.splitlines())
    assert 40 >= len(out.splitlines())
    if otherwise == CRASHES:  # each costs several workers
        assert f"invalid calls ({MOST_ENDED_BY_MISTAKES} of " in text


@pytest.mark.parametrize("otherwise", [ACCEPTS, CRASHES])
def test_a_correct_kernel_that_checks_nothing_is_green_after_one_declaration(
    judged: Callable[..., tuple[int, str]], otherwise: str
) -> None:
    status, out = judged(otherwise, UNCHECKED)
    told = [line for line in out.splitlines() if "does not check its arguments" in line]

    assert 0 == status
    assert "kernel conforms" in out
    assert 1 == len(told)
    assert told[0].startswith("kernel: does not check its arguments, as declared: ")
    assert told[0].endswith(" invalid calls not made")


def test_the_gap_is_counted_in_every_cell(judged: Callable[..., tuple[int, str]]) -> None:
    _, out = judged(ACCEPTS, UNCHECKED, "--json")
    (one,) = json.loads(out)["implementations"]

    assert {0} == {cell["invalid"] for cell in one["cells"]}
    assert all(cell["unsupported"] for cell in one["cells"])


def test_a_wrong_value_is_found_all_the_same(judged: Callable[..., tuple[int, str]]) -> None:
    body = PLUGIN.replace("bias, **parameters)\n    except", "bias, **parameters) + 1\n    except")
    Path("wrong.py").write_text(body.format(otherwise=ACCEPTS, declared=UNCHECKED))

    assert 1 == main(("run", "--plugin", "wrong.py", *SMALL))


def test_no_part_of_a_run_makes_an_invalid_call(
    tmp_path: Path, cache_folder: Path, copied_registry: object
) -> None:
    """Neither cases nor histories nor probes: a kernel that checks sees nothing to reject."""
    rejected: list[str] = []
    mine = implementation("mine", dtypes=("float32",), arguments="unchecked")

    @mine
    def max_pool(x: Any, **parameters: Any) -> Any:
        try:
            return im2col.max_pool(x, **parameters)
        except Exception as problem:
            rejected.append(repr(problem))
            raise

    run([mine], dims=[1], examples=10, suites=(), output=tmp_path, isolate=False)

    assert [] == rejected


def test_a_call_that_a_declared_convention_accepts_is_made(copied_registry: object) -> None:
    mine = implementation("mine", arguments="unchecked", conventions={"pool_padding": "accept"})
    mine.register("max_pool", im2col.max_pool)
    gaps = {
        invalid.MISTAKES[case.invalid].requirement: mine.gap(case)
        for case in invalid.cases("max_pool", 1, ("float32",))
    }

    assert {None} == {gap for number, gap in gaps.items() if number == "REJECT-19"}
    assert None not in {gap for number, gap in gaps.items() if number != "REJECT-19"}


def test_a_wrong_value_of_such_a_call_is_one_on_a_valid_call(
    tmp_path: Path, cache_folder: Path, copied_registry: object
) -> None:
    mine = implementation("mine", dtypes=("float32",), conventions={"pool_padding": "accept"})

    @mine
    def max_pool(x: Any, *, kernel: Any, padding: Any, **others: Any) -> Any:
        wide = any(2 * end > k for k, ends in zip(kernel, padding, strict=True) for end in ends)
        if not wide:
            return im2col.max_pool(x, kernel=kernel, padding=padding, **others)
        return -x

    outcome = run([mine], dims=[1], examples=5, suites=(), output=tmp_path, isolate=False)
    found = {(v.requirement, v.severity) for cell in outcome.cells for v in cell.violations}

    assert ("REJECT-19", "values") in found


def test_a_pytest_item_makes_no_invalid_call_either(
    cache_folder: Path, copied_registry: object
) -> None:
    mine = implementation("mine", dtypes=("float32",), arguments="unchecked")

    @mine
    def conv_bias_grad(grad: Any) -> Any:
        if grad.dtype != "float32" or grad.ndim not in (3, 4, 5) or 0 in grad.shape[2:]:
            raise SystemExit("an invalid call")
        return grad.sum(axis=(0, *range(2, grad.ndim)))

    for check in checks(mine, examples=3):
        check(mine)


def test_without_the_declaration_arguments_are_checked(copied_registry: object) -> None:
    case = Case.parse("conv1d:float32:x=1,1,3:w=1,1,2:invalid=stride-zero:integers@0")

    assert "checked" == get("im2col").arguments
    assert get("im2col").gap(case) is None


def test_another_word_is_refused_in_a_line(copied_registry: object) -> None:
    with pytest.raises(RegistrationError, match=r"arguments='none'; allowed: checked, unchecked"):
        implementation("mine", arguments="none")
