"""ncnn's and MNN's own calls as source text, for the scripts of reports.

Each mirrors the adapter of its engine: the same layer, the same padding around it. What needs more
lines than a script has is left out, such as batches for ncnn, which has none.
"""

from __future__ import annotations

from conformance.snippets import Call
from implementations._common import Array, Padding, Shape, pool_size
from implementations._engine import differ, shared


def ncnn(call: Call) -> list[str] | None:
    """Return the lines that make a call with a net of one layer, with Winograd."""
    return _ncnn(call, "")


def ncnn_direct(call: Call) -> list[str] | None:
    """Return the lines that make a call with a net of one layer, without Winograd."""
    return _ncnn(call, "; net.opt.use_winograd_convolution = False")


def _ncnn(call: Call, switch: str) -> list[str] | None:
    from implementations.ncnn_net import layer_of

    w, bias = (call.arguments.get(name) for name in ("w", "bias"))
    if len(call.arguments["x"]) != 1:
        return None
    layer, values = layer_of(call.operator, [*call.arguments.values()], call.parameters)
    text = " ".join(f"{key}={value}" for key, value in values.items())
    weights = "b''" if w is None else f"bytes(4) + {_ncnn_weight(call)}.tobytes()"
    weights += "" if bias is None else f" + {_copy('bias')}.tobytes()"
    return [
        "import ncnn",
        f"net = ncnn.Net(){switch}; net.load_param_mem("
        f"'7767517\\n2 2\\nInput i 0 1 x\\n{layer} l 1 1 x y {text}\\n')",
        f"net.load_model_mem({weights}); run = net.create_extractor(); run.input('x', "
        f"ncnn.Mat({_copy('x')}[0]).clone()); got = np.array(run.extract('y')[1])[None]",
    ]


def _ncnn_weight(call: Call) -> str:
    if call.operator == "conv":
        return _copy("w")
    groups, (c, o, *kernel) = call.parameters["groups"], call.arguments["w"].shape
    return f"{_copy('w')}.reshape({[groups, c // groups, o, *kernel]}).swapaxes(1, 2)"


def mnn(call: Call) -> list[str] | None:
    """Return the lines that make a call with MNN.expr; x is padded first where MNN cannot."""
    p, name = call.parameters, call.operator
    if not p.get("count_include_pad", True) and any(map(any, p["padding"])):
        return None
    if max(p.get("dilation", (1,)) if name == "max_pool" else (1,)) > 1:
        return None
    if any(p.get("output_padding", ())) or (name == "conv_transpose" and differ(p["padding"])):
        return None
    padding, fill = p["padding"], "0"
    if name.endswith("pool"):
        padding, fill = _reach(call), "-np.inf" if name == "max_pool" else "0"
        if name == "avg_pool" and padding != p["padding"]:
            return None
    x, both = _copy("x"), shared(padding)
    if name.endswith("pool") or differ(padding):
        if any(map(any, padding)):
            x = f"np.pad({x}, {[(0, 0), (0, 0), *padding]}, constant_values={fill})"
        both = (0,) * call.dims
    made = f"c4 = F.convert({_mnn_constant(call, 'x', x)}, F.NC4HW4)"
    if name.endswith("pool"):
        y = f"F.{name}(c4, {_mnn_axes(p['kernel'], 1)}, {_mnn_axes(p['stride'], 1)})"
    else:
        o = (
            len(call.arguments["w"])
            if name == "conv"
            else call.arguments["w"].shape[1] * p["groups"]
        )
        bias = "np.zeros({o}, np.float32)" if call.arguments["bias"] is None else _copy("bias")
        arrays = f"{_mnn_constant(call, 'w', _copy('w'))}, F.const({bias.format(o=o)}, [{o}])"
        values = (_mnn_axes(p["stride"], 1), _mnn_axes(both, 0), _mnn_axes(p["dilation"], 1))
        function = "conv2d" if name == "conv" else "conv2d_transpose"
        y = f"F.{function}(c4, {arrays}, {', '.join(map(str, values))}, {p['groups']}, F.CAFFE)"
    flat = "[:, :, 0]" if call.dims == 1 else ""
    return ["import MNN.expr as F", made, f"got = np.array(F.convert({y}, F.NCHW).read()){flat}"]


def _mnn_constant(call: Call, name: str, text: str) -> str:
    shape = "list(a.shape)" if call.dims == 2 else "[*a.shape[:2], 1, *a.shape[2:]]"
    return f"(lambda a: F.const(a, {shape}, F.NCHW))({text})"


def _mnn_axes(values: Shape, missing: int) -> list[int]:
    return [*reversed(values), *[missing] * (2 - len(values))]


def _reach(call: Call) -> Padding:
    p = call.parameters
    dilation = p.get("dilation", (1,) * call.dims)
    x: Array = call.arguments["x"]
    return pool_size(x, p["kernel"], p["stride"], p["padding"], dilation, p["ceil_mode"])[1]


def _copy(name: str) -> str:
    """Return an array of the script as the adapters copy it."""
    return f"np.array({name}, np.float32, order='C')"
