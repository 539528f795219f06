"""Reproduction: run a script that uses an engine alone, and judge what came of it.

A violation that its engine script does not show is the adapter's mistake, or the script's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from conformance.calling import Observation, from_layout
from conformance.case import Case
from conformance.dtypes import numpy_dtype
from conformance.judging import Accuracy, Prepared, judge_observation
from conformance.registration.implementation import Implementation
from conformance.signatures import SIGNATURES

SECONDS = 100.0
"""Time that a script gets, importing the engine included; what never returns takes it all."""

_KEPT = """
import json, runpy, sys
import numpy
try:
    names = runpy.run_path(sys.argv[1])
except Exception as problem:
    told = {"raised": f"{type(problem).__name__}: {problem}"[:500]}
else:
    got, exact = numpy.asarray(names["got"]), numpy.asarray(names.get("exact", 0))
    numpy.save(sys.argv[2], got if got.dtype.kind in "fiub" else got.astype(float))
    told = {"exact": float(exact) if "exact" in names and exact.ndim == 0 else None}
with open(sys.argv[3], "w") as file:  # engines print words of their own to stdout
    json.dump(told, file)
"""


def reproduces(
    one: Implementation,
    case: Case,
    script: str,
    *,
    dtype: bool = False,
    seconds: float = SECONDS,
) -> str:
    """Run ``script``, an engine script of ``case``, and return what it shows; empty if nothing.

    It runs in an interpreter of its own, which it may well end. The result is judged as an
    implementation's is; its ``dtype`` only where that is to be shown, for an engine may show its
    numbers as it likes. Of a large result the script leaves one element, and the exact one.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, kept = Path(folder) / "script.py", Path(folder) / "got.npy"
        outcome = Path(folder) / "outcome.json"
        file.write_text(script, encoding="utf-8")
        command = [sys.executable, "-c", _KEPT, *map(str, (file, kept, outcome))]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds, cwd=folder, check=False
            )
        except subprocess.TimeoutExpired:
            return f"did not end within {seconds:g} s"
        if done.returncode or not outcome.exists():
            return f"ended the process with {done.returncode}"
        told = json.loads(outcome.read_text(encoding="utf-8"))
        if "raised" in told:
            return "" if case.invalid else f"raised {told['raised']}"
        got = np.load(kept)
    if case.invalid:
        return f"returned shape {got.shape} where an exception is due"
    prepared = Prepared.of(case)
    if got.ndim == 0 and prepared.reference.exact.ndim and told["exact"] is not None:
        return _element(float(got), told["exact"])
    if not dtype:
        got = got.astype(numpy_dtype(case.dtype))
    output = from_layout(got, one.layout, _role(case))
    seen = Observation(output=output)
    verdict, _ = judge_observation(one.name, Accuracy.of(one), prepared, seen)
    return verdict.message if verdict.failed else ""


def shows(script: str, *, seconds: float = SECONDS) -> str:
    """Run a ``script`` of several calls, and return what it says is wrong; empty if nothing.

    It is one of `conformance.scripts.standalone`, which may use the suite.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {seconds:g} s"
    lines = done.stdout.splitlines()
    if done.returncode:
        last = (done.stderr.splitlines() or [""])[-1]
        return f"ended the process with {done.returncode}: {last}"
    if "print(check(case" in script:  # None where a large result is right
        return "\n".join(line for line in lines[-1:] if line != "None")
    states = [line.partition(": ")[2].strip() for line in lines if _STATE.match(line)]
    if len(set(states)) > 1:
        return " -> ".join(states)
    return next((line for line in lines if _WRONG.search(line)), "")


_STATE = re.compile("before: |after: ")
_WRONG = re.compile(
    r": (violates|crashed|timed out) |^accepted: |^call \d+ differs|^where one thread gets"
    r"|^differs by (?!0(\.0*)?$)"
)
"""What such a script prints where something is wrong: a verdict, or what it has compared."""


def _element(got: float, exact: float) -> str:
    """Judge one element of a large result."""
    same = got == exact or (np.isnan(got) and np.isnan(exact))
    return "" if same else f"got {got!r}, exact {exact!r}"


def _role(case: Case) -> str:
    return SIGNATURES[case.operator].result
