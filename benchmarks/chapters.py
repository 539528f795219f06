"""The NumPy implementations beside PyTorch, layer by layer, on one thread.

For every layer of some networks, a matrix product of its size, each implementation that takes the
layer, and PyTorch are called in interleaved rounds. The least CPU time of each counts: what else
runs on the machine can only add to it. The tables have the time as a ratio to PyTorch's, and the
rate of im2col-tiled as a share of NumPy's rate with 1024x1024 matrices, and of the layer's own
matrix product.

Arguments choose networks or layers, and after ``--batch`` stands the batch:
``python -m benchmarks.chapters vgg16 resnet50/conv1 --batch 8``.
"""

from __future__ import annotations

import argparse
import math
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from time import thread_time
from typing import Any

import numpy as np

from benchmarks.measure import interleaved, print_table, show_progress, use_one_core
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.errors import Unsupported
from conformance.operators import OPERATORS
from conformance.registration.registry import get
from conformance.signatures import SIGNATURES
from conformance.spec import NETWORKS, load

NETS = ("vgg16", "resnet50", "mobilenet_v2", "dcgan", "unet")
COMPONENTWISE = ("im2col-tiled", "depthwise", "separable", "im2col", "stride-trick")
NORMWISE = ("winograd", "fft")
SECONDS = 0.5
"""CPU time for one implementation on one layer; there are three rounds at least."""

Call = Callable[[], Any]


def calls_of(case: Case, names: Sequence[str]) -> dict[str, Call]:
    """Return a call of each implementation that supports the case, and of the product it is."""
    inputs = make_inputs(case)
    parameters = {name: getattr(case, name) for name in SIGNATURES[case.operator].parameters}
    calls: dict[str, Call] = {}
    for name in names:
        one = get(name)
        function = one.functions.get(case.operator)
        if function is None or (one.supports is not None and one.supports(case) is not True):
            continue
        call = _bound(function, inputs, parameters)
        try:
            call()
        except Unsupported:
            continue
        calls[name] = call
    return calls


def _bound(function: Callable[..., Any], inputs: Sequence[Any], parameters: Any) -> Call:
    return lambda: function(*inputs, **parameters)


def of_torch(case: Case) -> Call:
    """Return a call of PyTorch's function itself, on tensors; padding is alike on both ends."""
    import torch  # a backend, imported when it runs

    function = getattr(torch.nn.functional, f"{case.operator}{case.dims}d")
    tensors = [torch.from_numpy(a) for a in make_inputs(case) if isinstance(a, np.ndarray)]
    parameters = {name: getattr(case, name) for name in SIGNATURES[case.operator].parameters}
    parameters["padding"] = tuple([max(pair) for pair in case.padding])
    if "kernel" in parameters:
        parameters["kernel_size"] = parameters.pop("kernel")
    return _bound(function, tensors, parameters)


def product_of(case: Case) -> Call:
    """Return a call of the matrix product that a dense conv is, in parts of up to 4096 columns."""
    assert case.w is not None
    o, depth = case.w[0], math.prod(case.w[1:])
    positions = case.x[0] * math.prod(OPERATORS[case.operator].output_shape(case)[2:])
    parts = -(-positions // 4096)
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((o, depth), np.float32)
    columns = rng.standard_normal((depth, -(-positions // parts)), np.float32)

    def call() -> None:
        for _ in range(parts):
            weight @ columns

    return call


def least(calls: Mapping[str, Call]) -> dict[str, float]:
    """Return the least CPU seconds of each call, in interleaved rounds."""

    def timed(call: Call) -> Callable[[int], float]:
        def work(_: int) -> float:
            started = thread_time()
            call()
            return thread_time() - started

        return work

    works = {name: timed(call) for name, call in calls.items()}
    slowest = max(work(0) for work in works.values())
    rounds = max(3, min(50, int(SECONDS / max(slowest, 1e-6))))
    return {name: min(seconds) for name, seconds in interleaved(works, rounds).items()}


def geometric(values: Sequence[float]) -> str:
    """Return the geometric mean, to two digits."""
    return f"{math.exp(sum(map(math.log, values)) / len(values)):.2f}" if values else "-"


def memory_of(call: Call) -> float:
    """Return how much memory a call takes beside its result, in MiB."""
    tracemalloc.start()
    result = call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return float(most - result.nbytes) / 2**20


def compare(cases: Mapping[str, Case], peak: float) -> None:
    """Print the table of some layers of one operator: milliseconds, and ratios to PyTorch."""
    rows, best, best_normwise, shares, own = [], [], [], [], []
    for name, case in cases.items():
        show_progress(name)
        calls = calls_of(case, (*COMPONENTWISE, *NORMWISE)) | {"torch": of_torch(case)}
        dense = case.operator == "conv" and case.groups == 1
        if dense:
            calls["matrix product"] = product_of(case)
        seconds = least(calls)
        torch = seconds["torch"]
        work = 2 * OPERATORS[case.operator].work(case)
        first = min((n for n in COMPONENTWISE if n in seconds), key=seconds.__getitem__)
        any_ = min((n for n in seconds if n in COMPONENTWISE + NORMWISE), key=seconds.__getitem__)
        best.append(seconds[first] / torch)
        best_normwise.append(seconds[any_] / torch)
        share = product = memory = "-"
        if dense:
            tiled = seconds["im2col-tiled"]
            shares.append(work / tiled / peak)
            own.append(seconds["matrix product"] / tiled)
            share, product = f"{100 * shares[-1]:.0f} %", f"{100 * own[-1]:.0f} %"
            memory = f"{memory_of(calls['im2col-tiled']):.1f}"
        ratios = f"{first} {best[-1]:.2f}", f"{any_} {best_normwise[-1]:.2f}"
        rows.append((name, f"{1e3 * torch:.2f}", *ratios, share, product, memory))
    show_progress("")
    ratios = geometric(best), geometric(best_normwise)
    rows.append(("geometric mean", "", *ratios, geometric(shares), geometric(own), ""))
    header = ("layer", "torch, ms", "best componentwise", "best of all", "tiled: of the peak")
    print_table("Time as a ratio to PyTorch's", (*header, "of its product", "MiB"), rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("layers", nargs="*", default=NETS)
    parser.add_argument("--batch", type=int, default=1)
    asked = parser.parse_args()
    use_one_core()
    entries = {entry.name: entry.case for entry in load().suite(NETWORKS).cases}
    matrix = np.random.default_rng(0).standard_normal((1024, 1024), np.float32)
    peak = 2 * 1024**3 / least({"": lambda: matrix @ matrix})[""]
    print(f"{peak / 1e9:.0f} GFLOP/s: NumPy's product of 1024x1024 matrices; batch {asked.batch}")
    for operator in ("conv", "conv_transpose", "max_pool", "avg_pool"):
        cases = {
            name: case.replace(x=(asked.batch, *case.x[1:]))
            for name, case in entries.items()
            if case.operator == operator and {name, name.partition("/")[0]} & {*asked.layers}
        }
        if cases:
            compare(cases, peak)


if __name__ == "__main__":
    main()
