"""Two versions side by side: what each report says of them, and what another interpreter lacks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import Unsupported
from conformance.case import Case
from conformance.cli import main
from conformance.implementations.engines.onnx.model import opset_and_ir_version
from conformance.isolation.dispatch import close_all
from conformance.isolation.environments import Environment
from conformance.judging import Prepared
from conformance.registration.place import Limits
from conformance.registration.registry import implementations
from conformance.scripts.standalone import script

ROOT = Path(__file__).parents[1]
TINY = ("-o", "conv", "--dims", "1", "--dtype", "float32", "--examples", "20", "--suite", "none")
ENGINE = """
from conformance import implementation

@implementation("engine", package="engine", needs="engine-helper")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    raise NotImplementedError("not today")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_registry: Any) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    close_all()


def distribution(folder: Path, name: str, version: str) -> None:
    """Install an empty distribution into a folder of packages."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def interpreter(folder: Path, **versions: str) -> str:
    """Return another interpreter, which has NumPy and some distributions."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    numpy = Path(np.__file__).parent
    for part in (numpy, numpy.with_name("numpy.libs")):
        if part.exists():
            (packages / part.name).symlink_to(part)
    distribution(packages, "numpy", np.__version__)
    for name, version in versions.items():
        distribution(packages, name.replace("_", "-"), version)
    return str(folder / "bin" / "python")


@pytest.fixture
def engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a plugin whose engine is installed here, in version 2.0."""
    distribution(folder / "here", "engine", "2.0")
    distribution(folder / "here", "engine-helper", "3.0")
    monkeypatch.syspath_prepend(str(folder / "here"))
    Path("plugin.py").write_text(ENGINE)
    return "plugin.py"


def judged(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    status = main(["run", *TINY, *arguments])
    out, err = capsys.readouterr()
    return status, out, err


# --- both versions are named ----------------------------------------------------------------------


def test_every_report_names_the_versions_of_both(capsys: Any, folder: Path, engine: str) -> None:
    old = interpreter(folder / "old", engine="1.5", engine_helper="3.0")
    both = ("--plugin", engine, "--python", f"engine@old={old}", "--output", "out")
    _, out, _ = judged(capsys, *both)

    for text in (out, Path("out/report.md").read_text()):
        assert re.search(r"engine \(2\.0\)", text)
        assert re.search(r"engine(@|&#64;)old\s+\(1\.5\)", text)
    page = Path("out/report.html").read_text()
    assert "<small>engine 2.0" in page
    assert "<small>engine 1.5" in page
    assert "engine 2.0, 1.5 (engine@old)" in page


def test_json_has_the_versions_of_both_and_of_what_they_run_with(
    capsys: Any, folder: Path, engine: str
) -> None:
    old = interpreter(folder / "old", engine="1.5", engine_helper="2.9")
    _, out, _ = judged(capsys, "--plugin", engine, "--python", f"engine@old={old}", "--json")
    told = {one["name"]: one for one in json.loads(out)["implementations"]}

    assert ("2.0", "1.5") == (told["engine"]["version"], told["engine@old"]["version"])
    assert "engine 1.5, engine-helper 2.9" in told["engine@old"]["environment"]
    assert told["engine@old"]["environment"].endswith(old)


def test_twins_of_one_version_are_told_apart_by_what_they_run_with(
    capsys: Any, folder: Path, engine: str
) -> None:
    old = interpreter(folder / "old", engine="2.0", engine_helper="2.9")
    _, out, _ = judged(capsys, "--plugin", engine, "--python", f"engine@old={old}")

    assert "engine (engine-helper 3.0)" in " ".join(out.split())
    assert "engine@old (engine-helper 2.9)" in " ".join(out.split())


# --- what is missing there ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("has", "lacks"),
    [({}, "engine, engine-helper"), ({"engine": "1.5"}, "engine-helper")],
    ids=["all", "one of two"],
)
def test_what_another_interpreter_lacks_is_told_with_its_path(
    capsys: Any, folder: Path, engine: str, has: dict[str, str], lacks: str
) -> None:
    old = interpreter(folder / "old", **has)
    status, out, err = judged(capsys, "--plugin", engine, "--python", f"engine@old={old}")

    assert (2, "") == (status, out)
    (line,) = err.splitlines()
    assert f"'engine' is not installed there: {old} has no {lacks}: " in line
    assert line.endswith(f"{old} -m pip install {lacks.replace(',', '')}")


def test_an_adapter_needs_what_its_extra_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {
        extra: {re.split(r"[\[><=;]", line)[0].strip() for line in lines}
        for extra, lines in project["optional-dependencies"].items()
    }
    told = {
        one.name: {one.package, *one.needs}
        for one in implementations().values()
        if one.package and one.extra in extras
    }

    assert len(told) > 20
    for name, needed in told.items():
        extra = extras[implementations()[name].extra or ""]
        assert needed == extra - ({"jax"} if name == "keras" else set())  # its pools run without


def test_the_hint_is_what_an_index_has(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "conformance.registration.implementation._version_of"
    monkeypatch.setattr(module, lambda name: None)
    system = {"darwin": "mlx", "linux": "'mlx[cpu]'"}.get(sys.platform, "mlx")
    hints = {name: implementations()[name].hint for name in ("torch", "opencv", "mlx", "im2col")}

    assert "not installed: pip install torch" == hints["torch"]
    assert "not installed: pip install opencv-python-headless onnx" == hints["opencv"]
    assert f"not installed: pip install {system}" == hints["mlx"]


def test_a_release_older_than_its_adapter_is_for_is_told() -> None:
    opencv = implementations()["opencv"]
    old = {"python": "3.11.7", "numpy": "1.26.4", "opencv-python-headless": "4.10.0.84"}
    told = replace(opencv, packages_there=old | {"onnx": "1.23.2"}).outdated

    assert "opencv-python-headless 4.10.0.84, where 5.0 or later is due" == told
    assert "" == replace(opencv, packages_there=old | {"opencv-python-headless": "5.0.0"}).outdated
    assert "" == implementations()["im2col"].outdated


def test_a_script_finds_there_what_an_entry_point_names_here(folder: Path) -> None:
    python = interpreter(folder / "old")
    one = Environment.parse(f"im2col@old={python}").load(Limits())
    made = script(one, Prepared.of(Case.parse("conv1d:float32:x=1,1,3:w=1,1,2:integers@0")))
    done = subprocess.run([python, "-c", made], capture_output=True, text=True, check=False)

    assert "" == done.stderr
    assert done.stdout.endswith("differs by 0.0\n")


# --- operator sets --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({"onnx": "1.23.2", "onnxruntime": "1.32.0"}, (22, 10)),
        ({"onnx": "1.17.0", "onnxruntime": "1.20.1"}, (21, 10)),
        ({"onnx": "1.16.2", "onnxruntime": "1.32.0"}, (21, 10)),
        ({"onnx": "1.23.2", "onnxruntime": "1.17.3"}, (20, 9)),
        ({"onnx": "1.14.1"}, (19, 9)),
        ({"onnx": "2.0", "numpy": "1.26", "opencv-python-headless": "5.0.0.93"}, (22, 10)),
        ({}, (22, 10)),
    ],
)
def test_a_model_has_the_newest_operators_that_all_packages_know(
    versions: dict[str, str], expected: tuple[int, int]
) -> None:
    assert expected == opset_and_ir_version(versions)


def test_a_release_that_is_too_old_for_the_models_is_told() -> None:
    with pytest.raises(Unsupported, match=r"onnxruntime 1\.9\.0: .* need 1\.14 or later"):
        opset_and_ir_version({"onnx": "1.17", "onnxruntime": "1.9.0"})
