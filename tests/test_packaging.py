"""One import package is installed: no module in a user's folder can hide a part of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

import conformance

ROOT = Path(__file__).parents[1]
FOLDERS = ("conformance", "implementations", "reports")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
HIDING = "raise RuntimeError('a module of the user, which the suite must not import')\n"
COURSE = ("naive", "im2col", "kernel-matrix", "stride-trick", "shifted-matmul")
BUILT_IN = {name: version("convformance") for name in COURSE}.items()
NOTEBOOK = """
import json, pathlib
import conformance
from conformance.registration.registry import broken

run = conformance.run(
    ["im2col"], operators=["conv"], dims=[1], dtypes=["float32"], checks=["result"],
    suites=(), examples=30, cache=False, isolate=True,
)
package = str(pathlib.Path(conformance.__file__).parent)
print(json.dumps([package, run.verdicts, dict(broken())]))
"""
SUITE = """
from conformance.registration.registry import broken
from conformance.testing import parametrize_with_checks

@parametrize_with_checks(["im2col"], examples=2, suites=(), dtypes=["float32"])
def test_im2col(implementation, check):
    check(implementation)

def test_nothing_is_broken():
    assert {} == broken()
"""


@dataclass(frozen=True)
class Installed:
    """A Python in the user's folder, and where it has to find the package."""

    package: Path
    folder: Path
    options: tuple[str, ...]
    environment: dict[str, str]

    def run(self, *arguments: str) -> str:
        """Return what Python prints; fail if it fails."""
        done = subprocess.run(
            [sys.executable, *self.options, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with modules that are named like folders of this project."""
    home = tmp_path / "home"
    (home / "reports").mkdir(parents=True)
    for name in ("implementations.py", "reports/__init__.py"):
        (home / name).write_text(HIDING)
    return home


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel of this checkout holds."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(built)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (archive,) = built.glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(archive).extractall(site)
    return site


@pytest.fixture(params=["here", "wheel"])
def installed(request: pytest.FixtureRequest, folder: Path) -> Installed:
    """The package as it is installed for these tests (in place, usually), and as a wheel."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder.parent / "cache")}
    for name in ("PYTHONPATH", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    if request.param == "here":
        package = Path(conformance.__file__).parent
        return Installed(package, folder, (), environment)
    site = request.getfixturevalue("wheel")
    dependencies = [part for part in sys.path if part.endswith("-packages")]
    environment["PYTHONPATH"] = os.pathsep.join([str(site), *dependencies])
    # Without the module `site`, nothing that is installed in place is found.
    return Installed(site / "conformance", folder, ("-S",), environment)


def test_list_in_such_a_folder_shows_what_is_built_in(installed: Installed) -> None:
    told = json.loads(installed.run("-m", "conformance", "list", "--json"))

    assert {} == told["broken"]
    assert BUILT_IN <= {row["name"]: row["version"] for row in told["implementations"]}.items()


def test_a_notebook_in_such_a_folder_judges_what_is_built_in(installed: Installed) -> None:
    told = json.loads(installed.run("-c", NOTEBOOK))

    assert [str(installed.package), {"im2col": "conforms"}, {}] == told


def test_pytest_in_such_a_folder_judges_what_is_built_in(installed: Installed) -> None:
    (installed.folder / "test_im2col.py").write_text(SUITE)

    assert "2 passed" in installed.run("-m", "pytest", "-q", "-k", "conv1d or broken")
