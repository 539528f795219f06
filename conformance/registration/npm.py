"""Packages of the npm registry, of engines that run in Node.js.

``package="npm:onnxruntime-web"`` is one that lies in ``node_modules`` beside the file that
registers an implementation, where `npm ci` installs what the lock file beside it names.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

PREFIX = "npm:"


def version_of(name: str, origin: str) -> str | None:
    """Return the version of a package that is installed beside the file ``origin``."""
    if shutil.which("node") is None:
        return None
    file = Path(origin).parent / "node_modules" / name.removeprefix(PREFIX) / "package.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError):
        return None


def hint(missing: Iterable[str], origin: str) -> str:
    """Return what installs the packages beside ``origin``, "" where none of npm is ``missing``."""
    if not any(name.startswith(PREFIX) for name in missing):
        return ""
    folder = os.path.relpath(Path(origin).parent)
    command = f"npm ci --prefix {shlex.quote(min(folder, str(Path(origin).parent), key=len))}"
    if shutil.which("node") is None:
        return f"not installed: Node.js (https://nodejs.org), then {command}"
    return f"not installed: {command}"
