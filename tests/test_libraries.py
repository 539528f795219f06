"""C libraries: the header, what is told of one that fails, its scripts, and the examples."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conformance
from conformance.calling import gcov
from conformance.cli import main
from conformance.errors import PluginError, Unsupported
from conformance.forms.header import header
from conformance.forms.library import load, packed_parameters
from conformance.isolation.dispatch import close_all
from conformance.judging import Prepared
from conformance.requirements import check_of
from conformance.signatures import SIGNATURES
from conformance.sizes import result_shape
from conformance.sources.own import source_of
from conformance.spec import load as load_spec

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SOURCE = (EXAMPLES / "my_kernels.c").read_text(encoding="utf-8")
CONV = "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0"
POOL = "max_pool1d:float32:x=1,2,4:kernel=2:integers@0"
STRICT = ("-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", str(EXAMPLES))
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
needs_cxx = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_registry: Any) -> Iterator[Path]:
    """Work in a folder of the test's own, and end the workers afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    close_all()


def built(source: str = SOURCE, name: str = "mine", *options: str) -> str:
    """Compile a library, and return its path."""
    Path(f"{name}.c").write_text(source)
    library = f"lib{name}.so"
    subprocess.run(["cc", *STRICT, *options, f"{name}.c", "-o", library], check=True)
    return str(Path(library).resolve())


def changed(*changes: tuple[str, str]) -> str:
    """Compile the example with changes."""
    source = SOURCE
    for old, new in changes:
        assert 1 == source.count(old)
        source = source.replace(old, new)
    return built(source)


def judged(path: str, **options: Any) -> conformance.Run:
    few = {"tier": "smoke", "dims": 1, "dtypes": "float32", "checks": "result", "suites": ()}
    return conformance.run(libraries=path, **few | options)


def kernel(body: str) -> str:
    """Return the source of a library with a max pool that has this body."""
    return f"""
#include <string.h>
#include "convformance.h"
int convformance_max_pool(const DLTensor *x, const convformance_max_pool_parameters *p,
                          DLTensor *result, char *message)
{{
    (void)x; (void)p; (void)result; (void)message;
    {body}
}}
"""


# --- the interface --------------------------------------------------------------------------------


def test_the_header_beside_the_examples_is_the_one_that_is_written() -> None:
    assert header() == (EXAMPLES / "convformance.h").read_text(encoding="utf-8")


def test_the_header_has_every_operator_and_every_parameter() -> None:
    text = header()

    for operator, signature in SIGNATURES.items():
        (prototype,) = re.findall(rf"^int convformance_{operator}\((.*)\);$", text, re.MULTILINE)
        assert all(f"DLTensor *{name}" in prototype for name in signature.arrays)
        members = re.findall(rf"{{([^{{}}]*)}} convformance_{operator}_parameters;", text)
        assert bool(signature.parameters) == bool(members)
        assert all(f" {name}" in members[0] for name in signature.parameters)


def test_new_writes_the_example_and_the_header_beside_it() -> None:
    assert 0 == main(["new", "kernels.c", "--for", "library"])

    assert SOURCE == Path("kernels.c").read_text(encoding="utf-8")
    assert header() == Path("convformance.h").read_text(encoding="utf-8")


def test_new_writes_no_library_in_another_language(capsys: Any) -> None:
    assert 2 == main(["new", "kernels.py", "--for", "library"])

    assert "kernels.py: not a C file; its name must end in .c" in capsys.readouterr().err


@pytest.mark.parametrize("operator", SIGNATURES)
def test_the_result_has_the_shape_that_is_due_in_every_curated_case(operator: str) -> None:
    every = [one.case for name in ("smoke", "edge") for one in load_spec(None).suite(name).cases]
    forward = re.sub("(_input|_weight)?_grad$", "", operator)
    cases = [c.replace(operator=operator, bias=False) for c in every if c.operator == forward]
    if operator == "conv_bias_grad":
        cases = [conformance.Case.parse("conv_bias_grad2d:float32:x=2,3,4,5:integers@0")]
    assert cases

    for case in cases:
        prepared = Prepared.of(case)
        sizes = tuple(v.shape if isinstance(v, np.ndarray) else v for v in prepared.inputs)
        given = tuple(case.parameters.items())
        assert prepared.reference.exact.shape == result_shape(case.operator, sizes, given), case.id


def test_parameters_of_fewer_axes_change_nothing_on_the_others() -> None:
    given = {"stride": (2,), "padding": ((3, 4),), "dilation": (5,), "groups": 6}
    numbers = np.frombuffer(packed_parameters(tuple(given.items())), np.int64)

    assert [1, 2, 1, 1, 3, 4, 0, 0, 0, 0, 5, 1, 1, 6] == numbers.tolist()


@pytest.mark.parametrize(
    "given", [{"stride": (1, 1), "dilation": (1,)}, {"stride": (1,), "padding": ((1,),)}]
)
def test_parameters_that_a_struct_cannot_hold_are_not_asked(given: Any) -> None:
    with pytest.raises(Unsupported):
        packed_parameters(tuple(given.items()))


# --- the examples ---------------------------------------------------------------------------------


@needs_cc
def test_the_examples_in_c_conform() -> None:
    run = judged(built(), checks=["result", "layout", "special", "reject", "repeat"])

    assert run.conforms
    assert {"conv", "max_pool"} == {cell.operator for cell in run.cells}


@needs_cxx
def test_the_example_in_cpp_conforms() -> None:
    source, library = EXAMPLES / "my_pool.cpp", Path("libmy_pool.so").resolve()
    subprocess.run(["c++", "-std=c++17", *STRICT, str(source), "-o", str(library)], check=True)
    run = judged(str(library), checks=["result", "special", "reject", "repeat"], dtypes=None)

    assert run.conforms
    assert {"float32", "float64"} == {cell.dtype for cell in run.cells}


CHANNELS = "for (int64_t c = 0; c < w->shape[1]; c++)\n                    FOR_EACH"
FILTERED = "at(&in, n, first + c, read) * at(&filter, o, c, tap)"
MET = """\
                    if (inside(&in, &win, position, tap, read)) {
                        const float value = at(&in, n, c, read);"""
MISTAKES = {
    "ignores dilation": ("CONV-5", CONV, [("tap[a] * w->dilation[a]", "tap[a]")]),
    "reads the last channel again in the last block": (
        "RESULT-2",
        "conv1d:float32:x=1,1,1:w=1,1,1:integers@0",
        [
            (CHANNELS, CHANNELS.replace("w->shape[1]", "(w->shape[1] + 15) / 16 * 16")),
            (FILTERED, FILTERED.replace("c,", "(c < w->shape[1] ? c : w->shape[1] - 1),")),
        ],
    ),
    "pads with zeros": (
        "MAXPOOL-3",
        "max_pool1d:float32:x=1,1,1:kernel=2:padding=1/0:integers@0",
        [
            (
                MET,
                "{ const int in_it = inside(&in, &win, position, tap, read);\n"
                "const float value = in_it ? at(&in, n, c, read) : 0;",
            )
        ],
    ),
    "never writes the last block of planes": (
        "MAXPOOL-4",
        "max_pool1d:float32:x=1,1,1:kernel=1:integers@0",
        [
            (
                "*y++ = best;",
                "if (n * in.shape[1] + c < in.shape[0] * in.shape[1] / 4 * 4) *y = best;\ny++;",
            )
        ],
    ),
}
"""Those of the other examples, here in C: what they are cited as, and the smallest case."""


@needs_cc
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_with_the_smallest_case_and_a_program_in_c(mistake: str) -> None:
    requirement, case, changes = MISTAKES[mistake]
    run = judged(changed(*changes), operators=conformance.Case.parse(case).operator)
    (violation,) = run.violations
    shown = subprocess.run(
        ["sh"], input=violation.script, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert (requirement, case) == (violation.requirement, violation.case)
    assert violation.replay.endswith(f"--library {Path('libmine.so').resolve()}")
    assert "status 0" == shown[0].strip()
    assert shown[1].removeprefix("result: ") != shown[2].removeprefix("exact: ")


# --- what goes wrong ------------------------------------------------------------------------------


@needs_cc
def test_what_a_library_writes_around_its_result_is_found() -> None:
    end = "    return 0;\n}\n\nint convformance_max_pool"
    after = changed((end, f"    y[5] = 1;\n{end}"))
    verdict = conformance.judge(conformance.library(after), CONV)

    assert "MEMORY-2" == verdict.requirement
    assert "up to 24 bytes past the end of its result" in verdict.message


@needs_cc
def test_a_read_beyond_an_argument_is_found() -> None:
    line = "const Image in = image(x), filter = image(w), out = image(result);"
    reading = "(void)((const volatile float *)w->data)[2];"
    beyond = built(SOURCE.replace(line, f"{line} {reading}"))
    run = judged(beyond, operators="conv", examples=20)

    assert "MEMORY-1" in {violation.requirement for violation in run.violations}


@needs_cc
def test_an_element_that_is_never_written_is_no_number() -> None:
    verdict = conformance.judge(conformance.library(changed(("*y++ = best;", "y++;"))), POOL)

    assert "violates" == verdict.status
    assert "got nan" in verdict.message


@needs_cc
def test_strides_that_are_ignored_are_found() -> None:
    dense = (
        "i.strides[to] = 1; for (int a = axis + 1; a < t->ndim; a++) i.strides[to] *= t->shape[a];"
    )
    library = changed(("i.strides[to] = t->strides[axis];", dense))
    run = judged(library, checks=["result", "layout"], operators="max_pool")

    assert "layout" in {check_of(v.requirement) for v in run.violations}


@needs_cc
def test_a_crash_is_a_verdict_with_its_signal() -> None:
    library = built(kernel("return *(volatile int *)0;"))
    verdict = conformance.judge(conformance.library(library), POOL)

    assert "PROCESS-1" == verdict.requirement
    assert "SIGSEGV" in verdict.message


@needs_cc
def test_a_return_value_is_a_gap_or_a_rejection_with_its_message() -> None:
    gap = built(kernel('strcpy(message, "no pools"); return CONVFORMANCE_UNSUPPORTED;'), "gap")
    refuses = built(kernel('strcpy(message, "never"); return 7;'), "refuses")
    declined = conformance.judge(conformance.library(gap), POOL)
    rejected = conformance.judge(conformance.library(refuses), POOL)

    assert "unsupported" == declined.status
    assert "no pools" in declined.message
    assert rejected.failed
    assert "Rejected: never" in rejected.message


@needs_cc
def test_what_a_call_makes_of_its_own_description_is_not_there_for_the_next() -> None:
    spoils = 'strcpy(message, "spoilt"); result->shape[2] = 9; result->ndim = 0; return 0;'
    tells = "if (result->ndim != 3 || result->shape[2] != 3 || *message) { return 6; }"
    function = load(built(kernel(f"{tells} {spoils}"))).functions["max_pool"]
    x = np.ones((1, 2, 4), np.float32)
    geometry = {"stride": (1,), "padding": ((0, 0),), "dilation": (1,), "ceil_mode": False}

    for _ in range(3):
        assert (1, 2, 3) == function(x, kernel=(2,), **geometry).shape


@needs_cc
def test_calls_of_several_threads_have_descriptions_of_their_own() -> None:
    waits = "for (volatile int i = 0; i < 200000; i++) {}"
    copies = "((float *)result->data)[0] = *(float *)x->data; return 0;"
    function = load(built(kernel(f"{waits} {copies}"))).functions["max_pool"]
    geometry = {"stride": (1,), "padding": ((0, 0),), "dilation": (1,), "ceil_mode": False}

    def call(number: int) -> float:
        return float(
            function(np.full((1, 1, 1), number, np.float32), kernel=(1,), **geometry)[0, 0, 0]
        )

    with ThreadPoolExecutor(4) as pool:
        assert [*range(40)] == [*pool.map(call, range(40))]


@needs_cc
def test_a_result_that_cannot_be_right_has_no_elements() -> None:
    empty = built(kernel("return result->shape[0] + result->shape[2] == 0 ? 5 : 0;"))
    function = load(empty).functions["max_pool"]
    x = np.ones((1, 2, 4), np.float32)
    geometry = {"stride": (1,), "padding": ((0, 0),), "dilation": (1,), "ceil_mode": False}

    with pytest.raises(Exception, match="status 5"):
        function(x, kernel=(9,), **geometry)
    assert (1, 2, 3) == function(x, kernel=(2,), **geometry).shape


@needs_cc
@pytest.mark.parametrize(
    ("source", "said"),
    [
        (kernel("extern int missing_one(void); return missing_one();"), "missing_one"),
        ("int other;", "exports none of convformance_conv, "),
        (
            '#include "convformance.h"\nconst char convformance_declares[] = "[1]";',
            "convformance_declares is '[1]', and has to be a JSON object",
        ),
        (
            'const char convformance_declares[] = "{\\"operators\\": [\\"conv\\"]}";',
            "it declares conv, and exports no convformance_conv",
        ),
        (
            'const char convformance_declares[] = "{\\"convformance\\": 2}";',
            "speaks version 2 of the interface, this suite version 1",
        ),
        (
            kernel("return 0;") + 'const char convformance_declares[] = "{\\"dtype\\": 1}";',
            "did you mean dtypes?",
        ),
        (
            kernel("return 0;")
            + 'const char convformance_declares[] = "{\\"supports\\": {\\"grups\\": false}}";',
            "supports has 'grups'; did you mean groups?",
        ),
        (
            kernel("return 0;") + 'const char convformance_declares[] = "{\\"supports\\": 2}";',
            "supports=2; an object with arguments of only, such as",
        ),
    ],
)
def test_a_library_that_cannot_be_loaded_is_one_line_of_error(
    source: str, said: str, capfd: Any
) -> None:
    path = built(source, "wrong")
    capfd.readouterr()
    status = main(["list", "--library", path])
    (line,) = capfd.readouterr().err.splitlines()

    assert 2 == status
    assert line.startswith(f"convformance: error: library {path}: ")
    assert said in line


@needs_cc
def test_a_library_declares_what_it_supports_as_only_does() -> None:
    declared = '{\\"dims\\": 2, \\"supports\\": {\\"ceil_mode\\": false, \\"kernel\\": [2, 3]}}'
    text = f'const char convformance_declares[] = "{declared}";'
    one = load(built(kernel("return 0;") + text))

    assert conformance.only(dims=2, ceil_mode=False, kernel=(2, 3)) == one.supports


def test_what_is_no_library_is_one_line_of_error() -> None:
    Path("text.so").write_text("no library")

    with pytest.raises(PluginError, match="no such file; name a shared library"):
        conformance.library("missing.so")
    with pytest.raises(PluginError, match=r"text.so: cannot be loaded: .*text.so"):
        conformance.library("text.so")


@needs_cc
def test_the_source_that_a_library_declares_is_read() -> None:
    declaring = SOURCE.replace('"{\\"dtypes', '"{\\"source\\": \\"mine.c\\", \\"dtypes')
    implementation = conformance.library(built(declaring))
    source = source_of(implementation, "conv")

    assert ("mine.c",) == implementation.source
    assert source is not None
    assert source.numbers
    with pytest.raises(PluginError, match=r"source='missing\.c': no such file beside it"):
        conformance.library(built(declaring.replace("mine.c", "missing.c"), "other"))


# --- where it shows -------------------------------------------------------------------------------


@needs_cc
def test_list_and_time_take_libraries(capsys: Any) -> None:
    path = built()
    assert 0 == main(["list", "--library", path, "--json"])
    listed = json.loads(capsys.readouterr().out)["implementations"]

    assert ["conv", "max_pool"] == next(i for i in listed if i["name"] == "mine")["operators"]
    assert 0 == main(["time", CONV, "--library", path, "--rounds", "2", "--output", "timed"])


@needs_cc
@pytest.mark.parametrize(
    "case",
    [
        CONV,
        "conv2d:float32:x=2,2,3,3:w=2,2,2,1:bias:memory=reversed:normal@0",
        "max_pool2d:float32:x=1,2,3,3:kernel=2,2:memory=channels_last:nan@3",
    ],
)
def test_the_program_in_c_makes_the_call(case: str, capsys: Any) -> None:
    assert 0 == main(["replay", case, "--library", built(), "--script"])
    done = subprocess.run(
        ["sh"], input=capsys.readouterr().out, capture_output=True, text=True, check=True
    )
    status, result, exact = done.stdout.splitlines()
    got, due = (np.array(line.partition(":")[2].split(), float) for line in (result, exact))

    assert "status 0" == status.strip()
    assert np.allclose(due, got, rtol=1e-5, atol=1e-5, equal_nan=True)


GIANTS = """static int is_giant(int64_t size)
{
    if (size > 2000000000)
        return 1;
    return 0;
}

static int is_float32("""


@needs_cc
@pytest.mark.skipif(shutil.which("gcov") is None, reason="no gcov")
def test_lines_of_c_that_no_call_reaches_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    source = SOURCE.replace("static int is_float32(", GIANTS)
    source = source.replace("!is_float32(w)", "is_giant(w->shape[0]) || !is_float32(w)")
    source = source.replace('"{', '"{\\"source\\": \\"mine.c\\", ', 1)
    path = built(source, "mine", "-O0", *gcov.OPTIONS.split())
    never = 1 + source.splitlines().index("        return 1;")
    few = ("--tier", "smoke", "--dims", "1", "--operator", "conv", "--check", "result")

    assert 0 == main(["run", "--library", path, *few])

    (sentence,) = re.findall(r"mine\.c ([^a-z]*) (?:was|were)\s+never", capsys.readouterr().out)
    assert str(never) in re.split(r"[,\s]+", sentence)
    assert str(never + 1) not in re.split(r"[,\s]+", sentence)


@needs_cc
def test_a_library_without_counters_names_no_lines() -> None:
    path = built()

    assert None is gcov.Counters.of(ctypes.CDLL(path))
    assert {} == gcov.lines_of([])
