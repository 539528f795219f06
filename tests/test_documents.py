"""The documents: what they point at exists."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import pytest

from conformance.cli import cli
from conformance.known.difference import KnownDifference
from conformance.known.reading import read_known
from conformance.registration.declarations import Declarations
from conformance.signatures import SIGNATURES

ROOT = Path(__file__).parents[1]


COMMANDS_IN = ("README.md", *(f"docs/{name}.md" for name in ("ci", "comparing", "own_cases")))
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "conformance" / "SPEC.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]

    assert [] == [target for target in targets if not (document.parent / target).exists()]


def test_the_known_differences_of_the_page_about_them_can_be_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "known.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (declared,) = re.findall(r"(?s)    KnownDifference\(\n.*?\n    \)", text)
    file = tmp_path / "known.toml"
    file.write_text(table, encoding="utf-8")

    assert {"torch": 3, "torch[channels_last]": 2} == {
        n: len(e) for n, e in read_known(file).items()
    }
    assert "<2.14" == eval(declared, {"KnownDifference": KnownDifference}).versions


def test_the_readme_lists_the_signature_of_every_operator() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    for operator, signature in SIGNATURES.items():
        assert f"\ndef {operator}{signature}: ...\n" in text


def test_every_declaration_is_explained() -> None:
    text = (ROOT / "docs" / "implementations.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    explained = {name for row in rows for name in re.findall(r"`([a-z_]+)", row)}

    assert set() == {spec.name for spec in fields(Declarations)} - explained


def test_modules_named_in_docstrings_exist() -> None:
    named = {
        name
        for package in ("conformance", "implementations", "reports")
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"`(conformance(?:\.[a-z_]+)+)`", path.read_text(encoding="utf-8"))
    }

    for name in sorted(named):
        assert pkgutil.resolve_name(name) is not None


def test_the_map_shows_the_rooms_in_the_order_of_the_import_contract() -> None:
    """The allowed imports are written once; the map follows them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (rooms,) = (
        contract["layers"]
        for contract in contracts["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    floors = [{*layer.split(" | ")} for layer in rooms if layer != "__main__"]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `([a-z]+)(?:/|\.py)` \|", text, flags=re.MULTILINE)

    for floor in floors:
        assert floor == {*shown[: len(floor)]}
        del shown[: len(floor)]
    assert [] == shown


def test_the_files_that_the_map_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {*re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.[a-z]+)`", text)}
    places = (ROOT, ROOT / "conformance")

    assert [] == [name for name in sorted(named) if not any((p / name).is_file() for p in places)]


@pytest.mark.parametrize(
    "file", [".pre-commit-hooks.yaml", "docs/action/action.yml", *COMMANDS_IN], ids=str
)
def test_commands_that_are_shown_have_the_options_that_they_name(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(
        r"convformance (run|report|compare|history|time|new|spec) ([^\n`]*)", text
    )

    assert commands
    for name, arguments in commands:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert set() == {*re.findall(r"(?<![\w-])--[a-z-]+", arguments)} - known
