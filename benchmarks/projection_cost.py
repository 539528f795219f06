"""The cost of checking every element of a large layer, next to computing it; and what it finds.

One thread is used. For each layer, three things are timed in interleaved rounds: PyTorch's forward;
checking one more of its outputs by projection; and making the projected exact result, which serves
all outputs of one set of inputs (an output checked once costs both). Bars: 5 % of the forward for
layers of 256 output channels or more, 12 % with 64.

Then wrong elements are planted: first one with the least error, in an output of 100 million; then
the set that is hardest to find, two at one position whose errors cancel for one coefficient in
eight.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from time import process_time

import numpy as np

from benchmarks.measure import Work, interleaved, print_table, ratios, summary, use_one_core
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.judging import Accuracy
from conformance.large.contraction import convolve, in_blas_dtype, project_weight
from conformance.large.projection import Projection
from conformance.registration.registry import get
from conformance.spec import NETWORKS, load

LAYERS = {
    256: (
        "resnet50/res4b_branch2b",
        "resnet50/res5b_branch2b",
        "vgg16/conv3_2",
        "vgg16/conv4_2",
        "wav2vec2/fe6",
        "whisper_base/conv2",
    ),
    64: ("resnet50/res2a_branch2b", "vgg16/conv1_2", "unet/inc.1"),
}
"""Layers by the least number of output channels of their bar."""
ROUNDS = 15
PLANTED = 20
SETS = 2000


def works_of(case: Case) -> dict[str, Work]:
    """Return the three pieces of work of a layer; each returns CPU milliseconds."""
    inputs = make_inputs(case)
    x, w, bias = inputs
    forward = get("torch").functions[case.operator]
    output = forward(x, w, bias, **case.parameters)
    projection = Projection.of(case, inputs)
    wide = in_blas_dtype(w)

    def prepare() -> object:
        kernels, _ = project_weight(case, wide, projection.r)
        return convolve(case, x, kernels, 9.0)

    works: dict[str, Callable[[], object]] = {
        "forward": lambda: forward(x, w, bias, **case.parameters),
        "one more output": lambda: projection.check(output, Accuracy()),
        "the exact side": prepare,
    }
    if projection.check(output, Accuracy()) is not None:
        raise RuntimeError(f"{case.id}: the output of PyTorch is not the exact one")
    return {name: _timed(work) for name, work in works.items()}


def _timed(work: Callable[[], object]) -> Work:
    def timed(number: int) -> float:
        started = process_time()
        work()
        return 1e3 * (process_time() - started)

    return timed


def costs(cases: dict[str, Case]) -> Iterable[tuple[str, ...]]:
    """Yield a row for each layer: name, forward, and the two other costs in percent of it."""
    for bar, names in LAYERS.items():
        for name in names:
            case = cases[name].replace(data="integers", seed=1)
            results = interleaved(works_of(case), ROUNDS)
            forward = results["forward"]
            more, exact = (
                ratios(results[n], forward) for n in ("one more output", "the exact side")
            )
            percent = [summary([100 * share for share in part], 1) for part in (more, exact)]
            yield f"{name} ({bar}+)", summary(forward, 2), *percent


def single_found() -> int:
    """Return in how many of PLANTED trials one wrong element among 100 million is found."""
    case = Case.parse("conv2d:float32:x=1,1,1000,1000:w=100,1,1,1:integers@0")
    inputs = make_inputs(case)
    x, w, _ = inputs
    output = x * w.reshape(1, -1, 1, 1)
    rng = np.random.default_rng(0)
    count = 0
    for trial in range(PLANTED):
        projection = Projection.of(case, inputs, seed=trial)
        at = tuple(int(rng.integers(size)) for size in output.shape)
        right = output[at]
        output[at] = np.nextafter(right, np.float32(np.inf)) if trial % 2 else right + 1
        count += projection.check(output, Accuracy()) is not None
        output[at] = right
    return count


def sets_found() -> float:
    """Return the share of SETS projections in which two errors that cancel are found."""
    case = Case.parse("conv2d:float32:x=1,1,2,2:w=2,1,1,1:integers@0")
    inputs = make_inputs(case)
    x, w, _ = inputs
    output = x * w.reshape(1, -1, 1, 1)
    output[0, 0, 1, 1] += 1
    output[0, 1, 1, 1] -= 1
    return statistics.mean(
        bool(Projection.of(case, inputs, seed=trial).differ(output).any()) for trial in range(SETS)
    )


def main() -> None:
    """Measure and print."""
    use_one_core()
    cases = {entry.name: entry.case for entry in load().suite(NETWORKS).cases}
    header = ("layer (output channels)", "forward, ms", "one more output, %", "the exact side, %")
    print_table(f"Projection as a share of the forward, {ROUNDS} rounds", header, costs(cases))
    print(f"one wrong element of 100,000,000: found in {single_found()} of {PLANTED} trials")
    print(f"two errors that cancel: found in {sets_found():.3f} of {SETS} projections")
    print("(proved: always, and in 7/8 at least)")


if __name__ == "__main__":
    main()
