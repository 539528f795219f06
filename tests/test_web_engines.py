"""TensorFlow.js and ONNX Runtime Web: their adapters, and what their known differences are.

What calls them is skipped where they are not installed; `nox -s web_engines` installs them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conformance
from conformance.case import Case
from conformance.cli import main
from conformance.isolation.dispatch import close_all, isolated
from conformance.judging import Prepared
from conformance.known.difference import KnownDifference
from conformance.known.reading import read_known
from conformance.registration import npm
from conformance.registration.place import Limits
from conformance.registration.registry import get
from conformance.scripts.engine import engine_script

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "implementations" / "engines" / "web"
NAMES = ("tfjs", "tfjs[wasm]", "onnxruntime-web")
DIFFERENCES = [
    pytest.param(name, entry, id=f"{name}: {entry.case}")
    for file in sorted(FOLDER.glob("known*.toml"))
    for name, entries in read_known(file).items()
    for entry in entries
]

ONE_AFTER_THE_OTHER = """
for (let i = 0; i < {count}; i++) {{
  console.log("script", i);
  await import(`./${{i}}.mjs`).catch((problem) => console.log("threw", problem.message));
}}
"""


@pytest.fixture
def installed(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the name of an implementation that is installed; end its worker afterwards."""
    name: str = request.param
    if not get(name).installed:
        pytest.skip(get(name).hint)
    yield name
    close_all()


each_engine = pytest.mark.parametrize("installed", NAMES, indirect=True)


# --- what is shipped ------------------------------------------------------------------------------


def test_the_lock_file_pins_what_is_wanted() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))["packages"]

    assert wanted == locked[""]["dependencies"]
    assert wanted == {name: locked[f"node_modules/{name}"]["version"] for name in wanted}
    assert all("integrity" in package for path, package in locked.items() if path)


def test_known_differences_are_those_of_the_pinned_versions() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]

    for parameter in DIFFERENCES:
        name, entry = parameter.values
        version = wanted[(get(str(name)).package or "").removeprefix(npm.PREFIX)]
        assert isinstance(entry, KnownDifference)
        assert version.startswith(entry.versions.removeprefix("=="))


def test_the_protocol_in_javascript_is_that_of_the_examples() -> None:
    assert (ROOT / "examples" / "serve.mjs").read_text("utf-8") == (FOLDER / "serve.mjs").read_text(
        "utf-8"
    )


@pytest.mark.parametrize("has_node", [True, False])
def test_list_says_what_installs_engines_that_are_missing(
    has_node: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(npm, "version_of", lambda *_: None)
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/node" if has_node else None)
    assert 0 == main(["list", "--json"])
    notes = {i["name"]: i["note"] for i in json.loads(capsys.readouterr().out)["implementations"]}
    command = "npm ci --prefix implementations/engines/web"
    first = "" if has_node else "Node.js (https://nodejs.org), then "

    assert {f"not installed: {first}{command}"} == {notes[name] for name in NAMES}


# --- what they compute ----------------------------------------------------------------------------


@each_engine
def test_a_small_run_has_no_violation(installed: str) -> None:
    run = conformance.run(
        installed, tier="smoke", operators="max_pool", dims=2, dtypes="float32", examples=10
    )

    assert [] == [str(violation) for violation in run.violations]
    assert any(cell.compared for cell in run.cells)


@each_engine
def test_every_known_difference_is_shown_by_a_script_in_javascript(
    installed: str, tmp_path: Path
) -> None:
    """Fatal ones are left out: they end, or hang, whatever calls them."""
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")
    entries = [p.values[1] for p in DIFFERENCES if p.values[0] == installed]
    shown = [e for e in entries if isinstance(e, KnownDifference) and not e.fatal]
    for number, entry in enumerate(shown):
        script = engine_script(get(installed), Prepared.of(Case.parse(entry.case)))
        assert script.startswith("// "), entry.case
        (tmp_path / f"{number}.mjs").write_text(script, encoding="utf-8")
    (tmp_path / "all.mjs").write_text(ONE_AFTER_THE_OTHER.format(count=len(shown)))
    done = subprocess.run(
        ["node", "all.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    printed = re.split(r"^script \d+\n", done.stdout, flags=re.MULTILINE)[1:]

    assert len(shown) == len(printed) > 0
    alike = [e.case for e, text in zip(shown, printed, strict=True) if not differs(text)]
    assert [] == alike, done.stdout


def differs(printed: str) -> bool:
    """Whether a script printed another result than the exact one, or one of an invalid call."""
    if printed.startswith("returned"):
        return True
    got, _, exact = re.sub(r"Float\d+Array", "", printed).partition(" exact ")
    return got.startswith("got ") and got.removeprefix("got ").split() != exact.split()


@pytest.mark.parametrize("installed", ["tfjs[wasm]"], indirect=True)
def test_a_trap_of_webassembly_ends_the_program_and_the_next_call_is_made(installed: str) -> None:
    larger = "conv2d:float32:x=1,1,1,3:w=1,1,1,1:invalid=w-too-large:integers@0"
    there = isolated(get(installed), True, Limits())
    ended = conformance.judge(there, larger)
    after = conformance.judge(there, "conv2d:float32:x=1,1,2,2:w=1,1,1,1:integers@0")

    assert "crashed" == ended.status
    assert "its process exited with status 7" in ended.message
    assert "conforms" == after.status
