"""Files in the layout of KernelBench: `Model`, `ModelNew`, `get_inputs` and `get_init_inputs`.

`Model` says what is due: it is constructed and called without numbers (on PyTorch's meta device),
and has to be one operator. Each argument of its constructor is changed, to see what of the operator
it sets. `ModelNew`, or another class, is then constructed and judged for the calls that `Model`
would make; what that keeps fixed is not varied.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.calling.observing import one_line
from conformance.cases.only import Only
from conformance.errors import ConformanceError, PluginError, Unsupported
from conformance.forms import submission
from conformance.forms.declaring import implementation_of
from conformance.forms.layers import Layers, TorchLayer
from conformance.registration.implementation import Implementation
from conformance.registration.recipes import CHANNELS, Recipe

if TYPE_CHECKING:
    from conformance.forms.tracing import Traced

_BY_AXIS = ("kernel", "stride", "padding", "dilation", "output_padding")
_DIVISIBLE = 12
_ORDER = (
    *("in_channels", "out_channels"),
    *_BY_AXIS,
    "groups",
    "bias",
    "ceil_mode",
    "count_include_pad",
)
"""Of several fields that an argument sets, the first one says what it is."""


def load(location: str) -> Implementation:
    """Return the implementation that consists of a class in a file, FILE or FILE:CLASS.

    Raises `PluginError` where the file does not say what the class has to compute.
    """
    file, name = _split(location)
    where = f"module {location}"
    if not file.is_file():
        raise PluginError(f"{where}: no such file; name a Python file, such as conv.py:ModelNew")
    if importlib.util.find_spec("torch") is None:
        raise PluginError(f"{where}: needs PyTorch: pip install torch")
    there, folder = _run(file, where), submission.folder_of(file)
    is_kernel = not name and "Model" not in there and callable(there.get(submission.KERNEL))
    if is_kernel or name == submission.KERNEL:
        due = there
        if submission.REFERENCE not in there and folder is not None:
            due = _run(folder / "reference.py", where)
        return submission.load(there.get(submission.KERNEL), due, file, where)
    reference = there.get("Model")
    if not inspect.isclass(reference):
        raise PluginError(
            f"{where}: has no class Model, which says what is due; a file has Model, ModelNew, "
            f"get_inputs and get_init_inputs, or a function {submission.KERNEL}(data)"
        )
    new = there.get(name or "ModelNew")
    if not inspect.isclass(new):
        classes = [n for n, one in there.items() if inspect.isclass(one) and n != "Model"]
        raise PluginError(
            f"{where}: has no class {name or 'ModelNew'}; there are {', '.join(classes) or 'none'}"
        )
    try:
        pair = _Pair(reference, new, there, where)
    except ConformanceError:
        raise
    except Exception as problem:  # whatever the classes raise
        raise PluginError(f"{where}: {type(problem).__name__}: {one_line(problem)}") from None
    recipe = pair.recipe(str(file))
    return implementation_of(
        {},
        {recipe.operator: Layers({recipe.dims: _ModelLayer(pair, recipe)})},
        file,
        where,
        arrays="torch",
        parameters="torch",
        supports=pair.only,
    )


def _split(location: str) -> tuple[Path, str]:
    if not Path(location).is_file() and ":" in location:
        path, _, name = location.rpartition(":")
        if name.isidentifier():
            return Path(path).expanduser().resolve(), name
    return Path(location).expanduser().resolve(), ""


def _run(file: Path, where: str) -> dict[str, Any]:
    """Return what a file defines; raise `PluginError` where it cannot be run."""
    name = f"convformance_module_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{where}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = submission.folder_of(file)
    sys.path[:0] = map(os.fspath, reversed(submission.folders_of(file)))
    try:
        spec.loader.exec_module(module)
    except BaseException as problem:  # SystemExit among it
        if isinstance(problem, KeyboardInterrupt):
            raise
        raise PluginError(f"{where}: {type(problem).__name__}: {one_line(problem)}") from None
    finally:
        if folder is not None:
            submission.forget(folder)
    return vars(module)


class _Pair:
    """`Model` and the class in its place, and how what `Model` computes follows from arguments."""

    def __init__(self, reference: Any, new: Any, there: Mapping[str, Any], where: str) -> None:
        self.reference, self.new, self.where = reference, new, where
        self.inputs: Callable[[], Any] = there.get("get_inputs", lambda: ())
        if "get_inputs" not in there:
            raise PluginError(f"{where}: has no get_inputs, which returns the inputs of Model")
        self.given = self._arguments(there.get("get_init_inputs", list)())
        traced, made_of = self.traced(self.given)
        if traced is None:
            raise PluginError(f"{where}: Model is not one convolution or pool: it is {made_of}")
        self.base = traced
        self.sets = {name: self._set_by(name, self.given, traced) for name in self.given}
        self._look_with_many_channels()
        self.only = self._only()

    def _arguments(self, init: Any) -> dict[str, Any]:
        """Return the arguments of the constructors by name, defaults of `Model` among them."""
        named: Mapping[str, Any] = {}
        if isinstance(init, dict):
            init, named = [], init
        elif len(init) == 2 and isinstance(init[0], (list, tuple)) and isinstance(init[1], dict):
            init, named = init
        bound = inspect.signature(self.reference).bind(*init, **named)
        given = len(bound.arguments)
        bound.apply_defaults()
        kinds = inspect.Parameter
        plain = {
            name: bound.arguments[name]
            for name, one in bound.signature.parameters.items()
            if one.kind is kinds.POSITIONAL_OR_KEYWORD
        }
        taking = inspect.signature(self.new).parameters.values()
        most = len(plain)
        if not any(one.kind is kinds.VAR_POSITIONAL for one in taking):
            most = sum(
                one.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) for one in taking
            )
        if most < given:
            raise PluginError(
                f"{self.where}: the constructor of {self.new.__name__} takes {most} arguments, "
                f"where that of Model is given {given}"
            )
        return dict(list(plain.items())[:most])

    def traced(self, given: Mapping[str, Any]) -> tuple[Traced | None, str]:
        """Return the operator that `Model` is with these arguments, and what it is made of."""
        import torch

        from conformance.forms.tracing import trace

        try:
            with torch.device("meta"):
                model, inputs = self.reference(*given.values()), self.inputs()
            self._check_inputs(inputs)
            return trace(lambda: model(*inputs))
        except (NotImplementedError, RuntimeError):  # what needs numbers
            with torch.random.fork_rng(devices=[]):
                model, inputs = self.reference(*given.values()), self.inputs()
            self._check_inputs(inputs)
            return trace(lambda: model(*inputs))

    def _check_inputs(self, inputs: Any) -> None:
        if len(inputs) != 1:
            raise PluginError(f"{self.where}: Model is called with {len(inputs)} inputs, not one")

    def _look_with_many_channels(self) -> None:
        """Look at arguments again that have set nothing: not every number divides the channels."""
        many = dict(self.given)
        for name, found in self.sets.items():
            if found is not None and found[0] in CHANNELS:
                many[name] *= _DIVISIBLE
        try:
            base, _ = self.traced(many)
        except Exception:  # whatever a constructor raises
            return
        for name, found in self.sets.items():
            if found is None and base is not None:
                self.sets[name] = self._set_by(name, many, base)

    def _set_by(
        self, name: str, given: Mapping[str, Any], base: Traced
    ) -> tuple[str, int | None] | None:
        """Return the field that an argument sets, and the axis (-1: all), None if it sets none."""
        for value in _others(given[name]):
            try:
                traced, _ = self.traced({**given, name: value})
            except Exception:  # whatever a constructor raises for what makes no sense
                continue
            if traced is None or traced.operator != self.base.operator:
                continue
            for field in _ORDER:
                before, after = base.fields.get(field), traced.fields.get(field)
                if before != after and (found := _axis(before, after, value)) is not None:
                    return field, (None if found == "whole" else found)
        return None

    def _only(self) -> Only:
        """Return what can be expressed, with the fields that are kept."""
        fields, dims = self.base.fields, self.base.dims
        set_by = [one for one in self.sets.values() if one is not None]
        exactly, rules = [], {}
        for field, value in fields.items():
            axes = {axis for name, axis in set_by if name == field}
            if field == "bias" and not axes:
                rules["bias"] = value
            elif field in _BY_AXIS:
                if -1 in axes:
                    rules["square" if field == "kernel" else "same_on_every_axis"] = True
                elif None not in axes and isinstance(value, tuple):
                    free = [None if axis in axes else value[axis] for axis in range(dims)]
                    if field == "padding":
                        free = [None if p is None else (p, p) for p in free]
                    if any(one is not None for one in free):
                        exactly.append((field, tuple(free)))
            elif not axes:
                exactly.append((field, value))
        fixed: dict[str, Any] = dict(exactly)
        derived = self._derived()
        for field in derived:
            fixed.pop(field, None)
        if "out_channels" in derived:
            fixed["out_channels"] = "in_channels"
        if "groups" in derived:
            rules["groups"] = "depthwise"
        if "stride" in derived:
            rules["stride"] = "kernel"
        order = sorted(
            fixed.items(), key=lambda pair: _ORDER.index(pair[0]) if pair[0] in _ORDER else 99
        )
        padding = "any" if isinstance(fields["padding"], str) else "symmetric"
        return Only(dims=(dims,), padding=padding, exactly=tuple(order), **rules)

    def _derived(self) -> set[str]:
        """Return the fields that follow from arguments which set another one."""
        found = set()
        own = {one[0] for one in self.sets.values() if one is not None}
        for name, one in self.sets.items():
            for value in _others(self.given[name]) if one is not None else ():
                try:
                    traced, _ = self.traced(self.given | {name: value})
                except Exception:  # whatever a constructor raises for what makes no sense
                    continue
                if traced is not None and traced.fields.keys() == self.base.fields.keys():
                    differ = {f for f, v in traced.fields.items() if v != self.base.fields[f]}
                    found |= differ - own
        return found

    def recipe(self, file: str) -> Recipe:
        """Return how the class is constructed, and the names of its parameters."""
        set_by = {name: one for name, one in self.sets.items() if one is not None}
        weight, bias = self.names_in(self.given)
        for name, (field, _) in set_by.items():
            if field == "bias":
                bias = self.names_in(self.given | {name: True})[1]
        return Recipe(
            library="torch",
            name=self.new.__name__,
            operator=self.base.operator,
            dims=self.base.dims,
            arguments=tuple((name, *one) for name, one in set_by.items()),
            fixed=tuple((n, v) for n, v in self.given.items() if n not in set_by),
            weight=weight,
            bias=bias,
            order=tuple(self.given),
            file=file,
            strict=False,
        )

    def constructed(self, given: Mapping[str, Any]) -> Any:
        """Return the class in the place of `Model`, constructed."""
        import torch

        with torch.random.fork_rng(devices=[]):
            return self.new(*given.values())

    @property
    def of_model(self) -> _Pair:
        """`Model` in the place of itself."""
        pair = copy(self)
        pair.new = self.reference
        return pair

    def names_in(self, given: Mapping[str, Any]) -> tuple[str, str]:
        """Return the names of the weight and the bias in the class that is judged."""
        traced, _ = self.traced(given)
        if traced is None or traced.tensors["w"] is None:
            return "weight", "bias"
        import torch

        own = self.constructed(given)
        with torch.device("meta"):
            there = dict(self.reference(*given.values()).named_parameters())
        mine = dict(own.named_parameters())
        names = []
        for which in ("w", "bias"):
            tensor = traced.tensors[which]
            if tensor is None:
                names.append("bias")
                continue
            names.append(_name_of(tuple(tensor.shape), there, mine))
            if not names[-1]:
                shape = tuple(tensor.shape)
                raise PluginError(
                    f"{self.where}: {self.new.__name__} has no parameter of shape {shape}, as the "
                    f"{'weight' if which == 'w' else 'bias'} of Model"
                )
        return names[0], names[1]


def _name_of(shape: tuple[int, ...], there: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    """Return a parameter of the class by that of `Model`: by its name, or by their order."""
    shaped = [name for name, one in there.items() if tuple(one.shape) == shape]
    for name in shaped:
        if name in mine and tuple(mine[name].shape) == shape:
            return name
    if len(there) == len(mine):
        for name, own in zip(there, mine, strict=True):
            if name in shaped and tuple(mine[own].shape) == shape:
                return own
    alike = [name for name, one in mine.items() if tuple(one.shape) == shape]
    return alike[0] if len(alike) == 1 else ""


def _others(value: Any) -> Iterator[Any]:
    """Yield other values of an argument, the nearest ones first."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, 2 * value, value + 2, max(1, value - 1))
    elif isinstance(value, (tuple, list)) and all(type(one) is int for one in value):
        yield tuple(one + 1 + axis for axis, one in enumerate(value))
        yield tuple(one + 1 for one in value)
    elif value is None:
        yield from (1, 2, 3)


def _axis(before: Any, after: Any, value: Any) -> Any:
    """Return what of a field has become ``value``: an axis, -1 for all, "whole", or None."""
    if isinstance(after, tuple) and isinstance(value, (tuple, list)):
        return "whole" if after == tuple(value) else None
    if isinstance(after, tuple):
        if len({*before}) == len({*after}) == 1 and after[0] == value:
            return 0 if len(after) == 1 else -1
        changed = [axis for axis, one in enumerate(after) if one != before[axis]]
        return changed[0] if len(changed) == 1 and after[changed[0]] == value else None
    return "whole" if after == value else None


class _ModelLayer(TorchLayer):
    """The class in the place of `Model`, for the calls that `Model` would make."""

    whose = "Model"

    def __init__(self, pair: _Pair, recipe: Recipe) -> None:
        super().__init__(pair.new, recipe)
        self.pair = pair
        self._due: dict[tuple[Any, ...], Traced | None] = {}

    @property
    def own(self) -> _ModelLayer:
        """`Model`."""
        pair = self.pair.of_model
        return _ModelLayer(pair, pair.recipe(self.recipe.file))

    def __call__(self, x: Any, w: Any = None, bias: Any = None, **parameters: Any) -> Any:
        """Make the call, if `Model` with some arguments of its constructor is that call."""
        fields = self.recipe.fields(None if w is None else w.shape, bias is not None, parameters)
        given = self.recipe.values(fields)
        key = tuple(given.items())
        if key not in self._due:
            try:
                self._due[key], _ = self.pair.traced(given)
            except Exception:  # whatever it raises for what is invalid
                self._due[key] = None
        due = self._due[key]
        for field, value in due.fields.items() if due is not None else ():
            if field in fields and fields[field] != value:
                raise Unsupported(f"Model keeps {field}={value}")
        return super().__call__(x, w, bias, **parameters)

    def built(self, given: Mapping[str, Any], like: Any) -> Any:
        """Construct the class with what `Model` is given."""
        layer = self.pair.constructed(given)
        return layer.to(like.device, like.dtype) if like.is_floating_point() else layer
