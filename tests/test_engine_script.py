"""Engine scripts: at most ten lines, with the engine alone, that give what the adapter gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance import implementation
from conformance.calling import to_layout
from conformance.case import Case
from conformance.judging import VIOLATES, Prepared, Verdict, judge_prepared
from conformance.registration.registry import get
from conformance.registration.snippets import SnippetCall
from conformance.scripts.engine import MOST_LINES, engine_script
from conformance.signatures import SIGNATURES
from tests.defects import kernels

CASES = (
    "conv1d:bfloat16:x=1,2,5:w=2,2,2:bias:normal@1",
    "conv2d:float32:x=1,4,5,4:w=4,2,2,3:bias:stride=2,1:padding=1/1,1/1:groups=2:normal@2",
    "conv3d:float64:x=1,1,3,3,3:w=1,1,2,1,2:padding=1/0,0/0,0/1:integers@3",
    "conv_transpose1d:float16:x=1,2,3:w=2,2,2:stride=2:padding=1/0:output_padding=1:normal@4",
    "conv_transpose2d:float32:x=1,2,3,2:w=2,1,2,2:bias:padding=1/1,0/0:dilation=2,1:normal@5",
    "max_pool1d:float32:x=1,2,6:kernel=2:dilation=2:integers@6",
    "max_pool2d:int8:x=1,2,4,5:kernel=2,3:stride=2,1:padding=1/1,0/1:integers@7",
    "max_pool3d:float32:x=1,1,3,3,3:kernel=2,2,2:stride=2,2,2:ceil_mode:nan@8",
    "avg_pool1d:float32:x=1,2,6:kernel=3:padding=1/0:normal@9",
    "avg_pool2d:float64:x=1,1,4,4:kernel=3,3:padding=1/1,1/1:exclude_pad:normal@10",
    "conv_input_grad2d:float32:x=1,2,4,4:w=2,2,2,2:stride=2,1:normal@11",
    "conv_weight_grad1d:bfloat16:x=2,1,6:w=2,1,3:padding=1/1:normal@12",
    "conv_bias_grad1d:float32:x=2,3,4:normal@13",
    "max_pool_grad2d:float32:x=1,1,4,4:kernel=2,2:padding=1/0,0/0:integers@14",
    "avg_pool_grad1d:float32:x=1,2,6:kernel=2:padding=1/1:normal@15",
    "conv1d:float32:x=1,33,3:w=1,33,3:zeros@2",
    *(
        f"conv2d:float32:x=2,2,4,3:w=2,2,2,2:bias:memory={memory}:integers@16"
        for memory in (
            *("fortran", "strided", "reversed", "broadcast-x", "offset", "channels_last"),
            *(
                "cropped",
                "cropped_channels",
                "channels_last_cropped",
                "flipped",
                "flipped_channels",
            ),
            *("expanded_batch", "expanded_channels-x", "exchanged-w", "spatial_first", "shared"),
        )
    ),
    *(
        f"avg_pool1d:float64:x=2,2,5:kernel=2:memory={memory}:normal@17"
        for memory in ("unaligned", "readonly", "byteswapped", "cropped_rows", "singletons")
    ),
)

_RUN_ALL = """
import json, sys
for script in json.load(sys.stdin):
    names = {"print": lambda *shown: None}
    exec(script, names)
    print(json.dumps([str(names["got"].dtype), names["got"].astype(float).tolist()]))
"""


@pytest.fixture
def mine(empty_registry: None) -> Callable[..., Any]:
    """Return a function that registers a convolution with a snippet."""

    def register(snippet: Any) -> Any:
        one = implementation("mine", snippet=snippet, dtypes=("float32", "bfloat16"))
        one.register("conv", kernels.conv)
        return one

    return register


def _doubled(call: SnippetCall) -> list[str]:
    return ["import math", f"got = 2 * x  # stride {call.text('stride')}"]


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_a_script_computes_what_the_adapter_computes(name: str) -> None:
    pytest.importorskip(name)
    one, scripts, expected = get(name), [], []
    for text in CASES:
        prepared = Prepared.of(Case.parse(text))
        found, output = judge_prepared(one, prepared)
        if output is None:
            assert "unsupported" == found.status
            continue
        script = engine_script(one, prepared)
        role = SIGNATURES[prepared.case.operator].result
        (handed,) = to_layout((output.astype(np.float64),), one.layout, (role,))
        scripts.append(script)
        expected.append(handed)
    done = subprocess.run(
        [sys.executable, "-c", _RUN_ALL], input=json.dumps(scripts), capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(CASES) - 5 <= len(answers) == len(expected)
    for script, (_, got), wanted in zip(scripts, answers, expected, strict=True):
        assert np.array_equal(wanted, np.array(got).reshape(wanted.shape), equal_nan=True), script
        assert len(script.splitlines()) <= MOST_LINES
        assert "conformance" not in script
        assert "implementations" not in script


def test_a_script_runs_by_itself_and_prints_both_results() -> None:
    pytest.importorskip("torch")
    case = Case.parse("conv1d:float32:x=1,1,3:w=1,1,2:integers@0")
    script = engine_script(get("torch"), Prepared.of(case))

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("got [[[")
    assert "exact [[[" in done.stdout


def test_of_a_large_result_the_element_that_is_off_is_printed(mine: Callable[..., Any]) -> None:
    case = Case.parse("conv1d:float32:x=1,1,300:w=1,1,1:integers@0")
    prepared = Prepared.of(case)
    verdict = Verdict("mine", case, VIOLATES, "RESULT-1", at=(0, 0, 7))

    script = engine_script(mine(_doubled), prepared, verdict)

    value = prepared.reference.exact[0, 0, 7]
    assert f"got, exact = got[0, 0, 7], {value}" in script


def test_an_invalid_call_is_made_with_its_mistake(mine: Callable[..., Any]) -> None:
    case = Case.parse("conv1d:float32:x=1,1,3:w=1,1,2:invalid=stride-zero:integers@0")

    script = engine_script(mine(_doubled), Prepared.of(case))

    assert "# stride (0,)" in script
    assert "where an exception is due" in script


def test_bfloat16_needs_no_package_besides_the_engine(mine: Callable[..., Any]) -> None:
    case = Case.parse("conv1d:bfloat16:x=1,1,3:w=1,1,2:integers@0")

    script = engine_script(mine(_doubled), Prepared.of(case))

    assert "np.float32" in script
    assert "ml_dtypes" not in script


def _declines(call: SnippetCall) -> None:
    return None


def _fails(call: SnippetCall) -> list[str]:
    raise KeyError(call.operator)


def _rambles(call: SnippetCall) -> list[str]:
    return ["got = x"] * 7


@pytest.mark.parametrize("snippet", [None, _declines, _fails, _rambles])
def test_without_a_short_snippet_there_is_no_script(mine: Callable[..., Any], snippet: Any) -> None:
    case = Case.parse("conv1d:float32:x=1,1,3:w=1,1,2:integers@0")

    assert "" == engine_script(mine(snippet), Prepared.of(case))


def test_arrays_too_large_to_write_out_make_no_script(mine: Callable[..., Any]) -> None:
    case = Case.parse("conv1d:float32:x=1,1,3000:w=1,1,2:integers@0")

    assert "" == engine_script(mine(_doubled), Prepared.of(case))
