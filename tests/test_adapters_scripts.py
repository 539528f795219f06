"""Scripts that adapters write: with the engine alone they give what the adapter gives."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from conformance.calling import to_layout
from conformance.case import Case
from conformance.judging import Prepared, judge_prepared
from conformance.registration.implementation import Implementation
from conformance.registration.registry import implementations
from conformance.scripts.engine import MOST_LINES, engine_script
from conformance.signatures import SIGNATURES
from tests.test_engine_script import _RUN_ALL, CASES

SLOW = {"torch[compile]": ("pool2d", "pool_grad2d")}
"""Those that compile for seconds a case, and of which operators they are asked for scripts."""

WRITERS = [one for one in implementations().values() if one.snippet is not None]


@pytest.mark.filterwarnings("default")  # engines warn of processes that are started beside them
@pytest.mark.parametrize("adapter", WRITERS, ids=lambda one: one.name)
def test_an_adapters_scripts_compute_what_it_computes(adapter: Implementation) -> None:
    if not adapter.installed:
        pytest.skip(adapter.hint)
    scripts, expected = [], []
    names = SLOW.get(adapter.name, ("",))
    for case in map(Case.parse, (text for text in CASES if any(name in text for name in names))):
        prepared = Prepared.of(case)
        output = judge_prepared(adapter, prepared)[1]
        script = "" if output is None else engine_script(adapter, prepared)
        if output is None or not script or case.memory == "byteswapped":
            continue
        role = SIGNATURES[case.operator].result
        scripts.append(script)
        expected += to_layout((output.astype(np.float64),), adapter.layout, (role,))
    if not scripts:
        pytest.skip(f"{adapter.name} writes no script of these cases")
    done = subprocess.run(
        [sys.executable, "-c", _RUN_ALL],
        input=json.dumps(scripts),
        capture_output=True,
        text=True,
        check=True,
    )

    # Engines print words of their own when they are first loaded.
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    answers = [json.loads(line)[1] for line in lines]
    for script, got, wanted in zip(scripts, answers, expected, strict=True):
        assert np.array_equal(wanted, np.array(got).reshape(wanted.shape), equal_nan=True), script
    assert MOST_LINES >= max(len(script.splitlines()) for script in scripts)
