"""One's own model: its convolutions and pools as a suite, and the model on another kernel."""

from __future__ import annotations

import inspect
import json
import math
import re
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import conformance
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.validity import parse_valid, validate
from conformance.cli import main
from conformance.errors import CaseError, ConformanceError, SpecError
from conformance.isolation.dispatch import close_all
from conformance.models.collecting import Calls, unlike
from conformance.registration.registry import get
from conformance.reports import load as load_report
from conformance.reports.calls import sentences
from conformance.signatures import NOT_ONE
from conformance.spec import OWN, Spec, load
from conformance.spec.suite import Suite, SuiteCase

torch = pytest.importorskip("torch")


class Network(torch.nn.Module):  # type: ignore[misc]
    """Two equal layers, a pool that is called by its function, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(4, 4, 3, padding="same", dilation=2, groups=2, bias=False),
            torch.nn.ReLU(),
            torch.nn.Conv2d(4, 4, 3, padding="same", dilation=2, groups=2, bias=False),
        )
        self.up = torch.nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1)
        self.head = torch.nn.AdaptiveAvgPool2d(2)

    def forward(self, x: Any) -> Any:
        x = torch.nn.functional.max_pool2d(self.body(self.stem(x)), 3, 2, 1, ceil_mode=True)
        return self.head(self.up(x)[..., :4, :4])


@pytest.fixture(scope="module")
def traced() -> Suite:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return conformance.trace(Network(), torch.randn(2, 3, 13, 12))


def entry(suite: Suite, name: str) -> SuiteCase:
    (found,) = (one for one in suite.cases if one.name == name)
    return found


def reread(suite: Suite, folder: Path) -> Suite:
    suite.save(folder / "model.toml")
    return load(folder / "model.toml").suite(OWN)


def test_each_distinct_call_of_a_model_is_a_case_with_its_layers_and_count(traced: Suite) -> None:
    cases = {one.name: one.case for one in traced.cases}

    pair = ((1, 1), (1, 1))
    wide = ((2, 2), (2, 2))
    assert cases == {
        "stem": Case(
            operator="conv", x=(2, 3, 13, 12), w=(4, 3, 3, 3), bias=True, stride=(2, 2),
            padding=pair,
        ),
        "body.0": Case(
            operator="conv", x=(2, 4, 7, 6), w=(4, 2, 3, 3), padding=wide, dilation=(2, 2),
            groups=2,
        ),
        "max_pool": Case(
            operator="max_pool", x=(2, 4, 7, 6), kernel=(3, 3), stride=(2, 2), padding=pair,
            ceil_mode=True,
        ),
        "up": Case(
            operator="conv_transpose", x=(2, 4, 4, 4), w=(4, 2, 3, 3), bias=True, stride=(2, 2),
            padding=pair, output_padding=(1, 1),
        ),
        "head": Case(operator="avg_pool", x=(2, 2, 4, 4), kernel=(2, 2), stride=(2, 2)),
    }  # fmt: skip
    both = entry(traced, "body.0")
    assert (2, ("body.0", "body.2")) == (both.count, both.layers)


def test_the_ranges_of_a_call_are_those_of_its_numbers(traced: Suite) -> None:
    model = torch.nn.Conv1d(2, 3, 2)
    x = torch.tensor([[[-3.0, 0.0, 0.5, 4.0], [1.0, 1.0, 1.0, 1.0]]])
    (only,) = conformance.trace(model, x).cases

    squares = (9 + 0.25 + 16 + 4) / 8
    assert only.ranges[0] == (-3.0, 4.0, float(f"{math.sqrt(squares):.4g}"))
    for name, measured in zip(("weight", "bias"), only.ranges[1:], strict=True):
        values = getattr(model, name)
        assert measured[:2] == pytest.approx((values.min().item(), values.max().item()), rel=1e-3)
    assert all(len(one.ranges) == 2 + one.case.bias for one in traced.cases if one.case.w)


def test_a_suite_of_a_model_is_a_spec_file_that_reads_back(traced: Suite, tmp_path: Path) -> None:
    again = reread(traced, tmp_path)

    assert traced.cases == again.cases
    assert str(traced).partition("\n")[2] == str(again).partition("\n")[2]


def test_what_is_no_call_of_an_operator_is_listed_with_the_reason(tmp_path: Path) -> None:
    def model(x: Any) -> Any:
        torch.nn.functional.avg_pool2d(x, 2, divisor_override=3)
        torch.nn.functional.adaptive_avg_pool2d(x, 3)
        torch.conv_tbc(x[0], torch.ones(1, 5, 2), torch.ones(2))
        return torch.nn.functional.conv2d(x.to(torch.complex64), torch.ones(1, 2, 1, 1) * 1j)

    suite = conformance.trace(model, torch.ones(1, 2, 5, 5))

    assert {
        "avg_pool2d": "divisor_override",
        "_adaptive_avg_pool2d": "windows of several sizes",
        "conv_tbc": NOT_ONE,
        "conv2d": "conv is not defined for complex64",
    } == {other.name: other.why for other in suite.others}
    assert suite.others == reread(suite, tmp_path).others


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantised_convolutions_are_listed() -> None:
    layer = torch.ao.nn.quantized.Conv2d(2, 3, 1)

    def model(x: Any) -> Any:
        return layer(torch.quantize_per_tensor(x, 0.1, 0, torch.quint8))

    (other,) = conformance.trace(model, torch.ones(1, 2, 4, 4)).others
    assert "quantized::conv2d" == other.name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_calls_are_seen_in_scripted_compiled_and_cast_models() -> None:
    model, x = (
        torch.nn.Sequential(torch.nn.Conv1d(2, 3, 2), torch.nn.MaxPool1d(2)),
        torch.ones(1, 2, 6),
    )
    plain = [one.case for one in conformance.trace(model, x).cases]
    scripted = conformance.trace(torch.jit.trace(model, x), x)
    compiled = conformance.trace(torch.compile(model), x)
    with torch.inference_mode():
        inferred = conformance.trace(model, x)
    with torch.autocast("cpu", torch.bfloat16):
        cast = conformance.trace(model, x)

    assert 2 == len(plain)
    assert [c.operator for c in plain] == [one.case.operator for one in scripted.cases]
    for suite in (compiled, inferred):
        assert plain == [one.case for one in suite.cases]
    assert "bfloat16" == cast.cases[0].dtype


def test_a_call_that_is_read_wrongly_is_no_case_but_listed() -> None:
    case = Case(operator="conv", x=(1, 2, 6), w=(2, 2, 3), padding=((1, 0),))
    x, w, _ = make_inputs(case)
    output = np.zeros((1, 2, 5), np.float32)
    for p in range(5):  # padded before, not after
        part = np.pad(x, ((0, 0), (0, 0), (1, 0)))[..., p : p + 3]
        output[0, :, p] = np.einsum("ck,ock->o", part[0], w)
    other = case.replace(padding=((0, 1),))

    assert "" == unlike(case, (x, w, None), output)
    assert "its output is not that of the operator" == unlike(other, (x, w, None), output)
    calls = Calls()
    calls.add("layer", other, (x, w, None), output)
    assert [] == [*calls.suite("mine").cases]
    assert ["conv1d"] == [one.name for one in calls.suite("mine").others]


def test_a_model_of_keras_is_traced_with_its_padding_and_layers() -> None:
    keras = pytest.importorskip("keras")
    layers = keras.layers
    x = keras.Input((9, 9, 3))
    y = layers.Conv2D(4, 3, strides=2, padding="same", name="stem")(x)
    y = layers.SeparableConv2D(6, 2, padding="same", name="separable")(y)
    y = layers.Conv2DTranspose(2, 3, strides=2, padding="same", name="up")(y)
    y = layers.AveragePooling2D(3, 2, padding="same", name="shrink")(y)
    model = keras.Model(x, layers.GlobalMaxPooling2D(name="head")(y), name="mine")
    suite = conformance.trace(model, np.random.default_rng(1).standard_normal((2, 9, 9, 3), "f"))
    last = ((0, 1), (0, 1))
    cases = {one.name: one.case for one in suite.cases}

    assert "mine" == suite.name
    assert () == suite.others
    assert ["stem", "separable", "separable #2", "up", "shrink", "head"] == [*cases]
    assert ((1, 1), (1, 1)) == cases["stem"].padding
    assert (4, (4, 1, 2, 2), last) == (
        cases["separable"].groups,
        cases["separable"].w,
        cases["separable"].padding,
    )
    assert ((4, 2, 3, 3)[1:], last) == ((cases["up"].w or ())[1:], cases["up"].padding)
    assert not cases["shrink"].count_include_pad
    assert ((5, 5), "max_pool") == (cases["head"].kernel, cases["head"].operator)


def onnx_file(path: Path, batch: int | str) -> Path:
    onnx = pytest.importorskip("onnx")
    helper, rng = onnx.helper, np.random.default_rng(0)
    weights = {"w": (4, 3, 4, 4), "b": (4,), "v": (4, 2, 3, 3)}
    window = {"kernel_shape": [3, 3], "strides": [2, 2]}
    graph = helper.make_graph(
        [
            helper.make_node(
                "Conv", ["x", "w", "b"], ["y"], "stem", auto_pad="SAME_LOWER", kernel_shape=[4, 4]
            ),
            helper.make_node("MaxPool", ["y"], ["p"], "pool", pads=[0, 0, 1, 1], **window),
            helper.make_node(
                "ConvTranspose", ["p", "v"], ["u"], "up", auto_pad="SAME_UPPER", **window
            ),
            helper.make_node("LpPool", ["u"], ["l"], "lp", kernel_shape=[2, 2]),
            helper.make_node("GlobalAveragePool", ["l"], ["z"], "head"),
        ],
        "mine",
        [helper.make_tensor_value_info("x", 1, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("z", 1, [batch, 2, 1, 1])],
        [
            onnx.numpy_helper.from_array(rng.standard_normal(shape).astype("f"), name)
            for name, shape in weights.items()
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def test_an_onnx_file_is_traced_with_inputs_or_by_its_shapes_alone(
    tmp_path: Path, monkeypatch: Any
) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("f")
    path = onnx_file(tmp_path / "net.onnx", "N")
    suite = conformance.trace(path, x)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    by_evaluator = conformance.trace(str(path), x)
    inferred = conformance.trace(onnx_file(tmp_path / "fixed.onnx", 2))
    cases = {one.name: one.case for one in suite.cases}

    assert "net" == suite.name
    assert ["stem", "pool", "up", "head"] == [*cases]
    assert ((2, 1), (2, 1)) == cases["stem"].padding
    assert ((0, 1), (0, 1)) == cases["up"].padding
    assert ["LpPool"] == [other.name for other in suite.others]
    assert suite.cases[0].ranges
    for other in (by_evaluator, inferred):
        assert [*cases.values()] == [one.case for one in other.cases]
    assert not inferred.cases[0].ranges


def test_the_examples_of_the_page_about_models_are_what_it_says(
    tmp_path: Path, monkeypatch: Any, capsys: Any, copied_registry: Any
) -> None:
    text = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    right, wrong, substituted = (
        " ".join(part.split()) for part in re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    )
    table, *_ = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        exec("\n".join(programs), {})

    assert capsys.readouterr().out.endswith(f"{substituted}\n")
    for sentence, chosen in ((right, ["-i", "im2col"]), (wrong, ["--plugin", WRONG])):
        main(["run", "--json", "--suite", "my_model.toml", *chosen])
        assert [sentence] == json.loads(capsys.readouterr().out)["models"]
    written = (tmp_path / "my_model.toml").read_text(encoding="utf-8")
    (shown,), made = tomllib.loads(table)["case"], tomllib.loads(written)["case"]
    (same,) = (one for one in made if one["name"] == shown["name"])
    for array, measured in shown.pop("ranges").items():
        assert measured == pytest.approx(same["ranges"][array], rel=0.01)
    del same["ranges"]
    assert shown == same


def test_what_cannot_be_traced_is_said_in_one_line(tmp_path: Path) -> None:
    fine = onnx_file(tmp_path / "net.onnx", "N")
    (tmp_path / "broken.onnx").write_bytes(b"no file of ONNX")
    x = np.zeros((1, 3, 8, 8), "f")
    for model, inputs, text in [
        (3, (), "trace: int is no model; hand over a torch.nn.Module"),
        (lambda x: x + 1, (torch.ones(2),), "makes no call of a convolution or a pool"),
        (tmp_path / "none.onnx", (), "no such file; name an ONNX file"),
        (tmp_path / "broken.onnx", (), "is no ONNX file that can be read"),
        (fine, (), "the shape of x is (N, 3, 8, 8); hand over the inputs as well"),
        (fine, (x, x), "2 inputs; it takes 1: x"),
        (fine, (x[:, :2],), "cannot be run on these inputs"),
    ]:
        with pytest.raises(ConformanceError) as caught:
            conformance.trace(model, *inputs)
        assert text in str(caught.value)
        assert 1 == len(str(caught.value).splitlines())


@settings(deadline=None)
@given(
    least=st.floats(-1e4, 1e4),
    width=st.floats(0, 1e4),
    share=st.floats(0.01, 1.0),
    dtype=st.sampled_from(["float16", "bfloat16", "float32", "float64"]),
)
def test_measured_data_lies_in_its_range(
    least: float, width: float, share: float, dtype: str
) -> None:
    most = least + width
    ranges = ((least, most, share * max(abs(least), abs(most))), (-1.0, 1.0, 0.5))
    case = Case(
        operator="conv", x=(2, 3, 9), w=(2, 3, 2), data="measured", ranges=ranges, dtype=dtype
    )
    x, w, _ = (None if a is None else a.astype(np.float64) for a in make_inputs(case))
    assert x is not None
    assert w is not None
    low, high = case.ranges[0][:2]

    assert case == parse_valid(case.id)
    assert (low, high) == pytest.approx((x.min(), x.max()), rel=0.01, abs=1e-6)
    assert (-1, 1) == (w.min(), w.max())
    assert case.replace(data="integers") == parse_valid(case.replace(data="integers").id)


def test_measured_data_has_about_the_mean_square_of_its_range() -> None:
    case = Case(operator="max_pool", x=(4, 8, 20, 20), kernel=(2, 2), data="measured")
    for measured in [(0.0, 6.0, 1.5), (-3.0, 2.0, 0.5), (-1.0, 0.0, 0.9)]:
        (x,) = make_inputs(case.replace(ranges=(measured,)))

        assert measured[2] == pytest.approx(float(np.sqrt(np.mean(x**2))), rel=0.1)


@pytest.mark.parametrize(
    "ranges", [(), ((0, 1, 1),), ((2, 1, 1), (0, 1, 1)), ((0, math.inf, 1), (0, 1, 1))]
)
def test_measured_data_needs_a_range_of_each_array(ranges: Any) -> None:
    with pytest.raises(CaseError, match=r"ranges=.*; allowed: least/greatest/root of the mean"):
        validate(Case(operator="conv", x=(1, 1, 3), w=(1, 1, 1), data="measured", ranges=ranges))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('dtype = "float23"', 'dtype = "float23"; allowed: one of float32, float64'),
        ("ranges = {x = [0, 1, 1]}", "ranges without a dtype; allowed: beside one of float32"),
        (
            'dtype = "float32"\nranges = {x = [0, 1, 1]}',
            "ranges: w = null; allowed: [least, greatest, root of the mean square]",
        ),
        (
            'dtype = "float32"\nranges = {x = [1, 0, 1], w = [0, 1, 1]}',
            "x = [1, 0, 1]; allowed: [least, greatest, root of the mean square], finite numbers",
        ),
        (
            'dtype = "float32"\nranges = {y = [0, 1, 1]}',
            'ranges: field "y" is unknown; allowed: x, w',
        ),
        ('layers = "one"', 'layers = "one"; allowed: a list of texts in quotes'),
        ('[[other]]\nname = "conv3"', "[[other]] number 1: why is missing; allowed: name and why"),
    ],
)
def test_mistakes_in_a_suite_of_a_model_are_said(tmp_path: Path, field: str, text: str) -> None:
    head = '[[case]]\nname = "a"\noperator = "conv"\nx = [1, 2, 5]\nw = [1, 2, 2]\n'
    (tmp_path / "model.toml").write_text(head + field)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "model.toml")

    assert text in str(caught.value)


def test_a_case_of_a_model_is_judged_in_its_dtype_on_exact_data_and_that_of_its_ranges(
    traced: Suite,
) -> None:
    stem = entry(traced, "stem")

    assert [
        ("float32", "integers"),
        ("float32", "digits"),
        ("float32", "normal"),
        ("float32", "measured"),
    ] == [(case.dtype, case.data) for case in stem.expand(["float64", "float16"])]
    assert isinstance(load(None), Spec)
    for case in stem.expand([]):
        assert "conforms" == conformance.judge("im2col", case).status


# --- judging the calls of a model -----------------------------------------------------------------

WRONG = str(Path(__file__).parents[1] / "examples" / "ignores_dilation.py")
MODEL = """
[[case]]
name = "stem"
operator = "conv"
x = [1, 3, 12, 12]
w = [4, 3, 3, 3]
stride = [2, 2]
dtype = "float32"
ranges = {x = [-3.0, 4.0, 1.0], w = [-0.5, 0.5, 0.25]}
count = 3
layers = ["stem", "again"]

[[case]]
name = "wide"
operator = "conv"
x = [1, 4, 9, 9]
w = [4, 4, 3, 3]
dilation = [2, 2]
dtype = "float32"
ranges = {x = [0.0, 4.0, 1.0], w = [-0.5, 0.5, 0.25]}
layers = ["wide"]

[[case]]
name = "large"
operator = "conv"
x = [1, 32, 40, 40]
w = [64, 32, 3, 3]
dtype = "float32"
ranges = {x = [0.0, 4.0, 1.0], w = [-0.5, 0.5, 0.25]}
layers = ["large"]

[[case]]
name = "shrink"
operator = "max_pool"
x = [1, 4, 9, 9]
kernel = [2, 2]
dtype = "float32"
layers = ["shrink"]

[[other]]
name = "quantized::conv2d"
why = "it is no conv"
layers = ["quantised"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Any, copied_registry: Any) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    Path("my_model.toml").write_text(MODEL)
    yield tmp_path
    close_all()


def test_a_suite_in_a_file_is_all_that_is_judged_and_told_call_by_call(
    folder: Path, capsys: Any
) -> None:
    assert 1 == main(["run", "--json", "--suite", "my_model.toml", "--plugin", WRONG])
    told = json.loads(capsys.readouterr().out)
    calls = {call["call"]: call for call in told["calls"]}
    (cells,) = (one["cells"] for one in told["implementations"])

    assert [("conv", "float32", 3 * 4 - 1)] == [
        (cell["operator"], cell["dtype"], cell["planned"])
        for cell in cells
        if cell["operator"] == "conv"
    ]
    assert {
        "stem": ("conforms", "", 4),
        "wide": ("violates", "CONV-5", 4),
        "large": ("conforms", "", 3),
        "shrink": ("unsupported", "", 0),
        "quantized::conv2d": ("no call of an operator", "", 0),
    } == {n: (call["status"], call["requirement"], call["judged"]) for n, call in calls.items()}
    assert (3, 2) == (calls["stem"]["count"], calls["stem"]["layer_count"])
    assert [
        "ignores-dilation is wrong in 1 of 4 distinct calls, 1 of 5 layers, of my_model: wide "
        "(CONV-5); not computed: shrink; no call of an operator, and not judged: quantized::conv2d."
    ] == told["models"]
    for report in ("report.md", "report.html"):
        text = (folder / "convformance-run" / report).read_text("utf-8")
        assert "of my_model: wide (CONV-5)" in text


def test_a_model_whose_calls_all_conform_is_said_to_be_right_for_it(
    folder: Path, capsys: Any
) -> None:
    assert 0 == main(["run", "--suite", "my_model.toml", "-i", "im2col"])

    assert (
        "im2col is right for my_model: 4 distinct calls of 5 layers judged, all conform; no call "
        "of an operator, and not judged: quantized::conv2d."
    ) in " ".join(capsys.readouterr().out.split())


def test_what_is_wrong_in_the_numbers_of_the_model_alone_is_found(folder: Path) -> None:
    from conformance.implementations.im2col import conv as right

    @conformance.implementation("clips-at-six", supports=lambda case: case.dims == 2)
    def conv(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
        clipped = np.where((x > 6) & (x != np.round(x)), np.float32(6), x)
        return right(clipped, w, bias, **parameters)

    stem = MODEL[: MODEL.index("[[case]]", 10)]
    high = stem.replace("4.0, 1.0", "8.0, 3.0").replace('"stem"', '"high"', 1)
    Path("two.toml").write_text(stem + high)
    run = conformance.run("clips-at-six", suites=Path("two.toml"), isolate=False)

    status = {row["call"]: row["status"] for row in run.rows("call")}
    assert {"stem": "conforms", "high": "violates"} == status


def test_what_the_budget_leaves_out_of_a_model_is_said(folder: Path, copied_registry: Any) -> None:
    @conformance.implementation("slow", work_seconds=1e-3)
    def conv(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
        return right_conv()(x, w, bias, **parameters)

    run = conformance.run("slow", suites="my_model.toml", isolate=False)
    (sentence,) = sentences(load_report(run.path))

    assert "slow is right in 3 of 4 distinct calls, 4 of 5 layers, of my_model" in sentence
    assert "not computed: shrink" in sentence
    assert "in part: large (" in sentence


def test_the_suite_of_a_trace_can_be_run_as_it_is(folder: Path, traced: Suite) -> None:
    run = conformance.run("im2col", suites=traced, dtypes=None)

    assert run.conforms
    assert {one.name for one in traced.cases} == {row["call"] for row in run.rows("call")}
    assert {"conforms"} == {row["status"] for row in run.rows("call")}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_large_calls_are_judged_in_the_dtype_of_the_model(folder: Path, dtype: str) -> None:
    _, _, large = MODEL.partition('[[case]]\nname = "large"')
    large = large.partition("\n[[")[0].replace("float32", dtype)
    Path("half.toml").write_text(f'[[case]]\nname = "large"{large}')
    run = conformance.run("im2col", suites="half.toml")
    (layer,) = run.rows("layer")
    (call,) = run.rows("call")

    assert {dtype} == {cell.dtype for cell in run.cells if cell.planned}
    assert ("conforms", 1.0) == (layer["status"], layer["share"])
    assert ("conforms", 1.0, dtype) == (call["status"], call["share"], call["dtype"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "--suite", "none.toml"], "none.toml: no such file; allowed: a TOML file"),
        (["run", "--suite", "bad.toml"], "bad.toml: not TOML: "),
        (["run", "--suite", "edge.toml"], "edge.toml: a suite edge is there already; allowed: a"),
        (["run", "--suite", "empty.toml"], "suite empty: no call of it is one of an operator"),
        (["run", "--suite", "my_model.toml", "-n", "9"], "examples=9, and a file of a suite"),
        (["replay", "--suite", "my_model.toml", "stm"], "call 'stm' is unknown; did you mean stem"),
    ],
)
def test_a_bad_suite_is_one_line_and_status_2(
    folder: Path, capsys: Any, arguments: list[str], text: str
) -> None:
    Path("bad.toml").write_text("[[case]\n")
    Path("edge.toml").write_text(MODEL)
    Path("empty.toml").write_text('[[other]]\nname = "a"\nwhy = "b"\n')
    chosen = ["-i", "im2col"] if arguments[0] == "run" else ["im2col"]

    assert 2 == main([*arguments, *chosen])
    said = capsys.readouterr().err
    assert text in said
    assert 1 == len(said.splitlines())


def test_a_call_of_a_suite_is_replayed_by_its_name(folder: Path, capsys: Any) -> None:
    replay = ["replay", "--suite", "my_model.toml"]

    assert 1 == main([*replay, "wide", "--plugin", WRONG])
    assert "conv2d:float32:x=1,4,9,9:w=4,4,3,3:dilation=2,2:integers@0" in capsys.readouterr().out
    assert 0 == main([*replay, "large", "im2col"])
    assert "im2col: conforms" in capsys.readouterr().out


# --- the model on another kernel ------------------------------------------------------------------


def right_conv() -> Any:
    from conformance.implementations.im2col import conv

    return conv


@pytest.fixture
def network() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Network().eval()


@pytest.fixture
def image() -> Any:
    return torch.from_numpy(np.random.default_rng(5).standard_normal((2, 3, 13, 12), "f"))


@torch.no_grad()
def test_a_model_runs_on_a_right_kernel_with_every_call_judged(network: Any, image: Any) -> None:
    own = network(image)
    with conformance.substituted("im2col") as report:
        output = network(image)

    assert ["stem", "body.0", "body.2", "max_pool", "up", "head"] == [c.layer for c in report.calls]
    assert report.conforms
    assert report.first is None
    assert "im2col: 6 of 6 calls of 6 layers conform" == str(report)
    assert torch.allclose(own, output, atol=1e-5)
    assert all(parse_valid(call.case.id) == call.case for call in report.calls)


@torch.no_grad()
def test_the_first_layer_that_differs_is_named(
    network: Any, image: Any, copied_registry: Any
) -> None:
    @conformance.implementation("one-off")
    def conv(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
        output = right_conv()(x, w, bias, **parameters)
        if parameters["groups"] > 1:
            output[-1, 0, 2, 1] *= np.float32(1.0001)
        return output

    with conformance.substituted("one-off") as report:
        network(image)

    assert not report.conforms
    assert report.first is not None
    assert "body.0" == report.first.layer
    assert ["body.0", "body.2"] == [call.layer for call in report.failing]
    assert (1, 0, 2, 1) == report.first.verdict.at
    assert "one-off: 1 of 6 calls of 6 layers conform; the first that does not is body.0" in str(
        report
    )
    assert "max_pool: not computed: has no max_pool" in str(report)


@torch.no_grad()
def test_what_a_kernel_raises_is_told_and_the_library_goes_on(
    network: Any, image: Any, copied_registry: Any
) -> None:
    @conformance.implementation("raises")
    def conv(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
        raise ValueError("no such stride")

    own = network(image)
    with conformance.substituted("raises") as report:
        output = network(image)

    assert report.first is not None
    assert "no such stride" in report.first.verdict.message
    assert torch.equal(own, output)


@torch.no_grad()
@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv2d(4, 6, (3, 2), (2, 1), padding=(4, 1), dilation=(2, 1), groups=2),
        torch.nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2),
        torch.nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        torch.nn.AvgPool2d(2, 2, 1, ceil_mode=True, count_include_pad=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_large_calls_are_judged_in_parts_with_every_element(
    monkeypatch: Any, copied_registry: Any, layer: Any, wrong: bool
) -> None:
    monkeypatch.setattr("conformance.models.substituted._GATHERED", 200)
    engine = get("im2col")
    made = conformance.implementation("changed")
    place = (1, 3, 2, 4)

    def changing(name: str) -> Any:
        def function(*arguments: Any, **parameters: Any) -> Any:
            output = engine.functions[name](*arguments, **parameters)
            output[place] += np.float32(0.01 * wrong)
            return output

        function.__name__ = name
        function.__signature__ = inspect.signature(engine.functions[name])  # type: ignore[attr-defined]
        return function

    for name in ("conv", "conv_transpose", "max_pool", "avg_pool"):
        made(changing(name))
    x = torch.from_numpy(np.random.default_rng(5).standard_normal((2, 4, 9, 11), "f"))
    with conformance.substituted("changed") as report:
        layer(x)

    assert ["violates" if wrong else "conforms"] == [c.verdict.status for c in report.calls]
    assert wrong == ("in the part [1:2, " in str(report))


@torch.no_grad()
def test_calls_of_scripted_models_and_of_kernels_over_tensors_are_substituted(
    copied_registry: Any,
) -> None:
    @conformance.implementation("tensors", arrays="torch", parameters="torch")
    def conv(
        x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        assert isinstance(x, torch.Tensor)
        return torch.nn.functional.conv1d(x, w, bias, stride, padding, dilation, groups)

    model, x = (
        torch.nn.Sequential(torch.nn.Conv1d(2, 3, 2), torch.nn.MaxPool1d(2)),
        torch.ones(1, 2, 6),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(model, x)
    for one in (model, scripted):
        with conformance.substituted("tensors") as report:
            output = one(x)

        assert ["conforms", "unsupported"] == [call.verdict.status for call in report.calls]
        assert (1, 3, 2) == output.shape


@torch.no_grad()
def test_numbers_that_are_not_finite_are_judged_as_such() -> None:
    layer, x = torch.nn.Conv2d(2, 3, 2), torch.ones(1, 2, 4, 4)
    x[0, 1, 2, 2] = math.nan
    with conformance.substituted("im2col") as report:
        layer(x)

    assert [("conforms", "nan")] == [(c.verdict.status, c.case.data) for c in report.calls]


def test_a_model_of_keras_runs_on_another_kernel(copied_registry: Any) -> None:
    keras = pytest.importorskip("keras")
    x = keras.Input((9, 9, 3))
    y = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="stem")(x)
    y = keras.layers.MaxPooling2D(2, name="shrink")(y)
    model = keras.Model(x, keras.layers.GlobalAveragePooling2D(name="head")(y))
    image = np.random.default_rng(1).standard_normal((2, 9, 9, 3), "f")
    own = np.array(keras.ops.convert_to_numpy(model(image)))
    with conformance.substituted("im2col") as report:
        output = np.array(keras.ops.convert_to_numpy(model(image)))

    assert ["stem", "shrink", "head"] == [call.layer for call in report.calls]
    assert report.conforms
    assert np.allclose(own, output, atol=1e-5)


def test_an_unknown_kernel_cannot_be_substituted() -> None:
    with (
        pytest.raises(ConformanceError, match="implementation 'im2cl' is unknown; did you mean"),
        conformance.substituted("im2cl"),
    ):
        raise AssertionError("nothing is run")


def test_a_model_of_onnx_runs_on_a_kernel_in_onnxs_own_evaluator(
    tmp_path: Path, copied_registry: Any
) -> None:
    path = onnx_file(tmp_path / "net.onnx", "N")
    from onnx.reference import ReferenceEvaluator

    @conformance.implementation("one-off-onnx")
    def conv(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
        return right_conv()(x, w, bias, **parameters) * np.float32(1.0001)

    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("f")
    evaluator = ReferenceEvaluator(str(path))
    (own,) = evaluator.run(None, {"x": x})
    with conformance.substituted("im2col") as right:
        (output,) = evaluator.run(None, {"x": x})
    with conformance.substituted("one-off-onnx") as wrong:
        (other,) = evaluator.run(None, {"x": x})
    (after,) = evaluator.run(None, {"x": x})

    assert ["stem", "pool", "up", "head"] == [call.layer for call in right.calls]
    assert right.conforms
    assert ["lp"] == [layer for layer, *_ in right.others]
    assert ["stem"] == [call.layer for call in wrong.failing]
    assert np.allclose(own, output, rtol=1e-5)
    assert not np.array_equal(own, other)
    assert np.array_equal(own, after)
