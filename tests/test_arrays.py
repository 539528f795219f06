"""Kernels over arrays of other libraries, judged as those over NumPy arrays are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import Unsupported
from conformance.arrays import LIBRARIES
from conformance.arrays.library import InForm
from conformance.calling.caller import Request, observe_request
from conformance.calling.observing import Observation
from conformance.case import MEMORY_LAYOUTS, Case
from conformance.cases.data import memory_ways
from conformance.checks.repeat import judge_named_history
from conformance.cli import main
from conformance.errors import RegistrationError
from conformance.isolation.dispatch import close_all
from conformance.judging import Prepared, Verdict, judge
from conformance.registration.implementation import Implementation
from conformance.registration.registry import Registry, implementation, using
from conformance.runfile.words import CONFORMS, UNSUPPORTED
from conformance.scripts.standalone import script_of

CASE = "conv2d:float32:x=2,3,5,4:w=4,3,3,2:bias:stride=1,2:padding=1/1,0/0:integers@3"
HALF = CASE.replace("float32", "bfloat16")
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def workers() -> Iterator[None]:
    with using(Registry()):
        yield
    close_all()


def torch_conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
    functional = pytest.importorskip("torch").nn.functional
    padding = [before for before, _ in p["padding"]]
    if any(before != after for before, after in p["padding"]):
        raise Unsupported("asymmetric padding")
    function = functional.conv3d if x.ndim == 5 else functional.conv2d
    return function(x, w, bias, p["stride"], padding, p["dilation"], p["groups"])


def jax_conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
    lax = pytest.importorskip("jax").lax
    y = lax.conv_general_dilated(
        x, w, p["stride"], p["padding"], rhs_dilation=p["dilation"], feature_group_count=p["groups"]
    )
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def tensorflow_conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
    tf = pytest.importorskip("tensorflow")
    pads = [(0, 0), *p["padding"], (0, 0)]
    y = tf.nn.conv2d(tf.pad(x, pads), w, (1, *p["stride"], 1), "VALID")
    return y if bias is None else tf.nn.bias_add(y, bias)


def mlx_conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
    mx = pytest.importorskip("mlx.core")
    padding = [before for before, _ in p["padding"]]
    y = mx.conv_general(x, mx.moveaxis(w, -1, 0), p["stride"], padding, p["dilation"])
    return y if bias is None else y + bias


def dlpack_conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
    torch = pytest.importorskip("torch")
    assert not hasattr(x, "shape")  # DLPack's methods and no others
    arrays = (None if array is None else torch.from_dlpack(array) for array in (x, w, bias))
    return torch_conv(*arrays, **p)


KERNELS: dict[str, tuple[Callable[..., Any], str]] = {
    "torch": (torch_conv, "NCHW"),
    "jax": (jax_conv, "NCHW"),
    "tensorflow": (tensorflow_conv, "NHWC"),
    "mlx": (mlx_conv, "NHWC"),
    "dlpack": (dlpack_conv, "NCHW"),
}


def registered(arrays: str, function: Callable[..., Any], **declared: Any) -> Implementation:
    if LIBRARIES[arrays].module:
        pytest.importorskip(LIBRARIES[arrays].module)
    declared = {"dtypes": ("float32", "float64", "bfloat16", "float16")} | declared
    new = implementation("kernel", arrays=arrays, **declared)
    new.register("conv", function)
    return new


def judged(function: Callable[..., Any], case: str = CASE, arrays: str = "torch") -> Verdict:
    return judge(registered(arrays, function), case)


@pytest.mark.parametrize("arrays", KERNELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_correct_kernel_over_arrays_of_a_library_conforms(arrays: str, dtype: str) -> None:
    function, layout = KERNELS[arrays]
    kernel = registered(arrays, function, layout=layout)
    if (arrays, dtype) == ("mlx", "float64"):
        pytest.skip("MLX has no such convolution")

    assert CONFORMS == judge(kernel, CASE.replace("float32", dtype)).status


@pytest.mark.parametrize("arrays", KERNELS)
def test_half_types_are_those_of_the_library(arrays: str) -> None:
    function, layout = KERNELS[arrays]
    case, seen = HALF.replace(":bias", ""), []

    def noting(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        seen.append(str(getattr(x, "dtype", "bfloat16")))
        return function(x, w, bias, **p)

    verdict = judge(registered(arrays, noting, layout=layout), case)

    assert CONFORMS == verdict.status
    assert "bfloat16" in seen[0]


def test_a_tensor_shares_the_memory_of_the_array_on_the_host() -> None:
    pytest.importorskip("torch")
    from conformance.arrays.torch import ON_HOST

    array = np.zeros((2, 3), np.float32)
    ON_HOST.hand(array, array).add_(1)

    assert array.all()


@pytest.mark.parametrize("layout", [name for name in MEMORY_LAYOUTS if name != "contiguous"])
def test_a_memory_layout_has_its_strides_in_torch_or_is_not_asked(layout: str) -> None:
    strides: list[Any] = []

    def noting(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        strides.append((x.stride(), x.storage_offset(), x.data_ptr()))
        return torch_conv(x, w, bias, **p)

    case = CASE.replace(":integers", f":memory={layout}:integers")
    verdict = judge(registered("torch", noting), case)
    numpy_strides: list[Any] = []

    def with_numpy(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        numpy_strides.append(tuple(step // x.itemsize for step in x.strides))
        raise Unsupported("only its strides are looked at")

    numpy = implementation("with-numpy")
    numpy.register("conv", with_numpy)
    judge(numpy, case)
    if verdict.status == UNSUPPORTED:
        assert layout in LIBRARIES["torch"].lacks
        assert not strides
    else:
        assert CONFORMS == verdict.status
        assert numpy_strides[0] == strides[0][0]


def test_tensors_that_share_memory_are_parts_of_one_storage() -> None:
    """An interpreter of kernels copies each storage, and tells them apart by their address."""
    sizes: list[int] = []

    @implementation("sizes", arrays="torch")
    def conv(x: Any, w: Any, bias: Any, **_: Any) -> Any:
        sizes.extend(tensor.untyped_storage().nbytes() for tensor in (x, w))
        assert x.untyped_storage().data_ptr() == w.untyped_storage().data_ptr()
        return x * w.reshape(())

    verdict = judge(conv, "conv1d:float32:x=1,1,2:w=1,1,1:memory=shared:integers@0")

    assert CONFORMS == verdict.status, verdict
    assert 1 == len({*sizes})


def test_what_arrays_cannot_express_is_a_gap_with_one_reason() -> None:
    kernel = registered("torch", torch_conv)
    reasons = {
        kernel.gap(Case.parse(CASE.replace(":integers", f":memory={layout}:integers")))
        for layout in ("reversed", "flipped", "flipped_channels-w")
    }

    assert {"a torch.Tensor has no negative strides"} == reasons


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (lambda y: y.numpy(), "returned a numpy.ndarray where a torch.Tensor on cpu is due"),
        (lambda y: y.to("meta"), "returned a torch.Tensor on meta where a torch.Tensor on cpu"),
        (lambda y: y.to_sparse(), "returned a torch.sparse_coo torch.Tensor on cpu where"),
        (lambda y: [y], "returned a builtins.list where a torch.Tensor on cpu is due"),
        (lambda y: y.double(), "returned dtype float64 where float32 is due"),
        (lambda y: y[0], "returned shape (4, 5, 2) where (2, 4, 5, 2) is due"),
    ],
)
def test_the_result_must_be_a_tensor_of_the_same_kind_device_and_dtype(
    returned: Callable[[Any], Any], says: str
) -> None:
    verdict = judged(lambda *a, **p: returned(torch_conv(*a, **p)))

    assert says in verdict.message


def test_a_result_that_could_be_differentiated_is_a_tensor_like_any_other() -> None:
    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        return torch_conv(x, w.clone().requires_grad_(), bias, **p)

    assert CONFORMS == judged(conv).status


def test_an_input_that_is_changed_in_place_is_seen() -> None:
    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        y = torch_conv(x, w, bias, **p)
        x.relu_()
        return y

    assert "PURE-1" == judged(conv).requirement


def test_a_write_between_the_elements_of_a_view_is_seen() -> None:
    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        y = torch_conv(x, w, bias, **p)
        if not x.is_contiguous():
            x.as_strided((1,), (1,), x.storage_offset() + 1).zero_()
        return y

    assert "PURE-1" == judged(conv, CASE.replace(":int", ":memory=strided:int")).requirement


def test_an_input_with_another_shape_after_the_call_is_seen() -> None:
    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        y = torch_conv(x, w, bias, **p)
        bias.unsqueeze_(0)
        return y

    verdict = judged(conv)

    assert ("PURE-1", "the call changed its input bias") == (verdict.requirement, verdict.message)


def test_a_result_in_the_storage_of_an_input_is_seen() -> None:
    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        return x if w.shape[2:] == (1, 1) else torch_conv(x, w, bias, **p)

    case = "conv2d:float32:x=1,1,2,2:w=1,1,1,1:ones@0"
    verdict = judged(conv, case.replace("ones", "integers"))

    assert "PURE-2" in {verdict.requirement, *(other.requirement for other in verdict.also)}


def test_arrays_that_nobody_writes_to_may_be_returned_as_they_came() -> None:
    def conv(x: Any, w: Any, bias: Any) -> Any:
        return x

    kernel, ones = registered("jax", jax_conv), np.ones((1, 1, 2, 2), np.float32)
    seen = observe_request(
        kernel.in_form("conv", conv), Request("conv", (ones, ones, None), {}, "NCHW")
    )

    assert () == seen.shared
    assert (ones == seen.output).all()


def test_a_cache_by_address_is_found_in_histories() -> None:
    kept: dict[int, Any] = {}

    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        key = x.data_ptr()
        if key not in kept:
            kept[key] = torch_conv(x, w, bias, **p)
        return kept[key].clone()

    case = Case.parse(CASE)
    kernel = registered("torch", conv)
    verdict = judge_named_history(kernel, case, "data")

    assert verdict is not None
    assert verdict.failed


def test_a_cache_by_the_identity_of_a_tensor_is_found_in_histories() -> None:
    kept: list[tuple[Any, Any]] = []

    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        for earlier, y in kept:
            if x is earlier:
                return y.clone()
        kept.append((x, torch_conv(x, w, bias, **p)))
        return kept[-1][1].clone()

    verdict = judge_named_history(registered("torch", conv), Case.parse(CASE), "data")

    assert verdict is not None
    assert verdict.failed


def test_an_array_without_such_a_dtype_in_the_library_is_not_handed_over() -> None:
    calls: list[Any] = []

    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        calls.append(x)
        raise TypeError("never")

    verdict = judged(conv, CASE.split(":integers")[0] + ":invalid=dtype-str:integers@0")

    assert CONFORMS == verdict.status
    assert not calls


# --- Devices, with the host in the place of one ---------------------------------------------------


def on_device(function: Callable[..., Any], case: str) -> Observation:
    torch = pytest.importorskip("torch")
    from conformance.arrays.torch import OnDevice

    prepared = Prepared.of(Case.parse(case))
    library = OnDevice(torch.device("cpu"))
    parameters, ways = prepared.case.parameters, memory_ways(prepared.case)
    request = Request("conv", prepared.inputs, parameters, "NCHW", ways)
    return observe_request(InForm(library, function), request)


@pytest.mark.parametrize("layout", ["strided", "channels_last", "offset", "broadcast", "shared"])
def test_on_a_device_a_tensor_is_the_same_view_of_a_copy(layout: str) -> None:
    case = CASE.replace(":integers", f":memory={layout}:integers")
    exact = Prepared.of(Case.parse(case)).reference.exact
    seen = on_device(torch_conv, case)

    assert (exact == seen.output).all()
    assert ((), ()) == (seen.changed, seen.shared)


def test_on_a_device_changes_and_shared_storage_are_seen() -> None:
    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        w.mul_(2)
        return x.view(-1)

    seen = on_device(conv, CASE)

    assert ((1,), (0,)) == (seen.changed, seen.shared)


# --- What is declared wrongly ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"arrays": "pytorch"}, "arrays='pytorch'; did you mean torch?"),
        ({"arrays": "numpy", "device": "cuda"}, "device='cuda' needs arrays= of a library"),
        ({"arrays": "dlpack", "device": "cuda"}, "device='cuda' needs arrays= of a library"),
        ({"arrays": "torch", "device": ""}, "device=''; a name"),
    ],
)
def test_a_wrong_declaration_is_refused_in_one_line(declared: dict[str, str], says: str) -> None:
    with pytest.raises(RegistrationError) as error:
        implementation("kernel", **declared)

    assert says in str(error.value)
    assert "\n" not in str(error.value)


PLUGIN = """
from conformance import implementation

@implementation("kernel", {declared})
def conv(x, w, bias, *, stride, padding, dilation, groups):
    return x
"""


@pytest.mark.parametrize(
    ("arrays", "device", "says"),
    [
        ("torch", "cuda:7", "device='cuda:7': PyTorch"),
        ("torch", "nonsense", "device='nonsense': PyTorch"),
        ("jax", "tpu", "device='tpu': JAX"),
        ("tensorflow", "gpu:3", "device='gpu:3': TensorFlow"),
        ("mlx", "gpu", "device='gpu': MLX"),
    ],
)
@pytest.mark.parametrize("isolation", ["--isolate", "--no-isolate"])
def test_a_device_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: Any, arrays: str, device: str, says: str, isolation: str
) -> None:
    pytest.importorskip(LIBRARIES[arrays].module)
    plugin = tmp_path / "kernel.py"
    plugin.write_text(PLUGIN.format(declared=f"arrays={arrays!r}, device={device!r}"))
    status = main(["run", "--plugin", str(plugin), isolation, "--output", str(tmp_path / "run")])
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]

    assert (2, 1) == (status, len(errors))
    assert says in errors[0]
    assert "no such device here" in errors[0]


def test_a_library_that_is_missing_is_one_line(tmp_path: Path, capsys: Any) -> None:
    plugin = tmp_path / "kernel.py"
    plugin.write_text(PLUGIN.format(declared="arrays='cupy'"))
    status = main(["run", "-i", "kernel", "--plugin", str(plugin)])

    assert 2 == status
    assert "'kernel' is not installed: pip install cupy" in capsys.readouterr().err


def test_a_library_that_cannot_be_imported_is_one_line(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    (tmp_path / "cupy.py").write_text("raise RuntimeError('no driver')")
    monkeypatch.syspath_prepend(tmp_path)
    plugin = tmp_path / "kernel.py"
    plugin.write_text(PLUGIN.format(declared="arrays='cupy'"))
    status = main(["run", "--plugin", str(plugin), "--output", str(tmp_path / "run")])

    assert 2 == status
    assert "arrays='cupy': RuntimeError: no driver" in capsys.readouterr().err


# --- Where it is shown ----------------------------------------------------------------------------


def test_list_and_the_reports_show_the_form(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("torch")
    plugin = tmp_path / "kernel.py"
    plugin.write_text(PLUGIN.format(declared="arrays='torch'"))
    main(["list", "--plugin", str(plugin)])
    shown = capsys.readouterr().out.splitlines()[-1]
    main(["list", "--plugin", str(plugin), "--json"])
    listed = json.loads(capsys.readouterr().out)["implementations"][-1]
    few = ["--tier", "smoke", "--dims", "2", "--dtype", "float32", "-n", "2"]
    main(["run", "--plugin", str(plugin), "--output", str(tmp_path / "run"), *few])

    assert shown.endswith("conv (torch.Tensor)")
    assert ("torch", "cpu") == (listed["arrays"], listed["device"])
    assert "takes a torch.Tensor on cpu" in (tmp_path / "run" / "report.md").read_text()


@pytest.mark.parametrize("arrays", KERNELS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_standalone_script_uses_the_form(tmp_path: Path, arrays: str, dtype: str) -> None:
    if LIBRARIES[arrays].module:
        pytest.importorskip(LIBRARIES[arrays].module)
    plugin = tmp_path / "kernel.py"
    declared = f"arrays={arrays!r}, dtypes={dtype!r}"
    negated = "torch.from_dlpack(x).neg()" if arrays == "dlpack" else "-x"
    imported = "import torch\n" if arrays == "dlpack" else ""
    text = PLUGIN.format(declared=declared).replace("return x", f"return {negated}")
    plugin.write_text(imported + text)
    from conformance.registration.plugins import load_plugin

    (kernel,) = load_plugin(plugin)
    case = f"conv2d:{dtype}:x=1,1,2,2:w=1,1,1,1:integers@0"
    failure = judge(kernel, case)
    script = script_of(kernel, Case.parse(case), failure)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert failure.failed
    assert "" == ran.stderr.replace("\n", "") or "Error" not in ran.stderr
    assert "differs by" in ran.stdout


def test_time_calls_a_kernel_in_its_form(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("torch")
    plugin = tmp_path / "kernel.py"
    kernel = "    import torch.nn.functional as F\n    return F.conv2d(x, w, bias)"
    text = PLUGIN.format(declared="arrays='torch'").replace("    return x", kernel)
    plugin.write_text(text)
    layer = "conv2d:float32:x=1,3,8,8:w=4,3,3,3:normal@0"
    command = ["time", layer, "-i", "kernel", "--plugin", str(plugin), "--rounds", "3"]
    status = main([*command, "--output", str(tmp_path / "time")])

    assert 0 == status
    assert "kernel" in capsys.readouterr().out
