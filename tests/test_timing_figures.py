"""What timings are made of: intervals, variants of layers, operations, and how they are shown."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from conformance.case import Case
from conformance.errors import ConformanceError
from conformance.registration.implementation import Implementation
from conformance.reports import load, timing_terminal
from conformance.reports.growth import growth
from conformance.runfile.file import RunFile
from conformance.runfile.tables import Timing
from conformance.spec.layers import Layer
from conformance.timing.operations import moved, needed, saving
from conformance.timing.statistics import half_width, interval
from conformance.timing.timing_plan import thread_counts
from conformance.timing.variants import Sweep, varied
from tests.defects import unregistered

CONV = Case.parse("conv2d:float32:x=1,16,14,14:w=32,16,3,3:padding=1/1,1/1:integers@0")
DEPTHWISE = Case.parse("conv2d:float32:x=1,16,14,14:w=16,1,3,3:groups=16:integers@0")
POOL = Case.parse("max_pool2d:float32:x=1,3,8,8:kernel=2,2:stride=2,2:integers@0")


# --- intervals ------------------------------------------------------------------------------------


def test_five_values_are_too_few_for_an_interval() -> None:
    assert interval([1, 2, 3, 4, 5]) is None


@pytest.mark.parametrize(("number", "rank"), [(6, 1), (9, 2), (12, 3), (20, 6), (100, 40)])
def test_an_interval_has_the_ranks_of_the_binomial_distribution(number: int, rank: int) -> None:
    """As tables of the sign test have them (Conover, *Practical Nonparametric Statistics*, 3.2)."""
    values = [float(value) for value in range(1, number + 1)]

    assert (rank, number + 1 - rank) == interval(values[::-1])


def test_an_interval_holds_the_median_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    found = [interval(rng.exponential(size=25)) for _ in range(1000)]
    inside = sum(low <= np.log(2) <= high for low, high in filter(None, found))

    assert 940 <= inside


def test_the_width_is_a_share_of_the_median() -> None:
    assert pytest.approx(0.1) == half_width([9, 9, 10, 10, 11, 11])


# --- variants -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("channels=16..128", (16, 32, 64, 128)),
        ("size=7,14", (7, 14)),
        ("kernel=1..7", (1, 3, 5, 7)),
        ("batch=1..3", (1, 2)),
    ],
)
def test_a_sweep_has_the_values_that_it_names(text: str, values: tuple[int, ...]) -> None:
    assert values == Sweep.parse(text).values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channels", "sweep 'channels'; a dimension and its values: channels=16..512"),
        ("chanels=1..2", "dimension 'chanels' is unknown; did you mean channels"),
        ("size=8..4", "values from 1 to"),
        ("size=0..4", "values from 1 to"),
    ],
)
def test_a_wrong_sweep_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        Sweep.parse(text)


@pytest.mark.parametrize(
    ("case", "sweep", "shapes"),
    [
        (CONV, "channels=8", ((1, 8, 14, 14), (8, 8, 3, 3))),
        (DEPTHWISE, "channels=8", ((1, 8, 14, 14), (8, 1, 3, 3))),
        (CONV, "size=7", ((1, 16, 7, 7), (32, 16, 3, 3))),
        (CONV, "batch=4", ((4, 16, 14, 14), (32, 16, 3, 3))),
        (CONV, "kernel=5", ((1, 16, 14, 14), (32, 16, 5, 5))),
        (POOL, "channels=5", ((1, 5, 8, 8), None)),
    ],
)
def test_a_sweep_changes_one_dimension(case: Case, sweep: str, shapes: Any) -> None:
    (layer,) = varied([Layer("net/conv", case)], (), Sweep.parse(sweep))

    assert shapes == (layer.case.x, layer.case.w)
    assert "net/conv" == layer.base


def test_a_padded_kernel_stays_padded_by_its_half() -> None:
    (layer,) = varied([Layer("net/conv", CONV)], (), Sweep.parse("kernel=5"))

    assert ((2, 2), (2, 2)) == layer.case.padding


def test_a_sweep_to_a_call_that_is_not_valid_is_an_error() -> None:
    with pytest.raises(ConformanceError, match="kernel=17: layer 'pool' is no valid call then"):
        varied([Layer("pool", POOL)], (), Sweep.parse("kernel=17"))


def test_batch_sizes_are_part_of_the_name() -> None:
    found = varied([Layer("net/conv", CONV)], (1, 8), None)

    assert ["net/conv, batch 1", "net/conv, batch 8"] == [layer.name for layer in found]
    assert [1, 8] == [layer.case.x[0] for layer in found]


@pytest.mark.parametrize("chosen", [0, (), (1, 0), "many", 1025, 1.5])
def test_numbers_of_threads_out_of_range_are_errors(chosen: Any) -> None:
    with pytest.raises(ConformanceError, match="threads="):
        thread_counts(chosen)


def test_all_threads_are_as_many_as_cores() -> None:
    assert thread_counts((1, "all"))[-1] >= 1


# --- operations -----------------------------------------------------------------------------------


def test_operations_that_meet_padding_are_not_needed() -> None:
    """Of three positions along an axis of 14 the first and the last lack one: 3 * 14 - 2."""
    assert 32 * 16 * 40 * 40 == needed(CONV)


def test_a_transposed_convolution_needs_each_product_of_its_input() -> None:
    case = Case.parse("conv_transpose2d:float32:x=1,4,5,5:w=4,3,2,2:stride=2,2:integers@0")

    assert 4 * 3 * 4 * 25 == needed(case)


def test_what_is_moved_is_every_array_once() -> None:
    assert 4 * (16 * 14 * 14 + 32 * 16 * 9 + 32 * 14 * 14) == moved(CONV)


def of(**declarations: Any) -> Implementation:
    return unregistered("some", {"conv": lambda x, w, bias, **call: x}, declarations)


def test_winograd_and_fourier_transforms_save_operations() -> None:
    kinds = [saving(of(algorithm=name), CONV) for name in ("direct", "winograd", "fft", "any")]

    assert pytest.approx([1, (18 / 8) ** 2, 4.5, (18 / 8) ** 2]) == kinds


def test_a_library_may_choose_its_algorithm() -> None:
    assert 1 == saving(of(), CONV)
    assert saving(of(package="numpy"), CONV) > 5


# --- the terminal ---------------------------------------------------------------------------------


def row(name: str, layer: str = "net/conv", **changes: Any) -> Timing:
    values: dict[str, Any] = {"case": CONV.id, "calls": 20, "lower": 1e-3, "upper": 1e-3}
    values |= {"median": 1e-3, "ratio": 1.0, "macs": 10**6, "gflops": 2.0, "peak": 0.02}
    values |= {"threads": 1, "verified": "conforms", "moved": 10**4, "bandwidth": 0.1}
    return Timing(implementation=name, layer=layer, **values | changes)


def shown(tmp_path: Path, *rows: Timing) -> str:
    file = RunFile(tmp_path / "run.sqlite")
    file.add(rows)
    file.record(finished="2025-03-14T09:28:01+00:00", matmul_gflops={"float32": 100.0})
    file.close()
    console = Console(file=io.StringIO(), width=80)
    timing_terminal.show(load(file.path), console)
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_layers_and_implementations_are_one_matrix(tmp_path: Path) -> None:
    rows = [row(name, layer) for name in ("a", "b") for layer in ("net/conv1", "net/conv2")]
    text = shown(tmp_path, *rows)

    assert 1 == sum(line.split() == ["a", "b"] for line in text.splitlines())
    assert 1 == text.count("net/conv1")
    assert 2 == text.count("x=1,16,14,14 w=32,16,3,3")
    assert "Agreement" not in text


def test_a_ratio_is_shown_with_its_interval(tmp_path: Path) -> None:
    text = shown(tmp_path, row("a"), row("b", ratio=2.0, ratio_low=1.9, ratio_high=2.1))

    assert "2.00 +-5%" in text


def test_what_is_not_believable_is_said_with_its_reason(tmp_path: Path) -> None:
    text = shown(tmp_path, row("a", doubt="the clocks differ"), row("b"))

    assert "not believable: a, net/conv: the clocks differ" in text
    assert "2 implementations timed on 1 layer; 1 timing not believable." in text


def test_noise_is_said(tmp_path: Path) -> None:
    assert "noisy: other processes had the processor for 40%" in shown(
        tmp_path, row("a", waited=0.4)
    )
    assert "noisy" not in shown(tmp_path, row("a", waited=0.01))


def test_a_sweep_ends_with_the_exponents(tmp_path: Path) -> None:
    swept = {"base": "net/conv", "swept": "channels"}
    rows = [
        row("a", f"net/conv, channels {n}", value=n, median=1e-6 * n**1.5, macs=n**2, **swept)
        for n in (8, 16, 32)
    ]
    text = shown(tmp_path, *rows)
    (found,) = growth(load(tmp_path / "run.sqlite"))

    assert pytest.approx([1.5, 2.0]) == [found.exponent, found.work]
    assert "time grows as a power of channels (8 to 32): a 1.50; the work 2.00" in text
