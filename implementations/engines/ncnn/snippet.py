"""ncnn's own calls as source text, for the scripts of reports.

Each mirrors ``adapter.py``, which is asked for the layer and its parameters.
"""

from __future__ import annotations

from conformance.registration.snippets import Call


def winograd(call: Call) -> list[str] | None:
    """Return the lines that make a call with a net of one layer, with Winograd."""
    return _written(call, "")


def direct(call: Call) -> list[str] | None:
    """Return the lines that make a call with a net of one layer, without Winograd."""
    return _written(call, "; net.opt.use_winograd_convolution = False")


def _written(call: Call, switch: str) -> list[str] | None:
    from conformance.implementations.engines.ncnn.adapter import layer_of

    w, bias = (call.arguments.get(name) for name in ("w", "bias"))
    if not len(call.arguments["x"]):
        return None
    layer, values = layer_of(call.operator, [*call.arguments.values()], call.parameters)
    text = " ".join(f"{key}={value}" for key, value in values.items())
    weights = "b''" if w is None else f"bytes(4) + {_weight(call)}.tobytes()"
    weights += "" if bias is None else f" + {_copy('bias')}.tobytes()"
    return [
        "import ncnn",
        f"net = ncnn.Net(){switch}; assert 0 == net.load_param_mem("
        f"'7767517\\n2 2\\nInput i 0 1 x\\n{layer} l 1 1 x y {text}\\n')",
        f"net.load_model_mem({weights}); got = np.stack([(run := net.create_extractor(), run.input("
        f"'x', ncnn.Mat(v).clone()), np.array(run.extract('y')[1]))[2] for v in {_x(call)}])",
    ]


def _x(call: Call) -> str:
    """Return x as the adapter copies it: in its own dtype, which only an invalid call changes."""
    return _copy("x") if call.memory["x"] == "byteswapped" else "np.array(x, order='C')"


def _weight(call: Call) -> str:
    if call.operator == "conv":
        return _copy("w")
    groups, (c, o, *kernel) = call.parameters["groups"], call.arguments["w"].shape
    return f"{_copy('w')}.reshape({[groups, c // groups, o, *kernel]}).swapaxes(1, 2)"


def _copy(name: str) -> str:
    """Return an array of the script as the adapters copy it."""
    return f"np.array({name}, np.float32, order='C')"
