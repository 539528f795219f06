"""What a run records of the machine: features of its CPU, and its operating system."""

from __future__ import annotations

import platform

import pytest

from conformance.machine import (
    cpu_features,
    cpu_limit,
    darwin_features,
    linux_features,
    system,
    within,
)


def test_flags_of_intel_are_read_from_cpuinfo() -> None:
    text = "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: sse4_2 fma avx512_bf16 avx2\n\n"

    assert ("avx2", "avx512_bf16", "fma", "sse4_2") == linux_features(text)


def test_features_of_arm_are_read_from_cpuinfo() -> None:
    assert ("asimd", "bf16", "fp") == linux_features("processor\t: 0\nFeatures\t: fp asimd bf16\n")


def test_no_features_are_no_error() -> None:
    assert () == linux_features("processor\t: 0\n")
    assert () == darwin_features("", "")


def test_features_of_a_mac_have_the_names_of_linux() -> None:
    machdep = "machdep.cpu.brand_string: A CPU\nmachdep.cpu.features: FPU SSE4.2\n"
    optional = "hw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_SME: 0\nhw.optional.avx2_0: 1\n"

    assert ("avx2_0", "bf16", "fpu", "sse4.2") == darwin_features(machdep, optional)


def test_this_machine_has_sorted_features_and_a_system() -> None:
    assert sorted(cpu_features()) == [*cpu_features()]
    assert platform.system() == system()


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        ("", ("amx_bf16", "avx2", "avx512_bf16", "avx512bw", "sse4_2")),
        ("AVX512_CORE_BF16", ("avx2", "avx512_bf16", "avx512bw", "sse4_2")),
        ("AVX512_CORE_VNNI", ("avx2", "avx512bw", "sse4_2")),
        ("AVX2", ("avx2", "sse4_2")),
        ("SSE41", ("sse4_2",)),
    ],
)
def test_what_onednn_is_told_to_leave_out_is_no_feature(limit: str, left: tuple[str, ...]) -> None:
    features = ("amx_bf16", "avx2", "avx512_bf16", "avx512bw", "sse4_2")

    assert left == within(limit, features)


def test_a_limit_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx512_core")
    assert "AVX512_CORE" == cpu_limit()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "ALL")
    assert "" == cpu_limit()
