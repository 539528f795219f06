"""The table of docs/implementations.md: what each form of kernel needs around it, and no more."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conformance
from conformance.arrays import interpreters
from conformance.isolation.dispatch import close_all
from conformance.registration.registry import Registry

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MOST_LINES = 3
ROW = r"^\| ([^|]+) \| \[([\w.]+)\]\(\.\./examples/[^)]+\) \| (\d) \| (.*) \|$"
PAGE = (ROOT / "docs" / "implementations.md").read_text(encoding="utf-8")
FORMS: list[tuple[str, str, str, str]] = re.findall(ROW, PAGE, re.MULTILINE)
OF_C = r'#include "convformance\.h"|const char convformance_declares'
GLUE = {
    ".py": r"\bconformance\b|^@?implementation\(|^module\(|^form\b",
    ".c": OF_C,
    ".cpp": OF_C,
    ".mjs": r"\bserve\b",
}
"""What tells the lines of an example that are there for the suite."""
COMMENTS = {".py": r'""".*?"""|  # .*?$', ".c": r"/\*.*?\*/", ".cpp": r"//.*?$", ".mjs": r"// .*?$"}
FAULTY = re.compile("clamped|floor")
"""The twins of two examples, which have a fault."""
NEEDS = {"my_torch.py": "torch", "my_model.py": "torch", "triton_conv.py": "triton"}
NEEDS |= {"pallas_pool.py": "jax"}
INTERPRETED = ("triton_conv.py", "pallas_pool.py")
COMPILERS = {".c": ("cc",), ".cpp": ("c++", "-std=c++17")}


def listed(glue: str) -> list[str]:
    """Return the lines in a cell of the table."""
    return re.findall(r"`([^`]+)`", glue)


@pytest.mark.parametrize("example", sorted({example for _, example, _, _ in FORMS}))
def test_the_table_has_every_line_of_glue_in_an_example(example: str) -> None:
    file = EXAMPLES / example
    flags = re.DOTALL | re.MULTILINE
    code = re.sub(COMMENTS[file.suffix], "", file.read_text(encoding="utf-8"), flags=flags)
    lines = [line.strip() for line in code.splitlines() if re.search(GLUE[file.suffix], line)]
    rows = [(count, listed(glue)) for _, name, count, glue in FORMS if name == example]

    assert {line for line in lines if not FAULTY.search(line)} == {
        line for _, glue in rows for line in glue
    }
    assert all(int(count) == len(glue) <= MOST_LINES for count, glue in rows)


def test_the_table_has_every_form() -> None:
    assert {".py", ".c", ".cpp", ".mjs"} == {Path(example).suffix for _, example, _, _ in FORMS}
    assert {"function", "module"} <= {word for form, *_ in FORMS for word in form.split()}


@pytest.fixture
def ended(copied_registry: Registry) -> Iterator[None]:
    """End the workers afterwards, and the use of interpreters."""
    yield
    interpreters.switch(False)
    close_all()


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize("example", sorted({example for _, example, _, _ in FORMS}))
def test_an_example_with_that_glue_has_no_violation(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = EXAMPLES / example
    if example in NEEDS:
        pytest.importorskip(NEEDS[example], reason=f"{NEEDS[example]} is not installed")
    form: dict[str, Any] = {"plugins": file}
    if file.suffix == ".mjs":
        form = {"programs": f"node {file}"}
    elif example == "my_model.py":
        form = {"modules": str(file)}
    elif file.suffix in COMPILERS:
        library = tmp_path / "libmine.so"
        compiler = COMPILERS[file.suffix]
        if shutil.which(compiler[0]) is None:
            pytest.skip(f"no {compiler[0]}")
        command = (*compiler, "-O1", "-shared", "-fPIC", f"-I{EXAMPLES}", str(file), "-o")
        subprocess.run([*command, str(library)], check=True)
        form = {"libraries": str(library)}
    if file.suffix == ".mjs" and shutil.which("node") is None:
        pytest.skip("no node")
    monkeypatch.chdir(tmp_path)
    few: dict[str, Any] = {"tier": "smoke", "dims": 2, "dtypes": "float32", "examples": 3}
    forward = ["conv", "max_pool", "avg_pool"]
    checks = ["result", "special", "reject"]
    run = conformance.run(
        **form, **few, suites=(), operators=forward, checks=checks, interpret=example in INTERPRETED
    )
    wrong = {f"{violation}: {violation.message}" for violation in run.violations}

    assert set() == {violation for violation in wrong if not FAULTY.search(violation)}
    assert any(cell.compared for cell in run.cells)
