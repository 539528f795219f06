"""The machine that a run was made on: what its results depend on besides the code."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conformance.machine import cpu_features, system
from conformance.registration.implementation import Implementation


def machine(used: Sequence[Implementation]) -> dict[str, Any]:
    """Return what the results depend on besides the code: machine, interpreter, packages."""
    from threadpoolctl import threadpool_info

    packages = {name: version(name) for name in ("convformance", "numpy", "hypothesis")}
    packages |= {one.package: one.version for one in used if one.package and one.installed}
    pools = {f"{pool['internal_api']}": pool["num_threads"] for pool in threadpool_info()}
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": system(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "threads": pools,
        "packages": packages,
        "cpu_features": list(cpu_features()),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
