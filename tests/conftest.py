"""What several tests start from: an empty registry, and a cache folder of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conformance.registration import registry
from conformance.registration.plugins import is_plugin
from conformance.registration.registry import Registry


@pytest.fixture(scope="module", autouse=True)
def registry_of_the_module() -> Iterator[None]:
    """Forget, at the end of a module of tests, what they registered and prepared."""
    with registry.using(registry.in_use().copy()), _no_plugin_left():
        yield
    if hunting := sys.modules.get("benchmarks.hunting"):
        hunting.forget()


@pytest.fixture
def empty_registry() -> Iterator[None]:
    """An empty registry, no entry points, and no plugin left behind."""
    with registry.using(Registry()), _no_plugin_left():
        yield


@pytest.fixture
def copied_registry() -> Iterator[Registry]:
    """A registry with all there is, which forgets what the test registers."""
    with registry.using(registry.in_use().copy()) as copy, _no_plugin_left():
        yield copy


@contextmanager
def _no_plugin_left() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if is_plugin(name):
            del sys.modules[name]


@pytest.fixture(scope="session")
def banks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which tests of this process find the banks that others of them have made."""
    return tmp_path_factory.mktemp("cache") / "banks"


@pytest.fixture
def cache_folder(banks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of cached banks, which is not the user's."""
    from conformance.running import cache

    monkeypatch.setattr(cache, "cache_folder", lambda: banks)
    return banks
