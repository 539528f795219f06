"""Facts of the machine that results may depend on: what its CPU can do, and its operating system.

A run records them, and a known difference may hold on some machines alone (`conformance.known`).
The folder is here, too, in which a user's references are kept from run to run.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path


@cache
def system() -> str:
    """Return the operating system's name, as `platform.system` has it: Linux, Darwin, Windows."""
    return platform.system()


@cache
def memory() -> int:
    """Return the bytes of memory that the machine has; a large number where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return 2**40


def cache_folder() -> Path:
    """Return the folder of prepared cases with their references, in the user's cache folder."""
    import platformdirs  # workers import this module, and other interpreters need not have that

    return Path(platformdirs.user_cache_dir("convformance")) / "banks"


_LEVELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("SSE41", ()),
    ("AVX", ("avx",)),
    ("AVX2", ("avx2", "fma")),
    ("AVX2_VNNI", ("avx_vnni",)),
    ("AVX2_VNNI_2", ("avx_ne_convert", "avx_vnni_int8")),
    ("AVX512_CORE", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
    ("AVX512_CORE_VNNI", ("avx512_vnni",)),
    ("AVX512_CORE_BF16", ("avx512_bf16",)),
    ("AVX512_CORE_FP16", ("avx512_fp16",)),
    ("AVX512_CORE_AMX", ("amx_tile", "amx_int8", "amx_bf16")),
    ("AVX512_CORE_AMX_FP16", ("amx_fp16",)),
)
"""The values of ONEDNN_MAX_CPU_ISA in their order, and the features that each adds."""


def cpu_limit() -> str:
    """Return what ONEDNN_MAX_CPU_ISA holds back of the CPU; empty where it is not set.

    The convolutions of PyTorch, TensorFlow and OpenVINO follow it, so that one machine may be
    judged as another.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return limit if limit in (name for name, _ in _LEVELS) else ""


def within(limit: str, features: Iterable[str]) -> tuple[str, ...]:
    """Return the ``features`` that a limit leaves, a value of ONEDNN_MAX_CPU_ISA or nothing."""
    names = [name for name, _ in _LEVELS]
    above = _LEVELS[names.index(limit) + 1 :] if limit else ()
    held = {feature for _, added in above for feature in added}
    return tuple(feature for feature in features if feature not in held)


@cache
def cpu_features() -> tuple[str, ...]:
    """Return the CPU's features, sorted, by the operating system's names in small letters.

    They are the flags of ``/proc/cpuinfo`` on Linux (on ARM its Features), and what ``sysctl`` says
    on macOS: ``avx512_bf16``, ``bf16``. On other systems the tuple is empty. What `cpu_limit` holds
    back is left out.
    """
    return within(cpu_limit(), _features())


def _features() -> tuple[str, ...]:
    if system() == "Linux":
        return linux_features(_read(Path("/proc/cpuinfo")))
    if system() == "Darwin":
        return darwin_features(_sysctl("machdep.cpu"), _sysctl("hw.optional"))
    return ()


def linux_features(cpuinfo: str) -> tuple[str, ...]:
    """Return the features that ``/proc/cpuinfo`` lists for the first of its processors."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return tuple(sorted({*value.lower().split()}))
    return ()


def darwin_features(machdep: str, optional: str) -> tuple[str, ...]:
    """Return the features that ``sysctl machdep.cpu`` and ``sysctl hw.optional`` tell.

    The former lists those of Intel's CPUs. The latter has a line for each that is 1 where the CPU
    has it; ARM's names are written as on Linux: ``hw.optional.arm.FEAT_BF16: 1`` is ``bf16``.
    """
    features: set[str] = set()
    for line in machdep.splitlines():
        name, _, value = line.partition(":")
        if name.endswith("features"):
            features |= {*value.lower().split()}
    for line in optional.splitlines():
        name, _, value = line.partition(":")
        if value.strip() == "1":
            features.add(name.rpartition(".")[2].lower().removeprefix("feat_"))
    return tuple(sorted(features))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    try:
        return subprocess.run(
            ["sysctl", name], capture_output=True, text=True, check=False, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
