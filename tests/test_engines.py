"""The room of the engines: what adapters share, and what its guide says of writing one."""

from __future__ import annotations

import ast
import doctest
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import Unsupported
from conformance.implementations.engines.adapter import Adapter
from conformance.implementations.engines.compiled import check_groups_in_memory
from conformance.implementations.engines.parameters import pooling
from conformance.signatures import SIGNATURES

ROOT = Path(__file__).parents[1]
ENGINES = ROOT / "implementations" / "engines"

_RUN_EACH = """
import importlib.util, runpy, sys
from pathlib import Path
root, *names = sys.argv[1:]
for file in sorted(Path(root).glob("*/*.py")):
    sys.path[0] = str(file.parent)  # as it is where Python runs that file
    runpy.run_path(str(file), run_name="__main__")
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is not None and Path(root) in Path(spec.origin or "").parents:
            print(f"{file}: import {name} finds {spec.origin}")
"""


class Echo(Adapter):
    """Returns the parameters that it is handed."""

    def __getattr__(self, name: str) -> Any:
        if name in SIGNATURES:
            return lambda *arrays: arrays[-1]
        raise AttributeError(name)


def test_a_gradient_is_declined_that_xla_has_no_memory_for() -> None:
    x = np.broadcast_to(np.float32(0), (1, 65549, 1, 2))
    check_groups_in_memory(x, 1)
    check_groups_in_memory(x[:, :256], 256)

    with pytest.raises(Unsupported, match="memory"):
        check_groups_in_memory(x, 65549)


@pytest.mark.usefixtures("empty_registry")
def test_the_guide_registers_an_adapter_that_conforms() -> None:
    failed, tried = doctest.testfile(str(ROOT / "docs" / "engines.md"), module_relative=False)

    assert (0, True) == (failed, tried > 10)


def test_a_file_run_by_its_path_finds_the_engine_and_not_a_folder_of_that_name() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tidy = settings["tool"]["ruff"]["lint"]["flake8-tidy-imports"]
    names = tidy["banned-module-level-imports"]
    done = subprocess.run(
        [sys.executable, "-c", _RUN_EACH, str(ENGINES), *names],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "" == done.stdout


@pytest.mark.parametrize("file", sorted(ENGINES.rglob("*.py")), ids=lambda file: file.stem)
def test_functions_import_engines_alone(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inner = [node for function in functions for node in ast.walk(function)]
    imported = [node.module or "" for node in inner if isinstance(node, ast.ImportFrom)]

    assert [] == [name for name in imported if name.split(".")[0] == "conformance"]


@pytest.mark.parametrize("operator", [name for name in SIGNATURES if name != "conv_bias_grad"])
def test_an_operator_takes_the_parameters_of_its_signature_as_one_object(operator: str) -> None:
    signature = SIGNATURES[operator]
    function = Echo().public(operator)
    given = dict.fromkeys(signature.parameters, (1,))

    p = function(*signature.arguments, **given)

    assert operator == function.__name__
    assert given == {name: getattr(p, name) for name in signature.parameters}
    with pytest.raises(TypeError, match="unexpected keyword argument 'axis'"):
        function(*signature.arguments, **given, axis=1)
    with pytest.raises(TypeError, match=f"missing .*'{signature.parameters[0]}'"):
        function(*signature.arguments)


def test_a_pools_windows_read_as_far_as_the_last_one_of_ceil_mode_reaches() -> None:
    sizes = {"kernel": (3,), "stride": (2,), "padding": ((1, 0),)}
    p = pooling({**sizes, "ceil_mode": True, "count_include_pad": True})

    assert (1,) == p.dilation
    assert ((3,), ((1, 1),)) == p.windows((5,))
