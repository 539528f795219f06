"""The documents: what they point at exists."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("document", [ROOT / "README.md", ROOT / "conformance" / "SPEC.md"])
def test_links_to_files_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]

    assert [] == [target for target in targets if not (document.parent / target).exists()]


def test_modules_named_in_docstrings_exist() -> None:
    named = {
        name
        for package in ("conformance", "implementations", "reports")
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"`(conformance(?:\.[a-z_]+)+)`", path.read_text(encoding="utf-8"))
    }

    for name in sorted(named):
        assert pkgutil.resolve_name(name) is not None
