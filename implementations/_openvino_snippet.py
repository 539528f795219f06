"""OpenVINO's own call of a case as source text, for the scripts of reports."""

from __future__ import annotations

from conformance.snippets import Call, plain


def snippet(call: Call) -> list[str] | None:
    """Return the lines that compile a model of one operator and call it."""
    return _script(call, ())


def constant(call: Call) -> list[str] | None:
    """Return the same with the weight as a constant of the model."""
    return _script(call, ("w",))


def _script(call: Call, constants: tuple[str, ...]) -> list[str] | None:
    if call.dtype == "bfloat16" or call.arguments.get("bias") is not None:
        return None  # NumPy has no bfloat16; a bias is a second operator
    names = [name for name, value in call.arguments.items() if value is not None]
    arrays = {name: _array(call, name) for name in names}
    inputs = [name for name in names if name not in constants]
    handed = ", ".join(arrays[name] for name in inputs)
    nodes = ["p[0]", *(f"ops.constant({arrays[name]})" for name in constants)]
    if len(inputs) == 2:
        nodes.append("p[1]")
    operator = f"ops.{_operator(call)}({', '.join(nodes)}, {_keywords(call)})"
    options = '"CPU", {"INFERENCE_PRECISION_HINT": "f32"}'
    return [
        "import openvino as ov, openvino.opset15 as ops",
        f"p = [ops.parameter(list(a.shape), a.dtype) for a in ({handed},)]",
        f"got = ov.Core().compile_model(ov.Model([{operator}.output(0)], p, 'm'), {options})"
        f"([{handed}])[0]",
    ]


def _array(call: Call, name: str) -> str:
    """Return an array of the script as it goes into the model: a weight divided into groups."""
    groups = call.parameters.get("groups", 1)
    if name != "w" or groups == 1:
        return name
    shape = call.arguments["w"].shape
    return f"w.reshape({(groups, shape[0] // groups, *shape[1:])})"


def _operator(call: Call) -> str:
    group = "group_" if call.parameters.get("groups", 1) > 1 else ""
    return {
        "conv": f"{group}convolution",
        "conv_transpose": f"{group}convolution_backprop_data",
        "max_pool": "max_pool",
        "avg_pool": "avg_pool",
    }[call.operator]


def _keywords(call: Call) -> str:
    p = call.parameters
    found = {
        "strides": p["stride"],
        "pads_begin": tuple(before for before, _ in p["padding"]),
        "pads_end": tuple(after for _, after in p["padding"]),
    }
    if "dilation" in p:
        found["dilations"] = p["dilation"]
    if "output_padding" in p:
        found["output_padding"] = p["output_padding"]
    if "kernel" in p:
        found["kernel_shape"] = p["kernel"]
        found["rounding_type"] = "ceil_torch" if p["ceil_mode"] else "floor"
    if "count_include_pad" in p:
        found["exclude_pad"] = not p["count_include_pad"]
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}
    return ", ".join(f"{name}={plain(value)}" for name, value in lists.items())
