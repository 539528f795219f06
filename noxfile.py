"""The project's jobs. `nox -l` lists them; a bare `nox` runs lint, typecheck and tests.

The jobs that call implementations share one environment, which `engines` makes: PyTorch and
TensorFlow are too large to be installed for each of them. The jobs that need every engine share
another environment, which `fleet_engines` makes. Environments are reused, and
`nox -R -s NAME` skips installing. `constraints.txt` says which versions are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "typecheck", "tests"]
nox.options.default_venv_backend = "virtualenv"  # with pip; uv does not read pip's configuration
nox.options.reuse_venv = "yes"

CONSTRAINTS = ("-c", "constraints.txt")
RUN_FOLDER = Path("convformance-run")  # where `convformance run` writes by default
BENCHMARKS: tuple[str, ...] = ("list_cost", "reference_cost", "author_path", "isolation_cost")
BENCHMARKS += ("throughput", "projection_cost", "weaker_judges", "timing_precision", "chapters")
BENCHMARKS += ("forms_cost",)
JUDGED: tuple[str, ...] = ("naive", "im2col", "kernel-matrix", "stride-trick", "shifted-matmul")
JUDGED += ("torch", "tensorflow")
WEB = Path("implementations/engines/web")  # the engines of npm's registry, and what calls them
WEB_ENGINES = ("tfjs", "tfjs[wasm]", "onnxruntime-web")
"""The implementations that the main job judges by default; `fleet` judges what it installs."""
PACKAGES = ("conformance", "implementations", "reports")


@nox.session
def engines(session: nox.Session) -> None:
    """Install the package, in place, with every backend: the environment of the jobs below."""
    _install_in_place(session, ".[all,test]")


@nox.session(venv_backend="none", requires=["engines"])
def conformance(session: nox.Session) -> None:
    """The main job: judge and time all implementations, and write the reports.

    Arguments go to `convformance run`: `nox -s conformance -- --tier smoke`. Violations are what
    the job looks for, in frameworks too, and engines that compile are compared on few cases: its
    tables and reports show both, and the session succeeds. It fails where the job could not be
    done (status 2, a crash). Where a violation should fail a job, call `convformance run` itself,
    which then exits with 1.
    """
    started = time.perf_counter()
    asked = {"-i", "--implementation", "--plugin"} & {a.partition("=")[0] for a in session.posargs}
    names = [] if asked else [part for name in JUDGED for part in ("--implementation", name)]
    judge = ("run", "--jobs", str(os.cpu_count() or 1), *names, *session.posargs)
    _engine(session, "convformance", *judge, success_codes=[0, 1, 3])
    judged = time.perf_counter()
    folder = _output(session.posargs)
    budget = ("--seconds", "0.3")  # a table in half a minute; naive loops exceed it on most layers
    timing = ("time", *names, *budget, "--output", str(folder / "time"))
    _engine(session, "convformance", *timing, success_codes=[0, 1, 3])
    timed = time.perf_counter()
    _render(session, folder / "time")
    session.log(f"judging took {judged - started:.0f} s, timing {timed - judged:.0f} s")
    for part, seconds in _spent(folder).items():
        session.log(f"{seconds:6.1f} s {part}")
    session.log(f"reports: {folder}/report.html, {folder}/time/report.html")


@nox.session
def fleet_engines(session: nox.Session) -> None:
    """Install the package, in place, with every engine: the environment of `fleet`, `adapters`."""
    _install_in_place(session, ".[fleet,test]")


@nox.session(venv_backend="none", requires=["fleet_engines"])
def fleet(session: nox.Session) -> None:
    """Judge every engine that there is an adapter for, and write the reports.

    Arguments go to `convformance run`. As in `conformance`, violations are findings.
    """
    started = time.perf_counter()
    judge = ("run", "--jobs", str(os.cpu_count() or 1), *session.posargs)
    _engine(session, "convformance", *judge, of="fleet_engines", success_codes=[0, 1, 3])
    _render(session, _output(session.posargs), of="fleet_engines")
    session.log(f"judging took {time.perf_counter() - started:.0f} s")


@nox.session
def web_engines(session: nox.Session) -> None:
    """Install the engines that run in Node.js, prove their adapters, and judge them.

    Arguments go to `convformance run`. As in `conformance`, violations are findings.
    """
    session.install("-e", ".[onnx,test]", *CONSTRAINTS)
    session.run("npm", "ci", "--prefix", str(WEB), "--no-audit", "--no-fund", external=True)
    session.run("pytest", "tests/test_web_engines.py")
    session.run("pytest", "tests/test_adapters.py", "-k", "tfjs or onnxruntime-web")
    names = [part for name in WEB_ENGINES for part in ("--implementation", name)]
    judge = ("run", "--jobs", str(os.cpu_count() or 1), *names, *session.posargs)
    session.run("convformance", *judge, success_codes=[0, 1, 3])


@nox.session(venv_backend="none", requires=["fleet_engines"])
def adapters(session: nox.Session) -> None:
    """Prove the adapters of all engines on cases checked by hand; arguments go to pytest."""
    files = sorted(str(path) for path in Path("tests").glob("test_adapters*.py"))
    _engine(session, "pytest", "-n", "auto", *files, *session.posargs, of="fleet_engines")


@nox.session(venv_backend="none", requires=["engines"])
def tests(session: nox.Session) -> None:
    """Run the project's tests, on all cores; arguments go to pytest.

    There is a process more than cores, since many tests wait for processes that they start.
    """
    processes = str(1 + (os.cpu_count() or 1))
    _engine(session, "pytest", "-n", processes, "--dist", "worksteal", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff, and with import-linter who may import whom."""
    session.install("ruff", "import-linter", *CONSTRAINTS)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    _install_whole(session)
    config = Path("pyproject.toml").resolve()
    with session.chdir(session.create_tmp()):  # the checkout's folders are not the package
        session.run("lint-imports", str(config), "--no-logo")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the types with mypy, strictly; no backend needs to be installed for it.

    The package is checked as it is installed: mypy does not follow an editable installation, whose
    folders lie beside each other.
    """
    session.install("-e", ".[half,test]", "mypy", "nox", *CONSTRAINTS)
    _install_whole(session)
    config, root = Path("pyproject.toml").resolve(), Path.cwd()
    with session.chdir(session.create_tmp()):  # the checkout's folders are not the package
        for name in ("benchmarks", "noxfile.py", "tests"):
            with contextlib.suppress(FileExistsError):
                Path(name).symlink_to(root / name)
        session.run("mypy", "--config-file", str(config), *session.posargs)


@nox.session(venv_backend="none", requires=["engines"])
def benchmark(session: nox.Session) -> None:
    """Measure what `convformance` itself costs; arguments choose among the benchmarks."""
    for name in session.posargs:
        if name not in BENCHMARKS:
            session.error(f"benchmark '{name}' is unknown; known are {', '.join(BENCHMARKS)}")
    chosen = session.posargs or BENCHMARKS
    if {"weaker_judges", "timing_precision"} & {*chosen}:
        install = ("-m", "pip", "install", "--quiet", "-e", ".[benchmark]", *CONSTRAINTS)
        _engine(session, "python", *install)
    for name in chosen:
        _engine(session, "python", "-m", f"benchmarks.{name}")


@nox.session(venv_backend="none", requires=["engines"])
def detection(session: nox.Session) -> None:
    """Judge deliberately wrong and unusual correct implementations; print what is caught."""
    _engine(session, "python", "-m", "benchmarks.detection", *session.posargs)


@nox.session(venv_backend="none", requires=["engines"])
def report(session: nox.Session) -> None:
    """Print the last run again, and write its Markdown and HTML reports anew."""
    _engine(session, "convformance", "report", str(RUN_FOLDER / "run.sqlite"))
    _render(session, RUN_FOLDER)


@nox.session
def docs(session: nox.Session) -> None:
    """Make the documentation in dist/docs; a link that leads nowhere is an error.

    `nox -s docs -- linkcheck` asks for the pages elsewhere that it links to, too.
    """
    session.install("-e", ".[docs]", *CONSTRAINTS)
    for builder in session.posargs or ["html"]:
        output = Path("dist", "docs" if builder == "html" else builder)
        session.run("sphinx-build", "-W", "--keep-going", "-b", builder, "docs", str(output))


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel into dist/, check what the wheel holds, and use it elsewhere."""
    session.install("build", *CONSTRAINTS)
    folder = Path(session.create_tmp()).resolve()
    session.run("python", "-m", "build", "--outdir", str(folder), "--quiet")
    wheel = max(folder.glob("*.whl"), key=os.path.getmtime)
    _check_contents(session, wheel)
    constraints = Path("constraints.txt").resolve()
    with session.chdir(folder):  # outside the checkout, whose packages must not be found
        session.run("python", "-m", "venv", "--clear", "venv")
        scripts = folder / "venv" / _SCRIPTS
        pip = (str(scripts / "python"), "-m", "pip", "install", "--quiet")
        session.run(*pip, str(wheel), "-c", str(constraints), external=True)
        session.run(str(scripts / "convformance"), "list", external=True)
        for name in PACKAGES[1:]:  # a user may have modules of any name in his folder
            Path(f"{name}.py").write_text("raise RuntimeError('not a part of the suite')\n")
        smoke = ("--tier", "smoke", "--implementation", "im2col", "--no-cache")
        python = str(scripts / "python")
        session.run(python, "-m", "conformance", "run", *smoke, external=True)


_SCRIPTS = "Scripts" if os.name == "nt" else "bin"


def _install_in_place(session: nox.Session, package: str) -> None:
    started = time.perf_counter()
    session.install("-e", package, *CONSTRAINTS)
    session.log(f"installing took {time.perf_counter() - started:.0f} s")


def _install_whole(session: nox.Session) -> None:
    """Install the package as it is released, in one folder, for tools that read its files."""
    shutil.rmtree(
        "build", ignore_errors=True
    )  # leftovers of an earlier build would be installed, too
    session.install("--no-deps", "--force-reinstall", ".")
    shutil.rmtree("build")


def _engine(
    session: nox.Session, program: str, *arguments: str, of: str = "engines", **options: Any
) -> None:
    """Run a program of the environment that the session ``of`` made."""
    folder = session.cache_dir.parent / of / _SCRIPTS
    session.run(str(folder.resolve() / program), *arguments, **options)


def _render(session: nox.Session, folder: Path, of: str = "engines") -> None:
    """Write the reports of the run in ``folder`` beside its file."""
    files = ("--markdown", str(folder / "report.md"), "--html", str(folder / "report.html"))
    _engine(session, "convformance", "report", str(folder / "run.sqlite"), *files, of=of)


def _output(arguments: Sequence[str]) -> Path:
    """Return the folder that ``convformance run`` with ``arguments`` writes to."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--output", type=Path, default=RUN_FOLDER)
    options, _ = parser.parse_known_args(arguments)
    return Path(options.output)


def _spent(folder: Path) -> dict[str, float]:
    """Return the seconds that a run, with all its processes together, spent on each part."""
    with contextlib.closing(sqlite3.connect(folder / "run.sqlite")) as database:
        row = database.execute("SELECT value FROM run WHERE key = 'spent'").fetchone()
    return dict(json.loads(row[0])) if row else {}


def _check_contents(session: nox.Session, wheel: Path) -> None:
    """Fail unless the wheel holds exactly the files of the packages that git knows."""
    metadata = f"{wheel.name.rsplit('-', 3)[0]}.dist-info/"
    contents = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith(metadata)}
    listing = ("git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES)
    listed = str(session.run(*listing, external=True, silent=True)).splitlines()
    root = f"{PACKAGES[0]}/"
    expected = {root + name.removeprefix(root) for name in listed}
    for problem, names in (
        ("lacks", expected - contents),
        ("should not hold", contents - expected),
    ):
        if names:
            session.error(f"{wheel.name} {problem} {', '.join(sorted(names))}")
    session.log(f"{wheel.name}: {len(contents)} files, as in the checkout")
