"""What several tests start from: an empty registry, and a cache folder of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.registration import registry


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty registry, no entry points, and no plugin left behind."""
    monkeypatch.setattr(registry, "_registry", {})
    monkeypatch.setattr(registry, "_broken", {})
    monkeypatch.setattr(registry, "_loaded_entry_points", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("convformance_plugin_"):
            del sys.modules[name]


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of cached banks, which is the test's own and not there yet."""
    from conformance.running import cache

    folder = tmp_path / "cache" / "banks"
    monkeypatch.setattr(cache, "cache_folder", lambda: folder)
    return folder
