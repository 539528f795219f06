"""The cost of forms: judging kernels over tensors, in C and in a program, against NumPy's.

All of them compute the same, x * w + bias for a window of one element, and judge the same small
cases in every round, in this process. What counts is the processor time of this process and of the
program, less what the function itself takes in these calls where it is one over arrays or tensors.

What PyTorch's operations leave of the processor's caches costs whatever comes after them, too. The
row "beside torch" is a kernel over NumPy arrays that makes them as well, on tensors of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import process_time, thread_time
from typing import Any

from benchmarks.measure import interleaved, print_table, summary
from conformance.case import Case
from conformance.forms import library, program
from conformance.forms.header import header
from conformance.judging import Prepared, judge_each
from conformance.registration.implementation import Implementation
from conformance.registration.registry import implementation

ROUNDS = 40
REPEATS = 2
"""How often a round judges every case."""
BARS = {"torch": 30.0, "library": 30.0, "program": 200.0}
"""The microseconds by which a judgment may take longer than one of a kernel over NumPy arrays."""
SIZES = ("1", "2", "3", "5", "8")

IN_C = r"""
#include "convformance.h"
int convformance_conv(const DLTensor *x, const DLTensor *w, const DLTensor *bias,
                      const convformance_conv_parameters *parameters,
                      DLTensor *result, char *message)
{
    const int64_t last[3] = {x->shape[2], x->ndim > 3 ? x->shape[3] : 1,
                             x->ndim > 4 ? x->shape[4] : 1};
    const int64_t step[3] = {x->strides[2], x->ndim > 3 ? x->strides[3] : 0,
                             x->ndim > 4 ? x->strides[4] : 0};
    const float factor = *(const float *)w->data, added = bias ? *(const float *)bias->data : 0;
    float *y = result->data;
    for (int64_t n = 0; n < x->shape[0]; n++)
        for (int64_t i = 0; i < last[0]; i++)
            for (int64_t j = 0; j < last[1]; j++)
                for (int64_t k = 0; k < last[2]; k++)
                    *y++ = ((const float *)x->data)[n * x->strides[0] + i * step[0] + j * step[1]
                                                    + k * step[2]] * factor + added;
    return 0;
}
"""
IN_A_PROGRAM = """
import array, json, sys
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
stdin.readline()
stdout.write(b'{"convformance": 1, "operators": ["conv"], "dtypes": "float32"}\\n')
stdout.flush()
for line in iter(stdin.readline, b""):
    call = json.loads(line)
    numbers = array.array("f", stdin.read(call["bytes"]))
    added = numbers.pop() if call["arguments"]["bias"] else 0.0
    factor = numbers.pop()
    result = {"dtype": "float32", "shape": call["arguments"]["x"]["shape"]}
    stdout.write(json.dumps({"result": result}).encode() + b"\\n")
    stdout.write(array.array("f", [x * factor + added for x in numbers]).tobytes())
    stdout.flush()
"""


_alone = 0.0
"""The seconds that `scaled` has taken."""


def scaled(x: Any, w: Any, bias: Any, **_: Any) -> Any:
    """Return the convolution with a window of one element, of arrays of any library."""
    global _alone
    begun = thread_time()
    result = x * w.reshape(())
    if bias is not None:
        result = result + bias
    _alone += thread_time() - begun
    return result


def beside_torch() -> Callable[..., Any]:
    """Return `scaled` for NumPy arrays, which scales tensors first."""
    import torch

    x, w = torch.ones(2, 1, 3, 3), torch.ones(1, 1, 1, 1)

    def conv(*arrays: Any, **_: Any) -> Any:
        scaled(x, w, w)
        return scaled(*arrays)

    return conv


def kernels(folder: Path) -> dict[str, Implementation]:
    """Return the same kernel in each form; files are written to ``folder``."""
    found = {}
    for form in ("numpy", "torch"):
        found[form] = implementation(f"scaled-{form}", arrays=form)
        found[form].register("conv", scaled)
    found["beside torch"] = implementation("beside-torch")
    found["beside torch"].register("conv", beside_torch())
    (folder / "convformance.h").write_text(header())
    (folder / "scaled.c").write_text(IN_C)
    (folder / "scaled.py").write_text(IN_A_PROGRAM)
    built = folder / "libscaled.so"
    command = ("cc", "-O2", "-shared", "-fPIC", "scaled.c", "-o", str(built))
    subprocess.run(command, cwd=folder, check=True)
    found["library"] = library.load(str(built))
    found["program"] = program.load(f"{sys.executable} {folder / 'scaled.py'}")
    return found


def cases() -> list[Prepared]:
    """Return small cases in one to three dimensions, with and without a bias."""
    ids = [
        f"conv{dims}d:float32:x=2,1,{','.join([size] * dims)}:w=1,1,{','.join(['1'] * dims)}"
        f"{bias}:{recipe}@0"
        for dims in (1, 2, 3)
        for size in SIZES
        for bias in ("", ":bias")
        for recipe in ("integers", "normal")
    ]
    return [Prepared.of(Case.parse(case)) for case in ids]


def seconds_of(process: int) -> float:
    """Return the processor time of another process, as Linux counts it."""
    return 1e-9 * int(Path(f"/proc/{process}/schedstat").read_text().split()[0])


def judged(kernel: Implementation, prepared: Sequence[Prepared], number: int) -> float:
    """Return the microseconds of a judgment."""
    started: list[Callable[[], float]] = [process_time]
    if "conv" in kernel.functions and hasattr(kernel.functions["conv"], "program"):
        started.append(partial(seconds_of, kernel.functions["conv"].program().process.pid))
    begun, alone = sum(clock() for clock in started), _alone
    count = 0
    for _ in range(REPEATS):
        for verdict, _output in judge_each(kernel, prepared):
            if verdict.failed:
                raise RuntimeError(f"{kernel.name}: {verdict}")
            count += 1
    return 1e6 * (sum(clock() for clock in started) - begun - (_alone - alone)) / count


def main() -> None:
    """Measure and print."""
    prepared = cases()
    with tempfile.TemporaryDirectory() as folder:
        works = {
            form: partial(judged, kernel, prepared)
            for form, kernel in kernels(Path(folder)).items()
        }
        for work in works.values():
            work(0)
        results = interleaved(works, ROUNDS)
    rows = []
    for form, values in results.items():
        more = [one - other for one, other in zip(values, results["numpy"], strict=True)]
        bar = f"{BARS[form]:.0f}" if form in BARS else ""
        rows.append((form, summary(values, 1), summary(more, 1) if form != "numpy" else "", bar))
    title = (
        f"{len(prepared)} small cases, {ROUNDS} interleaved rounds: processor time, microseconds"
    )
    print_table(title, ("", "a judgment", "more than NumPy's", "bar"), rows)


if __name__ == "__main__":
    main()
