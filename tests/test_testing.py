"""The suite as pytest items, in a test suite of somebody else's."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from conformance import ConformanceError, implementation
from conformance.arrays import interpreters
from conformance.isolation.dispatch import close_all
from conformance.registration import entry_points
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import get
from conformance.requirements import numbered
from conformance.testing import checks, parametrize_with_checks

pytest_plugins = ["pytester"]

SUITE = """
from conformance import Unsupported, implementation
from conformance.testing import parametrize_with_checks
from conformance.implementations.im2col import conv as im2col

@implementation("{name}", dtypes=("float32",))
def conv(x, w, bias, *, stride, padding, dilation, groups):
    {body}

@parametrize_with_checks([conv], examples=5, suites=())
def test_conv(implementation, check):
    check(implementation)
"""
RIGHT = (
    "return im2col(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)"
)
BROKEN = f"{RIGHT} + (max(dilation) > 1)"


@pytest.fixture(autouse=True)
def pytest_of_its_own(
    empty_registry: None, cache_folder: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inner pytest runs here, with a registry and a cache of its own."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def run(pytester: pytest.Pytester, name: str, body: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(SUITE.format(name=name, body=body))
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)


def test_items_are_named_for_implementation_operator_dimension_and_dtype(
    pytester: pytest.Pytester,
) -> None:
    result = run(pytester, "my-conv", RIGHT, "--collect-only", "-q")

    result.stdout.fnmatch_lines(
        [f"*::test_conv?my-conv-conv{dims}d-float32?" for dims in (1, 2, 3)], consecutive=True
    )


def test_a_correct_implementation_passes(pytester: pytest.Pytester) -> None:
    run(pytester, "right", RIGHT).assert_outcomes(passed=3)


def test_k_selects_a_dimension(pytester: pytest.Pytester) -> None:
    run(pytester, "selected", RIGHT, "-k", "conv2d").assert_outcomes(passed=1, deselected=2)


def test_a_broken_implementation_fails_with_case_and_command(pytester: pytest.Pytester) -> None:
    result = run(pytester, "broken", BROKEN, "-k", "conv1d")
    case = "conv1d:float32:*:dilation=2:integers@0"

    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: broken fails * of * cases",
            "*CONV-5 (cases: *): 1 of 1 elements differ;*",
            f"*smallest case: {case}",
            f"*replay: convformance replay '{case}' broken --plugin *.py",
        ]
    )


def test_isolated_a_call_that_ends_its_process_fails_its_item_and_is_not_called_again(
    pytester: pytest.Pytester,
) -> None:
    crashing = f"import os; os._exit(3) if len(stride) == 1 else None\n    {RIGHT}"
    suite = SUITE.replace("suites=()", "suites=(), isolate=True")
    pytester.makepyfile(suite.format(name="crashing", body=crashing))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rs")
    close_all()

    result.assert_outcomes(failed=1, skipped=2)
    result.stdout.fnmatch_lines(["*crashing: ended after 10 crashes in a row*"])
    result.stdout.fnmatch_lines(["*PROCESS-1*its process exited with status 3*"])


def test_kernels_of_items_run_in_interpreters(pytester: pytest.Pytester) -> None:
    kernel = f"import os; assert os.environ['TRITON_INTERPRET'] == '1'\n    {RIGHT}"
    suite = SUITE.replace("suites=()", "suites=(), interpret=True, dtypes='float32'")
    pytester.makepyfile(suite.format(name="kernel", body=kernel))
    try:
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "conv1d")
    finally:
        interpreters.switch(False)
        close_all()

    result.assert_outcomes(passed=1, deselected=2)


def test_what_is_not_supported_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    result = run(pytester, "declines", 'raise Unsupported("no time")', "-rs")

    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(["*SKIPPED*declines: no time"])


def test_what_is_not_installed_is_skipped_with_the_hint(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        SUITE.format(name="absent", body="import absent").replace(
            'dtypes=("float32",)', 'package="convformance-absent"'
        )
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rs")

    result.assert_outcomes(skipped=6)
    result.stdout.fnmatch_lines(["*absent: not installed: pip install convformance-absent"])


def test_a_function_that_is_not_registered_is_a_clear_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from conformance.testing import parametrize_with_checks

        def conv(x, w, bias, *, stride, padding, dilation, groups): ...

        @parametrize_with_checks([conv])
        def test_conv(implementation, check):
            check(implementation)
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'conv' is not a registered implementation; put @implem*"])


def test_the_replay_command_of_a_shared_implementation_needs_no_plugin(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pytester.makepyfile(
        shared=SUITE.partition("@parametrize")[0].format(name="shared", body=BROKEN)
    )
    (one,) = load_plugin(file)
    module = one.functions["conv"].__module__
    entry = EntryPoint("shared", module, entry_points.GROUP)
    monkeypatch.setattr(entry_points, "installed", lambda: (entry,))
    (check,) = (check for check in checks(one, examples=5, suites=()) if check.dims == 1)
    with pytest.raises(AssertionError) as caught:
        check(one)

    assert str(caught.value).endswith("integers@0' shared")


# --- mistakes, when items are made --------------------------------------------------------------


@pytest.fixture
def mine() -> object:
    @implementation("mine")
    def conv(x, w, bias, *, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
        return x

    return get("mine")


def test_an_unknown_dtype_is_refused(mine: object) -> None:
    with pytest.raises(ConformanceError, match="dtype 'nope' is unknown; known are float32"):
        checks(mine, dtypes=["nope"])


def test_an_unknown_suite_is_refused(mine: object) -> None:
    with pytest.raises(ConformanceError, match="suite 'nope' is unknown; known are smoke"):
        checks(mine, suites=["nope"])


def test_implementations_are_a_list(mine: object) -> None:
    with pytest.raises(ConformanceError, match="write a list"):
        parametrize_with_checks(mine)  # type: ignore[arg-type]


def test_a_dtype_that_is_not_claimed_has_no_checks(mine: object) -> None:
    assert () == checks(mine, dtypes=["float16"])


def test_violations_come_in_the_order_of_severity_and_rejections_have_a_line_each(
    mine: object,
) -> None:
    first, *_ = checks(mine, examples=0, suites=())
    with pytest.raises(AssertionError) as caught:
        first(mine)
    told = str(caught.value).splitlines()
    cited = [line.split()[0] for line in told if re.match(r" *[A-Z]+-\d+ \(", line)]
    (block,) = (n for n, line in enumerate(told) if 'declare arguments="unchecked"' in line)
    rejections = [line for line in cited if line.startswith("REJECT-")]

    assert cited[-len(rejections) :] == rejections == sorted(rejections, key=numbered)
    assert len(rejections) == len({*rejections}) > 10
    assert 1 + 8 * 3 + 1 >= block
    assert 1 == sum("replay: " in line for line in told[block:])


def test_an_item_that_compared_too_little_does_not_pass(pytester: pytest.Pytester) -> None:
    declined = "x.shape[:2] != (1, 1) or bias is None"  # of one channel there are many layouts
    few = f'if {declined}:\n        raise Unsupported("one channel and a bias")\n    '
    result = run(pytester, "few", few + RIGHT, "-k", "conv2d")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*few: nothing was proved: * cases were compared*"])


# --- what a failure shows -------------------------------------------------------------------------


def test_a_failure_shows_the_line_of_the_test_and_no_frame_of_the_suite(
    pytester: pytest.Pytester,
) -> None:
    result = run(pytester, "framed", BROKEN, "-k", "conv1d")

    text = result.stdout.str()
    assert ">       check(implementation)" in text
    assert "conformance/" not in text
    assert "Traceback" not in text


def test_a_mistake_of_the_user_shows_no_frame_of_the_suite(pytester: pytest.Pytester) -> None:
    body = f"{RIGHT}\n\nconv_ = conv"
    pytester.makepyfile(
        SUITE.format(name="mistaken", body=body).replace(
            'dtypes=("float32",)', 'dtypes=("float32",), supports=lambda case: 1 / 0'
        )
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "conv1d")

    assert "supports= raised ZeroDivisionError" in result.stdout.str()
    assert "conformance/" not in result.stdout.str()


def test_a_skipped_item_is_told_by_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, "skipping", 'raise Unsupported("no time")', "-rs")

    result.stdout.fnmatch_lines(["SKIPPED*test_a_skipped_item*.py:*: skipping: no time"])


# --- expected failures ----------------------------------------------------------------------------

EXPECTS = "suites=(), expected_failed_checks="
TWICE = f"{RIGHT} + (max(dilation) > 1) * (max(stride) == 1) + 7 * (max(stride) > 1)"


def expecting(
    pytester: pytest.Pytester, name: str, body: str, expected: str, *options: str
) -> pytest.RunResult:
    text = SUITE.format(name=name, body=body).replace("suites=()", EXPECTS + expected)
    pytester.makepyfile(text.replace("examples=5", "examples=20"))
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)


def test_what_is_expected_to_fail_is_an_expected_failure(pytester: pytest.Pytester) -> None:
    result = expecting(pytester, "expected", BROKEN, '{"CONV-5": "no dilation yet"}', "-rx")

    result.assert_outcomes(xfailed=3)
    result.stdout.fnmatch_lines(["XFAIL*expected-conv1d-float32*CONV-5: no dilation yet"])


def test_expected_failures_may_depend_on_the_implementation(pytester: pytest.Pytester) -> None:
    told = "lambda one: {'CONV-5': 'not yet'} if one.name == 'of-one' else None"

    expecting(pytester, "of-one", BROKEN, told).assert_outcomes(xfailed=3)


def test_expected_failures_of_another_implementation_do_not_count(
    pytester: pytest.Pytester,
) -> None:
    told = "lambda one: {'CONV-5': 'not yet'} if one.name == 'nobody' else None"

    expecting(pytester, "of-another", BROKEN, told).assert_outcomes(failed=3)


def test_another_requirement_still_fails_the_item(pytester: pytest.Pytester) -> None:
    result = expecting(pytester, "twice", TWICE, '{"CONV-5": "not yet"}', "-k", "conv1d")

    result.assert_outcomes(failed=1, deselected=2)
    text = result.stdout.str()
    assert "CONV-4 (cases: " in text
    assert "CONV-5 (cases: " not in text
    assert "expected to fail, and not shown: CONV-5" in text


def test_what_no_longer_fails_is_told_by_the_last_item(pytester: pytest.Pytester) -> None:
    result = expecting(pytester, "mended", RIGHT, '{"CONV-5": "not yet"}')

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*mended: CONV-5 is expected to fail (not yet), and fails in no item any more;*"]
    )


def test_what_was_not_asked_is_not_said_to_be_mended(pytester: pytest.Pytester) -> None:
    result = expecting(pytester, "partly", RIGHT, '{"CONV-5": "not yet"}', "-k", "conv2d")

    result.assert_outcomes(passed=1, deselected=2)


def test_with_runxfail_expected_failures_are_failures(pytester: pytest.Pytester) -> None:
    result = expecting(pytester, "shown", BROKEN, '{"CONV-5": "no"}', "--runxfail", "-k", "conv1d")

    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines(["*CONV-5 (cases: *"])


def test_an_unknown_requirement_cannot_be_expected_to_fail() -> None:
    one = implementation("unknowing")

    with pytest.raises(ConformanceError, match="requirement 'conv-5' is unknown; did you mean CON"):
        checks(one, expected_failed_checks={"conv-5": "not yet"})


def test_a_suite_of_ones_own_is_named_by_its_cases(pytester: pytest.Pytester) -> None:
    case = """[[case]]\nname = "first-layer"\noperator = "conv"\nx = [1, 1, 9]\nw = [1, 1, 3]
dilation = [2]\n"""
    pytester.makefile(".toml", mine=case)
    text = SUITE.format(name="named", body=BROKEN)
    text = text.replace("examples=5, suites=()", 'examples=0, suites="spec", spec="mine.toml"')
    pytester.makepyfile(text)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "conv1d")

    result.stdout.fnmatch_lines(["*CONV-5*found by case 'first-layer' of suite 'spec':*"])


OWN = """
[[case]]
name = "small"
operator = "conv"
x = [1, 1, 9]
w = [1, 1, 3]

[[case]]
name = "large"
operator = "conv"
x = [1, 32, 56, 56]
w = [32, 32, 3, 3]
dilation = [2, 1]
"""


def items_of_a_suite(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makefile(".toml", mine=OWN)
    text = SUITE.format(name="own", body=body).replace(
        "examples=5, suites=()", 'suites="mine.toml"'
    )
    pytester.makepyfile(text)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-v")


def test_a_suite_that_is_a_file_is_all_that_is_judged(pytester: pytest.Pytester) -> None:
    result = items_of_a_suite(pytester, RIGHT)

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*own-conv1d-float32*PASSED*", "*own-conv2d-float32*PASSED*"])


def test_a_large_call_of_such_a_suite_is_judged_and_named(pytester: pytest.Pytester) -> None:
    result = items_of_a_suite(pytester, BROKEN)

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*found by case 'large' of suite 'mine':*"])


def test_a_suite_without_a_call_of_the_implementation_is_a_clear_error(
    tmp_path: Path, mine: object
) -> None:
    file = tmp_path / "pools.toml"
    file.write_text('[[case]]\nname = "a"\noperator = "max_pool"\nx = [1, 1, 9]\nkernel = [2]\n')

    with pytest.raises(ConformanceError, match=r"no call of pools is one of its .* \(conv\)"):
        checks(mine, suites=file)


def test_examples_and_a_suite_that_is_a_file_are_refused(tmp_path: Path, mine: object) -> None:
    (tmp_path / "mine.toml").write_text(OWN)

    with pytest.raises(ConformanceError, match="examples=5, and a file of a suite"):
        checks(mine, suites=str(tmp_path / "mine.toml"), examples=5)


@pytest.mark.parametrize(
    ("written", "outcomes"),
    [("out[...] = ", {"passed": 3}), ("out[..., :-1] = ", {"failed": 3})],
    ids=["all", "but the last column"],
)
def test_kernels_that_fill_their_result_are_items(
    pytester: pytest.Pytester, written: str, outcomes: dict[str, int]
) -> None:
    column = "[..., :-1]" if outcomes.get("failed") else ""
    body = f"{RIGHT.replace('return ', written)}{column}"
    text = SUITE.format(name="filling", body=body)
    text = text.replace('dtypes=("float32",)', 'dtypes="float32", out=True')
    pytester.makepyfile(text.replace("dilation, groups):", "dilation, groups, out):"))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    result.assert_outcomes(**outcomes)
