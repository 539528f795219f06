"""ONNX's operators, each a model of one node, made in memory: what engines that read ONNX run.

The attributes are the suite's parameters under other names; padding is one list, the beginnings of
all axes and then their ends. Nothing is padded, cropped or checked here but for None: ONNX would
leave an attribute out that is None, and take its default.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import numpy as np

from conformance import Unsupported
from conformance.implementations._arguments import Array, native
from conformance.registration.implementation import Implementation

OPSET = 22
"""The first set of operators with bfloat16, and with ceil_mode's windows in the padding dropped."""
_RELEASES = {
    "onnx": {17: 22, 16: 21, 15: 20, 14: 19, 13: 18},
    "onnxruntime": {21: 22, 18: 21, 17: 20, 15: 19, 14: 18},
}
"""The newest set of operators, up to `OPSET`, of release 1.N of each package and of those after."""
_IR_VERSIONS = {22: 10, 21: 10, 20: 9, 19: 9, 18: 8}
"""The version of ONNX's format in which a set of operators was released."""

OPERATORS = {
    "conv": "Conv",
    "conv_transpose": "ConvTranspose",
    "max_pool": "MaxPool",
    "avg_pool": "AveragePool",
}
"""ONNX's name of each operator."""

_ATTRIBUTES = {
    "kernel": "kernel_shape",
    "stride": "strides",
    "padding": "pads",
    "dilation": "dilations",
    "groups": "group",
}
"""ONNX's name of a parameter, where it is another one."""


def opset_and_ir_version(versions: Mapping[str, str]) -> tuple[int, int]:
    """Return the newest set of operators that these packages know, and its version of the format.

    Packages that do not limit the set are passed over. Raises Unsupported for one that is too old.
    """
    opset = OPSET
    for package, found in versions.items():
        major, minor, *_ = *map(int, re.findall(r"\d+", found)), 0, 0
        sets = _RELEASES.get(package, {})
        known = [number for release, number in sets.items() if (1, release) <= (major, minor)]
        if sets and not known:
            raise Unsupported(f"{package} {found}: the models here need 1.{min(sets)} or later")
        opset = min([opset, *known[:1]])
    return opset, _IR_VERSIONS[opset]


Attributes: TypeAlias = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A model of one node; it is hashable, so that engines can keep what they make of it."""

    operator: str
    attributes: Attributes
    inputs: tuple[tuple[str, str, tuple[int | None, ...]], ...]
    """Name, dtype and shape of each input of the model; an axis of None may have any size."""
    constants: tuple[tuple[str, str, tuple[int, ...], bytes], ...] = ()
    """Name, dtype, shape and contents of what is stored in the model, in C order."""

    @property
    def model(self) -> bytes:
        """The serialized model, whose result is y. Raises what ONNX's helpers raise."""
        from onnx import helper, numpy_helper

        def tensor(name: str, dtype: str, shape: tuple[int | None, ...]) -> Any:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            return helper.make_tensor_value_info(name, kind, [*shape])

        constants = [
            numpy_helper.from_array(np.frombuffer(data, dtype).reshape(shape), name)
            for name, dtype, shape, data in self.constants
        ]
        present = {name for name, *_ in (*self.inputs, *self.constants)}
        names = [name for name in ("x", "w", "bias") if name in present]
        node = helper.make_node(OPERATORS[self.operator], names, ["y"], **dict(self.attributes))
        inputs = [tensor(*described) for described in self.inputs]
        _, dtype, shape = self.inputs[0]
        outputs = [tensor("y", dtype, (None,) * len(shape))]
        graph = helper.make_graph([node], self.operator, inputs, outputs, constants)
        opset, ir_version = _installed()
        imports = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
        serialized: bytes = model.SerializeToString()
        return serialized


@cache
def _installed() -> tuple[int, int]:
    """Return the newest set of operators that what is installed knows, and its format's version."""
    versions = {}
    for package in _RELEASES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return opset_and_ir_version(versions)


Run: TypeAlias = Callable[[Node, dict[str, Array]], Array]
"""How an engine runs a node on the inputs of its model, by name."""


def register(
    implementation: Implementation,
    run: Run,
    *operators: str,
    constants: tuple[str, ...] = (),
    fixed: bool = False,
) -> None:
    """Register ``operators``, or all four, as nodes that ``run`` runs.

    Arguments named by ``constants`` are stored in the model; the others are its inputs, of any
    shape, or with ``fixed`` of that of the call.
    """
    for operator in operators or OPERATORS:
        implementation.register(operator, partial(_call, operator, run, constants, fixed))


def attributes(parameters: Mapping[str, Any]) -> Attributes:
    """Return the attributes of a call's node; hashable. Raises TypeError for None."""
    values: list[tuple[str, Any]] = []
    for name, value in parameters.items():
        if value is None:
            raise TypeError(f"{name}=None: must be a whole number, or one a spatial axis")
        if name == "padding":
            before, after = zip(*value, strict=True) if value else ((), ())
            value = (*before, *after)
        elif isinstance(value, (bool, list)):
            value = int(value) if isinstance(value, bool) else tuple(value)
        values.append((_ATTRIBUTES.get(name, name), value))
    return tuple(values)


def _call(
    operator: str,
    run: Run,
    constants: tuple[str, ...],
    fixed: bool,
    x: Array,
    w: Array | None = None,
    bias: Array | None = None,
    **parameters: Any,
) -> Array:
    inputs = {
        name: array.astype(native(array.dtype), copy=False)
        for name, array in {"x": x, "w": w, "bias": bias}.items()
        if array is not None
    }
    contents = [(name, inputs.pop(name)) for name in constants if name in inputs]
    node = Node(
        operator,
        attributes(parameters),
        tuple(
            (name, str(array.dtype), array.shape if fixed else (None,) * array.ndim)
            for name, array in inputs.items()
        ),
        tuple((name, str(array.dtype), array.shape, array.tobytes()) for name, array in contents),
    )
    return run(node, inputs)
