"""Adapters of engines, on cases checked by hand: what differs there is the adapter's mistake.

Those whose engine is not installed are skipped; `nox -s adapters` runs where all of them are.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from conformance.judging import UNSUPPORTED, Prepared, judge_prepared
from conformance.registration import npm
from conformance.registration.implementation import Implementation
from conformance.registration.registry import implementations
from conformance.running.adapter_check import dtype_of, first_sign_of_wrong_adapter, simplest
from conformance.spec import load

ADAPTERS = [one for one in implementations().values() if one.package is not None]
COMPILED = ("torch[compile]",)
OPERATORS = [
    pytest.param(one, name, id=f"{one.name}-{name}") for one in ADAPTERS for name in one.operators
]


@pytest.mark.filterwarnings("default")  # an engine may warn of its own future
@pytest.mark.parametrize(("adapter", "operator"), OPERATORS)
def test_the_simplest_cases_show_no_mistake_of_the_adapter(
    adapter: Implementation, operator: str
) -> None:
    if not adapter.installed:
        pytest.skip(adapter.hint)
    if adapter.name in COMPILED:
        pytest.skip("compiles seconds for each case: proven when it runs, as every adapter is")
    dtype, spec = dtype_of(adapter), load()
    assert dtype is not None
    # One parameter at a time in two dimensions; some engines compile each case, for a second.
    cases = simplest(spec, operator, 2, dtype)
    cases += [next(iter(simplest(spec, operator, dims, dtype))) for dims in (1, 3)]
    prepared = [Prepared.of(case) for case in cases]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verdicts = {p.case: judge_prepared(adapter, p)[0] for p in prepared}
    if all(verdict.status == UNSUPPORTED for verdict in verdicts.values()):
        pytest.skip(f"{adapter.name}: {next(iter(verdicts.values())).message}")

    assert first_sign_of_wrong_adapter(prepared, lambda p: verdicts[p.case], adapter.known) is None


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda one: one.name)
def test_an_adapter_names_what_installs_its_engine(adapter: Implementation) -> None:
    is_of_npm = str(adapter.package).startswith(npm.PREFIX)

    assert is_of_npm is (adapter.extra is None)
