"""Modules: classes of layers in a line, and files that have a kernel beside what it replaces."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conformance
from conformance.case import Case
from conformance.cases import invalid
from conformance.cli import main
from conformance.errors import ConformanceError
from conformance.forms.model import load as load_model
from conformance.isolation.dispatch import close_all
from conformance.known.difference import KnownDifference
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import Registry, using
from conformance.runfile.words import CONFORMS, UNSUPPORTED, VIOLATES
from conformance.running.run import Run
from conformance.running.shared_known import shared_entries
from conformance.scripts.standalone import script_of
from conformance.testing import checks

torch = pytest.importorskip("torch")

CONV = "conv2d:float32:x=2,3,5,4:w=4,3,3,2:bias:stride=1,2:padding=1/1,0/0:integers@3"
FORWARD = {
    "conv": "conv{n}d:float32:x=1,4,{x}:w=6,2,{k}:bias:stride={s}:dilation={d}:groups=2:integers@1",
    "conv_transpose": "conv_transpose{n}d:float32:x=1,4,{x}:w=4,3,{k}:bias:stride={s}:groups=2:"
    "integers@1",
    "max_pool": "max_pool{n}d:float32:x=1,4,{x}:kernel={k}:stride={s}:dilation={d}:integers@1",
    "avg_pool": "avg_pool{n}d:float32:x=1,4,{x}:kernel={k}:stride={s}:integers@1",
}
AXES = {"x": "7,6,8", "k": "2,3,2", "s": "2,1,3", "d": "1,2,1"}
TORCH = {"conv": "Conv", "conv_transpose": "ConvTranspose", "max_pool": "MaxPool"}
TORCH |= {"avg_pool": "AvgPool"}
KERAS = {"conv": "Conv{}D", "conv_transpose": "Conv{}DTranspose", "max_pool": "MaxPool{}D"}
KERAS |= {"avg_pool": "AvgPool{}D"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with using(Registry()):
        yield tmp_path
    close_all()


def case_of(operator: str, dims: int) -> str:
    axes = {key: ",".join(text.split(",")[:dims]) for key, text in AXES.items()}
    return FORWARD[operator].format(n=dims, **axes)


class Own(torch.nn.Module):  # type: ignore[misc]
    """A layer with the constructor of Conv2d, and its parameters in a part."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if in_channels < 1 or out_channels < 1:
            raise ValueError("no channels")
        window = (stride, padding, dilation, groups, bias)
        self.part = torch.nn.Conv2d(in_channels, out_channels, kernel_size, *window)

    def forward(self, x: Any) -> Any:
        if x.ndim != 4 or 0 in x.shape[1:]:
            raise ValueError("x is (N, C, H, W)")
        return self.part(x)


class Numbers(torch.nn.Module):  # type: ignore[misc]
    """A layer whose constructor takes little: numbers, and no dilation, groups or bias."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(out_channels, in_channels, *[kernel_size] * 2))
        self.step = [stride] * 2
        assert isinstance(kernel_size + stride, int)

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.conv2d(x, self.weight, None, self.step)


class Plain(torch.nn.Module):  # type: ignore[misc]
    """A layer whose weight is no parameter, so that it has no derivative."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any) -> None:
        super().__init__()
        self.weight = torch.zeros(out_channels, in_channels, *kernel_size)

    def forward(self, x: Any) -> Any:
        with torch.no_grad():
            return torch.nn.functional.conv2d(x, self.weight)


class Stale(Own):
    """A layer that keeps the weight it was first called with."""

    def forward(self, x: Any) -> Any:
        if not hasattr(self, "kept"):
            self.kept = self.part.weight.detach().clone()
        self.part.weight.data = self.kept
        return super().forward(x)


class CachedByVersion(Own):
    """A layer that keeps something of its weight for as long as the weight is the same."""

    def forward(self, x: Any) -> Any:
        w = self.part.weight
        if getattr(self, "key", None) != (w.data_ptr(), w._version):
            self.kept, self.key = w.detach().clone(), (w.data_ptr(), w._version)
        own = self.part
        return torch.nn.functional.conv2d(
            x, self.kept, own.bias, own.stride, own.padding, own.dilation, own.groups
        )


# --- classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("operator", FORWARD)
def test_the_layers_of_torch_register_in_a_line(operator: str, dims: int) -> None:
    made = conformance.module("mine", getattr(torch.nn, f"{TORCH[operator]}{dims}d"))

    assert operator == made.operators[0]
    assert CONFORMS == conformance.judge(made, case_of(operator, dims)).status
    assert UNSUPPORTED == conformance.judge(made, case_of(operator, 4 - dims or 2)).status or (
        dims == 2
    )


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("operator", FORWARD)
def test_the_layers_of_keras_register_in_a_line(
    operator: str, dims: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "keras" not in sys.modules:
        monkeypatch.setenv("KERAS_BACKEND", "torch")  # which is imported already
    keras = pytest.importorskip("keras")
    if keras.backend.backend() not in ("tensorflow", "jax", "torch"):
        pytest.skip("this process has another backend of Keras")
    made = conformance.module("mine", getattr(keras.layers, KERAS[operator].format(dims)))
    case = case_of(operator, dims).replace(":groups=2", "").replace("w=6,2", "w=6,4")
    case = case.replace(":dilation=1,2", "").replace(":dilation=1", "")

    assert CONFORMS == conformance.judge(made, case).status


def test_several_classes_are_one_implementation() -> None:
    made = conformance.module("mine", torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.MaxPool2d)

    assert {"conv", "max_pool"} <= {*made.operators}
    assert CONFORMS == conformance.judge(made, case_of("conv", 1)).status
    assert CONFORMS == conformance.judge(made, case_of("conv", 2)).status
    assert CONFORMS == conformance.judge(made, case_of("max_pool", 2)).status
    assert UNSUPPORTED == conformance.judge(made, case_of("max_pool", 1)).status


@pytest.mark.parametrize("names", [None, {"weight": "part.weight", "bias": "part.bias"}])
def test_parameters_of_a_part_are_found_or_named(names: Any) -> None:
    assert CONFORMS == conformance.judge(conformance.module("mine", Own, names=names), CONV).status


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (CONV.replace(":bias", "").replace("padding=1/1,0/0:", ""), "only kernels of one size"),
        ("conv2d:float32:x=1,2,7,7:w=2,1,3,3:groups=2:integers@1", "no groups"),
        ("conv2d:float32:x=1,2,7,7:w=2,2,3,3:dilation=2,2:integers@1", "only dilation 1"),
        ("conv2d:float32:x=1,2,7,7:w=2,2,3,3:padding=1/1,1/1:integers@1", "no padding"),
        ("conv2d:float32:x=1,2,7,7:w=2,2,3,3:bias:integers@1", "no bias"),
    ],
)
def test_what_a_constructor_does_not_take_is_not_asked(case: str, reason: str) -> None:
    made = conformance.module("mine", Numbers)
    right = conformance.judge(made, "conv2d:float32:x=1,2,7,7:w=2,2,3,3:stride=2,2:integers@1")
    verdict = conformance.judge(made, case)

    assert CONFORMS == right.status
    assert UNSUPPORTED == verdict.status
    assert reason in verdict.message or "one number" in verdict.message


@pytest.mark.parametrize(
    "case",
    [
        "conv_input_grad2d:float32:x=2,3,5,4:w=4,3,3,2:stride=1,2:integers@3",
        "conv_weight_grad2d:float32:x=2,3,5,4:w=4,3,3,2:stride=1,2:integers@3",
        "conv_bias_grad2d:float32:x=2,3,5,4:integers@3",
    ],
)
def test_gradients_are_those_of_autograd(case: str) -> None:
    assert CONFORMS == conformance.judge(conformance.module("mine", Own), case).status


def test_a_layer_without_a_derivative_has_a_gap_unless_it_declares_one() -> None:
    case = "conv_input_grad2d:float32:x=2,3,5,4:w=4,3,3,2:integers@3"

    assert UNSUPPORTED == conformance.judge(conformance.module("mine", Plain), case).status
    declared = conformance.module("other", Plain, gradients="autograd")
    assert conformance.judge(declared, case).failed


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("operator", FORWARD)
def test_what_the_layer_of_torch_takes_or_refuses_a_class_may_as_well(
    operator: str, dims: int
) -> None:
    plain = type("Plain", (getattr(torch.nn, f"{TORCH[operator]}{dims}d"),), {})
    made = conformance.module("mine", plain)
    verdicts = [
        conformance.judge(made, case)
        for each in made.operators
        for case in invalid.cases(each, dims, made.dtypes)
    ]

    assert [] == [str(verdict) for verdict in verdicts if verdict.failed]
    assert 20 < sum(verdict.status == CONFORMS for verdict in verdicts)
    taken = "invalid, and taken by PyTorch's own layer as well"
    assert taken in {verdict.message for verdict in verdicts if verdict.status == UNSUPPORTED}


def test_a_function_may_take_what_the_function_of_torch_takes() -> None:
    mine = conformance.implementation("mine", arrays="torch", parameters="torch")
    mine.register("conv", lambda *given, **p: torch.nn.functional.conv2d(*given, **p))
    taken = "conv2d:float32:x=1,1,1,1:w=1,1,1,1:invalid={}:integers@0"

    for mistake in ("no-channels", "stride-too-short"):
        assert UNSUPPORTED == conformance.judge(mine, taken.format(mistake)).status
    assert CONFORMS == conformance.judge(mine, taken.format("stride-zero")).status


def test_a_valid_call_that_the_layer_of_torch_refuses_is_no_crash() -> None:
    case = "avg_pool3d:float32:x=1,1,1,1,1:kernel=1,1,2:padding=0/0,0/0,1/1:integers@0"
    verdict = conformance.judge(conformance.module("mine", torch.nn.AvgPool3d), case)

    assert UNSUPPORTED == verdict.status
    assert "PyTorch's own layer refuses it as well" == verdict.message


class Careless(Own):
    """A layer that answers whatever it is called with, and refuses what it should not."""

    def forward(self, x: Any) -> Any:
        if x.shape[-1] == 7:
            raise ValueError("no images of width 7")
        try:
            return super().forward(x)
        except (ValueError, RuntimeError):
            return x


@pytest.mark.parametrize(
    ("case", "requirement"),
    [
        ("conv2d:float32:x=1,1,2,7:w=1,1,1,1:integers@0", "DECLARE-1"),
        ("conv2d:float32:x=1,2,5,5:w=1,2,1,1:invalid=w-more-channels:integers@0", "REJECT-9"),
        ("conv2d:float32:x=1,2,5,5:w=1,2,1,1:invalid=w-too-large:integers@0", "REJECT-12"),
    ],
)
def test_what_the_layer_of_torch_does_better_a_class_has_to(case: str, requirement: str) -> None:
    assert requirement == conformance.judge(conformance.module("mine", Careless), case).requirement


def test_the_derivative_that_torch_writes_beside_memory_is_not_asked_unless_declared() -> None:
    case = "max_pool_grad1d:float64:x=2,1,2:kernel=2:padding=1/1:dilation=3:integers@0"
    other = "max_pool_grad1d:float64:x=2,1,6:kernel=2:padding=1/1:dilation=3:integers@0"
    made = conformance.module("mine", torch.nn.MaxPool1d)

    assert UNSUPPORTED == conformance.judge(made, case).status
    assert CONFORMS == conformance.judge(made, other).status


def test_what_is_known_of_the_gradients_of_torch_is_known_of_a_class_that_declares_none() -> None:
    case, reason = "conv2d:float32:x=1,1,1,1:w=1,1,1,1:integers@0", "the engine does that"
    gradient = case.replace("conv2d", "conv_weight_grad2d")
    where = {"operator": ("conv", "conv_weight_grad")}
    known = [
        KnownDifference("PROCESS-1", case=one, where=where, reason=reason)
        for one in (case, gradient)
    ]
    ends = case.replace("integers", "invalid=stride-zero:integers")
    known.append(KnownDifference("REJECT-3", case=ends, where=where, reason=reason, fatal=True))
    conformance.implementation("torch", known=known)
    undeclared, declared = (
        conformance.module(f"mine-{number}", Own, **further)
        for number, further in enumerate([{}, {"gradients": "autograd"}])
    )

    assert [gradient, ends] == [entry.case for entry in shared_entries(undeclared)]
    assert [ends] == [entry.case for entry in shared_entries(declared)]


def _run_of_repeated_calls(layer: type) -> conformance.Run:
    return conformance.run(
        conformance.module("mine", layer),
        operators="conv",
        dims=2,
        dtypes="float32",
        checks=["result", "repeat"],
        tier="smoke",
        examples=5,
        suites=(),
        isolate=False,
        cache=False,
    )


def test_a_layer_that_keeps_its_first_weight_is_found() -> None:
    run = _run_of_repeated_calls(Stale)

    assert not run.conforms
    assert {"REPEAT-2", "RESULT-2", "REPEAT-3"} & {v.requirement for v in run.violations}


def test_a_layer_that_asks_for_the_version_of_its_weight_conforms() -> None:
    run = _run_of_repeated_calls(CachedByVersion)

    assert not run.violations


@pytest.mark.parametrize(
    ("classes", "arguments", "said"),
    [
        ([], {}, "no class"),
        ([3], {}, "3 is no class"),
        ([dict], {}, "class dict: is no subclass of torch.nn.Module or keras.layers.Layer"),
        ([torch.nn.Linear], {}, "its constructor takes"),
        ([torch.nn.LPPool2d], {}, "is a pool of one kind or another"),
        ([torch.nn.Fold], {"operator": "conv"}, "its constructor has no"),
        ([Own], {"operator": "convolve"}, "allowed: conv, conv_transpose, max_pool, avg_pool"),
        ([Own], {"names": {"weight": "nowhere"}}, "it has no nowhere"),
        ([Own], {"names": {"kernel": "w"}}, "names has 'kernel'"),
        ([Own, torch.nn.Conv2d], {}, "two classes are conv in 2 dimensions"),
        ([Own], {"layuot": "NHWC"}, "'layuot' is no declaration"),
    ],
)
def test_a_class_that_cannot_be_called_is_one_line(classes: Any, arguments: Any, said: str) -> None:
    with pytest.raises(ConformanceError) as problem:
        conformance.module("mine", *classes, **arguments)

    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


# --- in a file ------------------------------------------------------------------------------------

MISTAKES = """
import torch
import conformance

F = torch.nn.functional

def ignores_dilation(x, w, bias, stride, padding, dilation, groups):
    due = F.conv2d(x, w, bias, stride, padding, dilation, groups)
    wrong = F.conv2d(x, w, bias, stride, padding, 1, groups)
    return wrong[..., : due.shape[2], : due.shape[3]].contiguous()

def loses_its_last_block(x, w, bias, stride, padding, dilation, groups):
    y = F.conv2d(x, w, bias, stride, padding, dilation, groups)
    y.view(-1)[y.numel() // 4 * 4 :] = 0
    return y

def pads_with_zeros(x, kernel_size, stride, padding, dilation, ceil_mode):
    if min(padding) < 0 or any(2 * p > k for p, k in zip(padding, kernel_size)):
        raise ValueError("padding")
    ends = [end for p in reversed(padding) for end in (p, p)]
    return F.max_pool2d(F.pad(x, ends), kernel_size, stride, 0, dilation, ceil_mode)

def loses_its_last_rows(x, kernel_size, stride, padding, dilation, ceil_mode):
    y = F.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)
    if y.shape[-1] % 4:
        y[..., y.shape[-1] // 4 * 4 :] = 0
    return y
"""
CONVS = ("ignores_dilation", "loses_its_last_block")
AS_FUNCTION = """
my = conformance.implementation("mine", arrays="torch", parameters="torch",
                                supports=conformance.only(dims=2))
my.register("{operator}", {name})
"""
AS_MODULE = {
    "conv": """
class MyConv2d(torch.nn.Conv2d):
    def forward(self, x):
        window = self.stride, self.padding, self.dilation, self.groups
        return {name}(x, self.weight, self.bias, *window)
conformance.module("mine", MyConv2d)
""",
    "max_pool": """
class MyMaxPool2d(torch.nn.MaxPool2d):
    def forward(self, x):
        window = self.kernel_size, self.stride, self.padding, self.dilation
        return {name}(x, *window, self.ceil_mode)
conformance.module("mine", MyMaxPool2d)
""",
}


def judged(**options: Any) -> Run:
    few = {"tier": "smoke", "dims": 2, "dtypes": "float32", "examples": 20, "checks": "result"}
    return conformance.run(**few | {"cache": False} | options)


SHOWN_BY = {
    "ignores_dilation": "conv2d:float32:x=1,1,1,3:w=1,1,1,2:dilation=1,2:integers@0",
    "loses_its_last_block": "conv2d:float32:x=1,1,1,3:w=1,1,1,1:integers@0",
    "pads_with_zeros": "max_pool2d:float32:x=1,1,1,2:kernel=1,2:padding=0/0,1/1:digits@2",
    "loses_its_last_rows": "max_pool2d:float32:x=1,1,1,3:kernel=1,1:integers@0",
}


@pytest.mark.parametrize("form", ["function", "module"])
@pytest.mark.parametrize("name", SHOWN_BY)
def test_a_mistake_is_caught_in_either_form_with_a_script_that_shows_it(
    name: str, form: str
) -> None:
    operator = "conv" if name in CONVS else "max_pool"
    glue = AS_FUNCTION if form == "function" else AS_MODULE[operator]
    Path("mistake.py").write_text(MISTAKES + glue.format(operator=operator, name=name))
    (mine,) = load_plugin("mistake.py")
    case = Case.parse(SHOWN_BY[name])
    verdict = conformance.judge(mine, case)
    script = script_of(mine, case, verdict)
    shown = run_script(script)

    assert VIOLATES == verdict.status
    assert "import torch" in script
    assert form == "function" or "layer = My" in script
    assert "differs by" in shown
    assert "differs by 0.0" not in shown


def test_a_run_prints_a_script_that_constructs_the_module() -> None:
    Path("mistake.py").write_text(MISTAKES + AS_MODULE["conv"].format(name=CONVS[0]))
    run = judged(plugins="mistake.py", operators="conv")
    (violation,) = run.violations

    assert "CONV-5" == violation.requirement
    assert "layer = MyConv2d(" in violation.script
    assert "differs by 0.0" not in run_script(violation.script)


# --- files of KernelBench's layout ----------------------------------------------------------------

BENCH = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, {parameters}):
        super().__init__()
        self.layer = {layer}

    def forward(self, x):
        return {forward}

class ModelNew(Model):
    pass

class Other(nn.Module):
    def __init__(self, *given):
        super().__init__()
        self.own = Model(*given).layer

    def forward(self, x):
        return self.own(x)

class Wrong(Model):
    def forward(self, x):
        self.layer.dilation = 1
        return super().forward(x)

class Little(Model):
    def __init__(self):
        super().__init__(1, 1)

def get_inputs():
    return [torch.rand({shape})]

def get_init_inputs():
    return [{given}]
"""
SQUARE = {
    "parameters": "inputs, outputs, k: int, s=1, pad=0, hole=1, parts=1, with_bias=False",
    "layer": "nn.Conv2d(inputs, outputs, (k, k), s, pad, hole, parts, with_bias)",
    "forward": "self.layer(x)",
    "shape": "16, 3, 256, 256",
    "given": "3, 64, 3",
}
DEPTHWISE = SQUARE | {
    "parameters": "channels, k, s=1, pad=0, hole=1",
    "layer": "nn.Conv2d(channels, channels, (k, 1), s, pad, hole, groups=channels)",
    "given": "3, 3",
}
AXES_APART = SQUARE | {
    "parameters": "i, o, kh, kw, sh, sw",
    "layer": "nn.ConvTranspose2d(i, o, (kh, kw), (sh, sw), padding=1, bias=False)",
    "given": "3, 4, 3, 5, 1, 2",
}
FIXED = SQUARE | {
    "parameters": "",
    "layer": "nn.Conv2d(3, 4, (3, 2), stride=2, padding=1)",
    "given": "",
}
POOL = SQUARE | {
    "parameters": "k, s=None, pad=0",
    "layer": "nn.AvgPool3d(k, s, pad)",
    "shape": "2, 3, 8, 8, 8",
    "given": "2",
}


def bench(**parts: str) -> str:
    Path("bench.py").write_text(BENCH.format(**SQUARE | parts))
    return "bench.py"


@pytest.mark.parametrize(
    ("parts", "case"),
    [
        (SQUARE, "conv2d:float32:x=2,4,9,9:w=6,2,3,3:bias:stride=2,2:dilation=2,2:groups=2:"),
        (DEPTHWISE, "conv2d:float32:x=2,4,9,9:w=4,1,3,1:bias:stride=2,2:groups=4:"),
        (AXES_APART, "conv_transpose2d:float32:x=1,2,4,5:w=2,3,2,4:stride=2,1:padding=1/1,1/1:"),
        (FIXED, "conv2d:float32:x=2,3,9,8:w=4,3,3,2:bias:stride=2,2:padding=1/1,1/1:"),
        (POOL, "avg_pool3d:float32:x=1,2,6,6,6:kernel=3,3,3:stride=3,3,3:padding=1/1,1/1,1/1:"),
    ],
    ids=["square", "depthwise", "axes apart", "fixed", "pool"],
)
@pytest.mark.parametrize("name", ["", ":Other"])
def test_what_a_constructor_sets_is_varied_and_what_model_keeps_is_kept(
    parts: dict[str, str], case: str, name: str
) -> None:
    made = load_model(bench(**parts) + name)
    case = f"{case}integers@1"

    assert [case.partition("2d")[0].partition("3d")[0]] == [*made.operators]
    assert CONFORMS == conformance.judge(made, case).status


@pytest.mark.parametrize(
    ("parts", "case", "reason"),
    [
        (SQUARE, "conv2d:float32:x=2,4,9,9:w=6,4,3,2:", "one size on every axis"),
        (DEPTHWISE, "conv2d:float32:x=2,4,9,9:w=8,1,3,1:groups=4:", "as many outputs as channels"),
        (DEPTHWISE, "conv2d:float32:x=2,4,9,9:w=4,1,3,3:groups=4:", "only kernel any,1"),
        (AXES_APART, "conv_transpose2d:float32:x=1,2,4,5:w=2,3,2,4:", "only padding"),
        (FIXED, "conv2d:float32:x=2,2,9,8:w=4,2,3,2:bias:", "only in_channels 3"),
        (SQUARE, "conv1d:float32:x=2,2,9:w=4,2,3:", "only 2 spatial dimensions"),
    ],
)
def test_what_model_cannot_be_is_not_asked(parts: Any, case: str, reason: str) -> None:
    verdict = conformance.judge(load_model(bench(**parts)), f"{case}integers@1")

    assert UNSUPPORTED == verdict.status
    assert reason in verdict.message


@pytest.mark.parametrize("parts", [SQUARE, DEPTHWISE, AXES_APART, FIXED, POOL])
def test_every_case_becomes_one_that_model_computes(parts: dict[str, str]) -> None:
    made = load_model(bench(**parts))
    (operator,), (dims,) = made.operators, made.supports.dims  # type: ignore[union-attr]
    case = Case.parse(case_of(operator, dims))
    steered = made.steered(case)

    assert steered is not None
    assert CONFORMS == conformance.judge(made, steered).status


def test_a_run_judges_the_class_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--tier", "smoke", "-o", "conv", "--dtype", "float32", "-n", "4", "--dims", "2"]
    few += ["--check", "result", "--suite", "none", "--no-cache", "--no-source"]
    name = f"{bench()}:Wrong"

    assert 1 == main(["run", "--module", name, *few])
    assert f"--module {Path('bench.py').resolve()}:Wrong" in capsys.readouterr().out


DILATED = "conv2d:float32:x=1,1,3,3:w=1,1,2,2:dilation=2,2:integers@0"


def test_replay_judges_the_class_of_a_file_with_a_script_that_constructs_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert 1 == main(["replay", DILATED, "--module", f"{bench()}:Wrong"])
    shown = capsys.readouterr().out
    assert "layer = Wrong(1, 1, 2, 1, 0, 2, 1, False)" in shown

    made = load_model("bench.py:Wrong")
    script = script_of(made, Case.parse(DILATED), conformance.judge(made, DILATED))
    assert "layer = Wrong(1, 1, 2, 1, 0, 2, 1, False)" in script
    assert "differs by 0.0" not in run_script(script)


def test_time_takes_the_class_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--rounds", "2", "--warmup", "1", "--seconds", "60", "--json"]
    layer = DILATED.replace("3,3", "9,9").replace("integers@0", "normal@0")

    assert 0 == main(["time", layer, "--module", bench(), "-i", "bench", *few])
    (timed,) = json.loads(capsys.readouterr().out)["timings"]
    assert "bench" == timed["implementation"]


@pytest.mark.parametrize("forgets", [False, True])
def test_pytest_items_judge_a_class(forgets: bool) -> None:
    layer = type("Forgets", (Own,), {"forward": forget}) if forgets else Own
    made = conformance.module("mine", layer)
    few = {"examples": 4, "suites": (), "dtypes": "float32", "source": False}
    (check,) = (one for one in checks(made, **few) if one.name == "conv2d-float32")

    if not forgets:
        check(made)
        return
    with pytest.raises(AssertionError, match="smallest case: conv2d"):
        check(made)


def forget(self: Own, x: Any) -> Any:
    """Return what a layer returns that has no bias."""
    bias, self.part.bias = self.part.bias, None
    y = Own.forward(self, x)
    self.part.bias = bias
    return y


def test_list_has_the_class_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["list", "--module", bench(), "--json"])

    listed = json.loads(capsys.readouterr().out)["implementations"]
    assert {"bench"} == {one["name"] for one in listed if one["arrays"] == "torch"} - {"torch"}


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (None, "", "no such file"),
        ("x = 1", "", "has no class Model"),
        ("import nowhere_to_be_found", "", "ModuleNotFoundError: No module named"),
        ({"forward": "torch.relu(self.layer(x))"}, "", "is not one convolution or pool: it is con"),
        ({"forward": "x.flip(2)"}, "", "it is flip"),
        ({}, ":Nobody", "has no class Nobody; there are ModelNew, Other, Wrong, Little"),
        ({}, ":Little", "the constructor of Little takes 0 arguments"),
        ({"given": ""}, "", "TypeError: missing a required argument"),
        ({"shape": "2, 3, 8, 8), torch.rand(3"}, "", "Model is called with 2 inputs"),
    ],
)
def test_a_file_that_does_not_say_what_is_due_is_one_line(
    text: Any, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if isinstance(text, dict):
        bench(**text)
    elif text is not None:
        Path("bench.py").write_text(text)

    with pytest.raises(ConformanceError) as problem:
        load_model(f"bench.py{name}")
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_mistake_in_a_file_ends_the_command_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["run", "--module", bench(forward="torch.relu(self.layer(x))")])

    error = capsys.readouterr().err.strip()
    assert "Model is not one convolution or pool: it is conv2d, relu" in error
    assert 1 == len(error.splitlines())


def test_a_missing_torch_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "missing").mkdir()
    (folder / "missing" / "torch.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    )
    monkeypatch.syspath_prepend(str(folder / "missing"))
    assert 2 == main(["list", "--module", bench()])
    error = capsys.readouterr().err.strip()
    assert "bench.py: ModuleNotFoundError: No module named 'torch'" in error
    assert 1 == len(error.splitlines())

    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(ConformanceError, match="needs PyTorch: pip install torch"):
        load_model("bench.py")


def run_script(script: str) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_correct_module_of_one_line_of_glue_has_no_violation() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    own = text[text.index("class Own") : text.index("class Numbers")]
    glue = 'conformance.module("mine", Own)'
    Path("mine.py").write_text(f"import torch, conformance\nfrom typing import Any\n{own}{glue}\n")
    few: Any = {"checks": None, "suites": (), "source": False}
    run = judged(plugins="mine.py", operators="conv", **few)

    assert [] == [str(violation) for violation in run.violations]
    assert run.conforms
