"""OpenVINO's own call of a case as source text, for the scripts of reports."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.implementations.engines.openvino.arguments import attributes, function_name
from conformance.registration.snippets import SnippetCall, plain

_SINGLE = ', {"INFERENCE_PRECISION_HINT": "f32"}'


def snippet(call: SnippetCall) -> list[str] | None:
    """Return the lines that compile a model of one operator, in float32, and call it."""
    return _script(call, (), _SINGLE)


def varied(chosen: Mapping[str, str], call: SnippetCall) -> list[str] | None:
    """Return the lines that do so with the options chosen."""
    constants = ("w",) if chosen["constant"] == "on" else ()
    if constants and call.dtype == "bfloat16":
        return None
    precision = chosen["precision"]
    hint = "" if precision == "auto" else f', {{"INFERENCE_PRECISION_HINT": "{precision}"}}'
    return _script(call, constants, hint, chosen["device"])


def _script(
    call: SnippetCall, constants: tuple[str, ...], options: str, device: str = "CPU"
) -> list[str]:
    """Return the lines of a call; bfloat16 numbers are the upper halves of float32 ones."""
    old = call.versions.get("openvino", "").startswith("2024.")
    module = "openvino.runtime" if old else "openvino"
    names = [name for name, value in call.arguments.items() if value is not None]
    inputs = [name for name in names if name not in constants]
    arrays = ", ".join(_array(call, name) for name in inputs)
    bits, type_, result = "a", "a.dtype", ""
    if call.dtype == "bfloat16":
        half = "(np.array(a, order='C').view(np.uint32) >> 16).astype(np.int16)"
        bits, type_ = f"ov.Tensor({half}, ov.Shape(a.shape), ov.Type.bf16)", "ov.Type.bf16"
        result = ".view(np.uint16).astype(np.uint32) << 16).view(np.float32"
    model = f"ov.Model([{_node(call, constants)}.output(0)], p, 'm')"
    run = f"ov.Core().compile_model({model}, '{device}'{options})([{bits} for a in given])[0]"
    return [
        f"import openvino as ov, {module}.opset15 as ops",
        f"given = [{arrays}]; p = [ops.parameter(list(a.shape), {type_}) for a in given]",
        f"got = ({run}{result})",
    ]


def _node(call: SnippetCall, constants: tuple[str, ...]) -> str:
    """Return the operator's node, and one that adds the bias."""
    is_grouped = call.parameters.get("groups", 1) != 1
    nodes = ["p[0]"]
    if "w" in constants:
        nodes.append(f"ops.constant({_array(call, 'w')})")
    elif "w" in call.arguments:
        nodes.append("p[1]")
    lists = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in attributes(call.parameters).items()
    }
    keywords = ", ".join(f"{name}={plain(value)}" for name, value in lists.items())
    node = f"ops.{function_name(call.operator, is_grouped)}({', '.join(nodes)}, {keywords})"
    if call.arguments.get("bias") is None:
        return node
    shape = [1, -1, *[1] * call.dims]
    return f"ops.add({node}, ops.reshape(p[-1], ops.constant(np.array({shape})), False))"


def _array(call: SnippetCall, name: str) -> str:
    """Return an array of the script as it goes into the model: a weight divided into groups."""
    groups = call.parameters.get("groups", 1)
    if name != "w" or groups == 1:
        return name
    shape = call.arguments["w"].shape
    return f"w.reshape({(groups, shape[0] // groups, *shape[1:])})"
