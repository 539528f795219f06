"""Options: variants of implementations that are chosen by their names, and what is overridden."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.calling import from_layout
from conformance.case import Case
from conformance.cli import main
from conformance.errors import ConformanceError, RegistrationError
from conformance.isolation.dispatch import close_all, isolated
from conformance.isolation.environments import Environment
from conformance.judging import CONFORMS, VIOLATES, Prepared, judge_prepared
from conformance.registration import registry
from conformance.registration.implementation import Implementation
from conformance.registration.options import Offer, Option, Variant
from conformance.registration.place import Limits
from conformance.registration.registry import Registry, get, implementation
from conformance.running.known_in_run import Subject
from conformance.scripts.engine import engine_script
from conformance.scripts.standalone import replay_command, script
from conformance.signatures import SIGNATURES

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
TINY = ("--tier", "smoke", "--examples", "5", "--dims", "2", "--dtype", "float32")
TAIL = "conv2d:float32:x=1,1,1,3:w=1,1,1,1:integers@0"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: Registry,
) -> Call:
    """Call the command line in a folder where the overriding libraries lie."""
    for name in ("overriding", "mine_backend"):
        shutil.copy(DATA / f"{name}.py", tmp_path)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        close_all()
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def offered(empty_registry: None) -> Implementation:
    """An implementation with options: it adds what one of them says."""
    base = implementation("adding", dtypes="float32")

    def registers(amount: float) -> Callable[[Implementation], None]:
        def conv_bias_grad(grad: Any) -> Any:
            return (grad.sum((0, *range(2, grad.ndim))) + amount).astype(grad.dtype)

        return lambda implementation: implementation.register("conv_bias_grad", conv_bias_grad)

    def made(chosen: Any) -> Variant:
        if chosen["how"] == "much" and chosen["more"] == "off":
            raise RegistrationError("how=much goes with more")
        settings = f"how {chosen['how']}"
        return Variant(registers(float(chosen["more"] == "on")), {"settings": settings})

    registers(0.0)(base)
    options = (
        Option("how", "How.", ("little", "much"), "little"),
        Option("more", "Whether there is more.", ("on", "off"), "off", "on"),
    )
    registry.in_use().offer(Offer(base, options, made, __name__, {"adding[more]": {"more": "on"}}))
    return base


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("adding[moar]", "no option 'moar'; did you mean more? there are how=little|much, more"),
        ("adding[]", "no option ''; there are how="),
        ("adding[more=yes]", "more=yes; there are more=on|off"),
        ("adding[how]", "how has no value; there are how=little|much"),
        ("adding[how=mach]", "how=mach; did you mean much? there are how=little|much"),
        ("adding[more,more=off]", "more is given twice"),
        ("adding[how=much]", "how=much goes with more"),
        ("adding[around=overriding]", "around=overriding; there are around=MODULE:CONTEXT"),
        ("adding[import=a b]", "import=a b; there are import=MODULE"),
    ],
)
def test_an_unknown_option_or_value_gets_one_line_with_those_there_are(
    name: str, problem: str
) -> None:
    with pytest.raises(RegistrationError) as caught:
        get(name)

    assert f"implementation '{name}': {problem}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("offered")
def test_options_in_any_order_name_one_implementation() -> None:
    assert get("adding[more,how=much]") is get("adding[how=much,more]")
    assert "adding[how=much,more]" == get("adding[more, how=much]").name


@pytest.mark.usefixtures("offered")
def test_a_variant_computes_and_declares_as_its_options_say() -> None:
    variant, grad = get("adding[how=much,more]"), np.ones((1, 2, 3), np.float32)

    assert [3, 3] == get("adding[how=little]").functions["conv_bias_grad"](grad).tolist()
    assert [4, 4] == variant.functions["conv_bias_grad"](grad).tolist()
    assert "how much" == variant.settings


@pytest.mark.usefixtures("offered")
def test_only_fixed_variants_are_listed() -> None:
    get("adding[how=much,more]")

    assert ["adding", "adding[more]"] == sorted(registry.implementations())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torch[mkldnn=off]@old=/usr/bin/python", ("torch[mkldnn=off]@old", "/usr/bin/python")),
        ("torch@old=/a=b", ("torch@old", "/a=b")),
    ],
)
def test_options_of_an_implementation_in_another_interpreter_are_part_of_its_name(
    text: str, expected: tuple[str, str]
) -> None:
    environment = Environment.parse(text)

    assert expected == (environment.name, environment.python)


def test_a_comma_in_brackets_does_not_split_a_list_of_implementations(call: Call) -> None:
    status, _, err = call("run", "-i", "im2col[import=json,import=nosuch_module],naive", *TINY)

    assert 2 == status
    assert (
        "convformance: error: implementation 'im2col[import=json,import=nosuch_module]': "
        "import=nosuch_module: ModuleNotFoundError: No module named 'nosuch_module'\n"
    ) == err.splitlines(keepends=True)[-1]


# --- engines --------------------------------------------------------------------------------------

_FIXED = [
    (name, fixed, offer)
    for name, offer in registry.in_use().offers().items()
    for fixed in offer.fixed
]


@pytest.mark.parametrize(("base", "fixed", "offer"), _FIXED, ids=[fixed for _, fixed, _ in _FIXED])
def test_the_options_of_a_fixed_variant_written_out_are_that_variant(
    base: str, fixed: str, offer: Offer
) -> None:
    text = ",".join(f"{name}={value}" for name, value in offer.fixed[fixed].items())
    written, named = get(f"{base}[{text}]"), get(fixed)

    assert list(named.known) == list(written.known)
    same = ("family", "operators", "dtypes", "settings", "conventions", "multiply", "error")
    assert [getattr(named, one) for one in same] == [getattr(written, one) for one in same]


def test_nothing_is_known_of_a_variant_but_where_it_fails_as_the_engine_does() -> None:
    both, torch = get("torch[channels_last,deterministic=on]"), get("torch")

    assert () == tuple(both.known)
    assert torch is both.base
    assert list(torch.known) == list(get("torch[device=cpu]").known)


_MISSING = [
    ("torch", "torch[device=cuda:77,tf32=on]", "no device 'cuda:77' here: "),
    ("torch", "torch[device=nosuch]", "no device 'nosuch' here: "),
    ("torch", "torch[compile=nosuch]", "torch.compile has no backend 'nosuch' here; there are "),
    ("torch", "torch[tf32=on]", "tf32 needs a GPU of NVIDIA's: torch[device=cuda,tf32=...]"),
    ("jax", "jax[platform=nosuch]", "JAX has no platform 'nosuch' here; there are "),
    (
        "onnxruntime",
        "onnxruntime[provider=NoSuch]",
        "ONNX Runtime has no provider 'NoSuch' here; there are ",
    ),
    ("openvino", "openvino[device=NOSUCH]", "OpenVINO has no device 'NOSUCH' here; there are "),
    ("tinygrad", "tinygrad[device=NOSUCH]", "tinygrad has no device 'NOSUCH' here ("),
]


@pytest.mark.parametrize(("engine", "name", "problem"), _MISSING, ids=[m[1] for m in _MISSING])
def test_a_device_that_is_not_there_is_one_line(
    call: Call, engine: str, name: str, problem: str
) -> None:
    needs(engine)
    status, out, err = call("run", "-i", name, *TINY)

    assert (2, "") == (status, out)
    assert err.splitlines()[-1].startswith(
        f"convformance: error: implementation '{name}': {problem}"
    )


_CALLED = [
    ("torch", "torch[device=cpu:0]", "conv2d:float32:x=2,2,4,5:w=2,2,2,3:bias:integers@0"),
    ("torch", "torch[device=cpu:0]", "max_pool_grad2d:float32:x=1,2,5,4:kernel=2,2:normal@0"),
    ("torch", "torch[device=cpu:0]", "conv_bias_grad2d:float32:x=2,2,2,3:integers@0"),
    (
        "torch",
        "torch[device=cpu:0,channels_last]",
        "conv_weight_grad2d:float32:x=1,2,5,4:w=3,2,2,2:integers@0",
    ),
    (
        "torch",
        "torch[mkldnn=off,deterministic=on,channels_last]",
        "conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0",
    ),
    ("torch", "torch[compile=eager]", "max_pool2d:float32:x=1,2,5,4:kernel=2,2:normal@0"),
    ("jax", "jax[jit,platform=cpu]", "conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0"),
    ("jax", "jax[precision=highest]", "avg_pool2d:float32:x=1,2,5,4:kernel=2,2:normal@0"),
    (
        "onnxruntime",
        "onnxruntime[optimization=off]",
        "conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0",
    ),
    (
        "onnxruntime",
        "onnxruntime[optimization=basic,constant]",
        "conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0",
    ),
    (
        "openvino",
        "openvino[precision=f32,constant]",
        "conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0",
    ),
    ("tensorflow", "tensorflow[onednn=off]", "conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0"),
    ("mlx", "mlx[device=cpu]", "conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0"),
    ("keras jax", "keras[backend=jax]", "conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0"),
    ("keras torch", "keras[backend=torch]", "max_pool2d:float32:x=1,2,5,4:kernel=2,2:normal@0"),
    ("tinygrad", "tinygrad[optimization=off]", "conv2d:float32:x=1,1,3,4:w=1,1,2,2:integers@0"),
    ("opencv", "opencv[engine=classic]", "conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0"),
    ("opencv", "opencv[winograd=off]", "conv2d:float32:x=1,2,6,6:w=2,2,3,3:integers@0"),
    (
        "tensorflow",
        "tensorflow[device=CPU:0,xla]",
        "max_pool2d:float32:x=1,2,5,4:kernel=2,2:normal@0",
    ),
]


@pytest.mark.parametrize(
    ("engine", "name", "case"), _CALLED, ids=[f"{c[1]}-{c[2]}" for c in _CALLED]
)
def test_a_variant_and_its_script_compute_what_is_due(engine: str, name: str, case: str) -> None:
    needs(*engine.split())
    variant, prepared = isolated(get(name), True, Limits()), Prepared.of(Case.parse(case))
    verdict, output = judge_prepared(variant, prepared)
    close_all()
    source = engine_script(variant, prepared)

    assert CONFORMS == verdict.status, verdict
    assert source, "no snippet"
    saved = f"{source}np.save(__import__('sys').argv[1], got)\n"
    role = SIGNATURES[prepared.case.operator].result
    assert np.array_equal(output, from_layout(_saved_by(saved), variant.layout, role))


def _saved_by(source: str) -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "got.npy")
        command = [sys.executable, "-c", source, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, f"{source}\n{done.stderr}"
        return np.load(file)


def test_a_precision_that_the_device_does_not_compute_in_is_declined() -> None:
    needs("openvino")
    from openvino import Core

    if "FP16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU computes in float16")
    case = Case.parse("conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0")
    verdict, _ = judge_prepared(get("openvino[precision=f16]"), Prepared.of(case))

    assert "unsupported" == verdict.status
    assert "this CPU has no float16, so that OpenVINO computes in float32" in verdict.message


def test_a_case_that_a_provider_leaves_to_the_cpu_is_declined() -> None:
    needs("onnxruntime")
    import onnxruntime

    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs a provider that computes nothing")
    case = Case.parse("conv2d:float32:x=2,2,4,5:w=2,2,2,3:integers@0")
    verdict, _ = judge_prepared(get("onnxruntime[provider=Azure]"), Prepared.of(case))

    assert ("unsupported", "Azure leaves it to the CPU provider") == (
        verdict.status,
        verdict.message,
    )


def needs(*engines: str) -> None:
    """Skip the test where one of the engines is not installed."""
    for engine in engines:
        if not get(engine).installed:
            pytest.skip(f"{engine} is not installed")


# --- what is overridden ---------------------------------------------------------------------------


def test_a_planted_fault_of_a_library_that_overrides_pytorch_is_found(call: Call) -> None:
    needs("torch")
    around = ("--around", "overriding:TailDropped")
    status, out, _ = call("run", "-i", "torch", *around, *TINY, "-o", "conv", "--check", "result")
    name = "torch[around=overriding:TailDropped]"

    assert 1 == status
    assert f"violates  {name}, conv: RESULT-2" in out
    assert f"convformance replay '{TAIL}' '{name}'" in out


def test_replay_and_the_script_enter_the_context_that_the_name_says(
    call: Call, tmp_path: Path
) -> None:
    needs("torch")
    name = "torch[around=overriding:TailDropped]"
    status, out, _ = call("replay", TAIL, name)
    source = out.partition(f"standalone script for {name}:\n\n")[2]
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert 1 == status
    assert f"{name}: violates RESULT-2: 1 of 3 elements differ" in out
    assert "differs by 5.0" in done.stdout


def test_an_operator_of_pytorch_that_a_library_replaces_is_the_one_judged(call: Call) -> None:
    needs("torch")
    case = "avg_pool2d:float32:x=1,1,2,2:kernel=2,2:padding=1/1,1/1:exclude_pad:integers@0"
    around = ("--around", "overriding:padding_always_counts")

    assert 0 == call("replay", case, "torch")[0]
    assert 1 == call("replay", case, "torch", *around)[0]


def test_a_device_that_an_imported_module_registers_is_judged(call: Call) -> None:
    needs("torch")
    backend = ("--import", "mine_backend")
    status, out, _ = call(
        "run", "-i", "torch[device=mine]", *backend, *TINY, "-o", "conv", "--check", "result"
    )
    name = "torch[device=mine,import=mine_backend]"

    assert 1 == status
    assert f"violates  {name}, conv: RESULT-2" in out
    assert f"convformance replay '{TAIL}' '{name}'" in out


def test_what_pytorch_does_as_well_is_known_and_what_the_library_does_is_not(
    copied_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("torch")
    monkeypatch.chdir(DATA)
    wrong = isolated(get("torch[around=overriding:TailDropped]"), None, Limits())
    subject = Subject.of(wrong, {})
    accepts = "conv2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=stride-too-short:integers@0"
    verdicts = [judge_prepared(wrong, Prepared.of(Case.parse(case)))[0] for case in (accepts, TAIL)]
    new, covered = subject.separate_known(verdicts)
    close_all()

    assert [VIOLATES, VIOLATES] == [verdict.status for verdict in verdicts]
    assert [TAIL] == [verdict.case.id for verdict in new]
    assert 1 == covered.total()


def test_a_known_difference_of_the_engine_hides_no_other_result_in_its_cases(
    copied_registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs("torch")
    zeros = (
        "import torch\n"
        "class Zeros(torch.overrides.TorchFunctionMode):\n"
        "    def __torch_function__(self, function, types, args=(), kwargs=None):\n"
        "        y = function(*args, **kwargs or {})\n"
        "        return y * 0 if function is torch.conv_transpose2d else y\n"
    )
    (tmp_path / "zeroing.py").write_text(zeros)
    monkeypatch.chdir(tmp_path)
    entry = next(e for e in get("torch").known if "conv_transpose2d:float16" in e.case)
    prepared, found = Prepared.of(entry.parsed), []
    for name in ("torch[import=json]", "torch[around=zeroing:Zeros]"):
        variant = isolated(get(name), None, Limits())
        verdict, _ = judge_prepared(variant, prepared)
        new, _ = Subject.of(variant, {}).separate_known(verdict.findings)
        found.append((verdict.status, len(new)))
    close_all()

    assert [(VIOLATES, 0), (VIOLATES, 1)] == found


def test_one_process_with_and_without_a_library_has_two_workers(
    copied_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("torch")
    monkeypatch.chdir(DATA)
    prepared, names = (
        Prepared.of(Case.parse(TAIL)),
        ("torch[around=overriding:TailDropped]", "torch"),
    )
    judges = [isolated(get(name), None, Limits()) for name in names * 2]
    statuses = [judge_prepared(judge, prepared)[0].status for judge in judges]
    close_all()

    assert [VIOLATES, CONFORMS] * 2 == statuses


def test_a_plugin_can_be_judged_inside_of_a_context(call: Call, tmp_path: Path) -> None:
    Path("pausing.py").write_text(
        "import contextlib, doubled\n"
        "@contextlib.contextmanager\n"
        "def twice():\n"
        "    doubled.factor = 2\n"
        "    yield\n"
    )
    Path("doubled.py").write_text(
        "from conformance import implementation\n"
        "factor = 1\n"
        '@implementation("doubled", dtypes="float32")\n'
        "def conv_bias_grad(grad):\n"
        "    return factor * grad.sum((0, *range(2, grad.ndim)))\n"
    )
    case, loaded = "conv_bias_grad2d:float32:x=1,1,1,2:integers@0", ("--plugin", "doubled.py")
    status, out, _ = call("replay", case, *loaded, "--around", "pausing:twice")

    assert 0 == call("replay", case, *loaded)[0]
    assert 1 == status
    assert "doubled[around=pausing:twice]: violates RESULT-" in out


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("overriding:nothing", "AttributeError: module 'overriding' has no attribute 'nothing'"),
        ("overriding:not_a_context", "TypeError: 'int' object is not callable"),
        ("nosuch_module:context", "ModuleNotFoundError: No module named 'nosuch_module'"),
        ("overriding", "there are around=MODULE:CONTEXT"),
    ],
)
def test_a_context_that_cannot_be_entered_is_one_line(call: Call, text: str, problem: str) -> None:
    needs("torch")
    status, out, err = call("run", "-i", "im2col", "--around", text, *TINY)

    assert (2, "") == (status, out)
    last = err.splitlines()[-1]
    assert last.startswith(f"convformance: error: implementation 'im2col[around={text}]': around=")
    assert problem in last


def test_what_changes_a_process_is_not_done_to_the_one_that_judges(call: Call) -> None:
    status, _, err = call("run", "-i", "im2col", "--import", "json", "--no-isolate", *TINY)

    assert 2 == status
    assert "is done in a worker; leave out --no-isolate (isolate=False)" in err


def test_a_timed_variant_has_the_pipe_of_a_worker_in_it_and_so_has_what_it_is_compared_to(
    call: Call,
) -> None:
    names = "im2col,im2col[import=json]"
    status, out, _ = call(
        "time", TAIL, "-i", names, "--rounds", "2", "--baseline", "im2col", "--json"
    )
    rows = json.loads(out)["timings"]

    assert 0 == status
    assert {"im2col", "im2col[import=json]"} == {row["implementation"] for row in rows}


# --- shown ----------------------------------------------------------------------------------------


def test_a_run_file_and_its_reports_carry_the_options(call: Call, tmp_path: Path) -> None:
    name = "im2col[import=json]"
    status, out, _ = call("run", "-i", name, *TINY, "-o", "conv", "--check", "result", "--json")
    report = json.loads(out)

    assert 0 == status
    (row,) = report["implementations"]
    assert (name, "import json") == (row["name"], row["settings"])
    markdown = (tmp_path / "convformance-run" / "report.md").read_text()
    assert name in html.unescape(markdown)


def test_a_replay_line_and_a_script_name_the_variant() -> None:
    variant, prepared = get("im2col[import=json]"), Prepared.of(Case.parse(TAIL))

    assert replay_command(variant, prepared.case).endswith("'im2col[import=json]'")
    assert "get('im2col[import=json]').functions['conv']" in script(variant, prepared)


def test_the_guide_has_the_options_that_are_listed(call: Call) -> None:
    status, out, _ = call("list", "--options")
    guide = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")

    assert 0 == status
    assert f"$ convformance list --options\n{out}```" in guide


def test_the_list_as_json_has_the_options_of_each_implementation(call: Call) -> None:
    rows = {row["name"]: row for row in json.loads(call("list", "--json")[1])["implementations"]}

    assert [] == rows["im2col"]["options"]
    assert {"device", "tf32", "compile"} < {option["name"] for option in rows["torch"]["options"]}


def test_each_option_says_what_it_does_and_its_default_is_one_of_its_values() -> None:
    listed = [option for offer in registry.in_use().offers().values() for option in offer.options]

    assert listed
    for option in listed:
        assert option.says.endswith(".")
        assert option.value(option.default) or not option.default
        assert option.value(option.bare) or not option.bare
        assert all(option.value(value) for value in option.values)


def test_an_executor_of_several_processes_finds_a_variant(call: Call) -> None:
    name = "im2col[import=json]"
    status, out, _ = call(
        "run", "-i", name, *TINY, "-o", "conv,avg_pool", "--check", "result", "-j", "2", "--json"
    )

    (row,) = json.loads(out)["implementations"]

    assert 0 == status
    assert {"conv", "avg_pool"} == {cell["operator"] for cell in row["cells"]}


def test_a_name_that_is_no_implementation_is_unknown_with_options_too() -> None:
    with pytest.raises(ConformanceError, match=r"implementation 'nosuch\[a=b\]' is unknown"):
        get("nosuch[a=b]")
