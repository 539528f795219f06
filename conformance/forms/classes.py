"""What a class of layers is, and what it takes, found out by its signature and by trial.

The operator and the number of dimensions follow from the class: from what it inherits, its name, or
its constructor. A few layers are constructed and called, which shows what the constructor takes;
what it does not take is not asked.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from conformance.cases.only import Only, only
from conformance.errors import RegistrationError
from conformance.forms.layers import CHANNELS_LAST, KerasLayer, Layer, TorchLayer
from conformance.registration.recipes import CHANNELS, Recipe
from conformance.signatures import SIGNATURES, meant_operator

_TORCH = {"kernel": "kernel_size", "bias": "bias"}
_KERAS = {
    "out_channels": "filters",
    "kernel": "kernel_size",
    "stride": "strides",
    "dilation": "dilation_rate",
    "bias": "use_bias",
}
_NEEDED = {
    ("torch", True): ("in_channels", "out_channels", "kernel"),
    ("torch", False): ("kernel",),
    ("keras", True): ("out_channels", "kernel"),
    ("keras", False): ("kernel",),
}
"""What a constructor has to take, by library and whether there is a weight."""
_FORWARD = ("conv", "conv_transpose", "max_pool", "avg_pool")
_WORDS = {"max": "max_pool", "avg": "avg_pool", "average": "avg_pool", "mean": "avg_pool"}


class LayerClass:
    """What a class is, and what it takes."""

    def __init__(
        self,
        given: Any,
        where: str,
        operator: str | None,
        dims: int | None,
        names: Mapping[str, str],
        needs_derivative: bool,
    ) -> None:
        self.given, self.where, self.needs_derivative = given, where, needs_derivative
        if not inspect.isclass(given):
            raise self._wrong(f"{given!r} is no class; name a class, such as torch.nn.Conv2d")
        self.where = f"{where}: class {given.__name__}"
        self.library = self._library()
        try:
            signature = inspect.signature(given)
        except (TypeError, ValueError):
            raise self._wrong("its constructor has no signature") from None
        kinds = inspect.Parameter
        self.taken = {
            n
            for n, p in signature.parameters.items()
            if p.kind not in (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL, kinds.POSITIONAL_ONLY)
        }
        self.needed = {
            n for n, p in signature.parameters.items() if n in self.taken and p.default is p.empty
        }
        if any(p.kind is kinds.VAR_KEYWORD for p in signature.parameters.values()):
            for base in inspect.getmro(given)[1:]:  # what it hands on
                if base.__module__.partition(".")[0] in ("torch", "keras"):
                    self.taken |= {*inspect.signature(base).parameters}
        self.operator = operator or self._operator()
        if self.operator not in _FORWARD:
            raise self._wrong(f"operator={self.operator!r}; allowed: {', '.join(_FORWARD)}")
        self.weighted = self.operator.startswith("conv")
        self.names = self._names()
        for key in names:
            if key not in ("weight", "bias"):
                raise self._wrong(f'names has {key!r}; a mapping of "weight" and "bias"')
        own = {"weight": "kernel" if self.library == "keras" else "weight", "bias": "bias"}
        self.parameters, self.given_names = own | dict(names), names
        self.has_state = True
        self.dims = dims or self._dims()

    def _wrong(self, text: str) -> RegistrationError:
        return RegistrationError(f"{self.where}: {text}")

    def _library(self) -> str:
        for base in inspect.getmro(self.given):
            if (base.__module__ + ".").startswith("torch.nn.") and base.__name__ == "Module":
                return "torch"
            if base.__module__.partition(".")[0] == "keras" and base.__name__ == "Layer":
                return "keras"
        raise self._wrong("is no subclass of torch.nn.Module or keras.layers.Layer")

    def _operator(self) -> str:
        """Return the operator that it is, by what it inherits, its name, or its constructor."""
        for base in inspect.getmro(self.given):
            meant = meant_operator(base.__name__).partition(" ")[0]
            if meant in _FORWARD:
                return meant
        name = re.sub("[^a-z]", "", self.given.__name__.casefold())
        kernels = {"kernel_size", "pool_size"} & self.taken
        if {"in_channels", "out_channels", "filters"} & self.taken:
            transposed = "output_padding" in self.taken or "transpose" in name or "deconv" in name
            return "conv_transpose" if transposed else "conv"
        words = [own for word, own in _WORDS.items() if word in name]
        if kernels and words:
            return words[0]
        if kernels and {"count_include_pad", "divisor_override"} & self.taken:
            return "avg_pool"
        if kernels and {"dilation", "return_indices"} & self.taken:
            return "max_pool"
        if kernels:
            raise self._wrong('is a pool of one kind or another; say operator="max_pool"')
        taken = ", ".join(sorted(self.taken - {"self"})) or "nothing"
        raise self._wrong(
            f"its constructor takes {taken}; that of torch.nn.Conv2d takes in_channels, "
            f"out_channels, kernel_size, that of torch.nn.MaxPool2d takes kernel_size"
        )

    def _names(self) -> dict[str, str]:
        """Return the constructor's names of what it takes, by the suite's."""
        wanted = ["kernel", *SIGNATURES[self.operator].parameters]
        if self.weighted:
            wanted += ["in_channels", "out_channels", "bias"]
        table = _TORCH
        if self.library == "keras":
            table = _KERAS if self.weighted else _KERAS | {"kernel": "pool_size"}
        found = {own: table.get(own, own) for own in wanted if table.get(own, own) in self.taken}
        lacking = [n for n in _NEEDED[self.library, self.weighted] if n not in found]
        unknown = self.needed - {*found.values()}
        if lacking or unknown:
            text = ", ".join(table.get(own, own) for own in lacking)
            problem = f"has no {text}" if lacking else f"needs {', '.join(sorted(unknown))} as well"
            like = {"conv": "Conv2d", "conv_transpose": "ConvTranspose2d"}.get(self.operator)
            like = like or {"max_pool": "MaxPool2d", "avg_pool": "AvgPool2d"}[self.operator]
            base = "torch.nn" if self.library == "torch" else "keras.layers"
            like = like if self.library == "torch" else like.replace("2d", "2D")
            raise self._wrong(f"its constructor {problem}; give it that of {base}.{like}")
        return found

    def _dims(self) -> int:
        for base in inspect.getmro(self.given):
            if named := re.search(r"([123])[dD](?![a-z])", base.__name__):
                return int(named[1])
        works = (d for d in (2, 1, 3) if any(self.takes(d, {}, numbers=n) for n in (True, False)))
        return next(works, 2)  # trying it once more says what is wrong

    def layers(self) -> Iterator[tuple[Layer, Only, bool]]:
        """Yield its layer, what it takes of the cases, and whether that is numbers alone."""
        dims = self.dims
        as_tuples = not self.takes(dims, {}, numbers=True)
        try:
            bias: bool | None = self._tried(dims, {}, numbers=not as_tuples)
        except Exception as problem:  # whatever a class raises
            text = " ".join(f"{type(problem).__name__}: {problem}".split())
            raise self._wrong(f"a layer of it could not be called: {text}") from None
        uneven = as_tuples or (
            self.takes(dims, {"kernel": (2, *(1,) * (dims - 1))})
            and self.takes(dims, {"stride": (2,) * dims})
        )
        numbers = not uneven
        if "bias" in self.names:
            bias = None
        padding: bool | str = "any"
        if "padding" not in self.names:
            padding = "none"
        elif self.library == "torch" and (numbers or not self._takes_same(dims)):
            padding = "symmetric"
        elif self.library == "keras" and self.operator == "conv_transpose":
            padding = "none"  # "same" has a rule of Keras's own
        elif self.library == "keras" and not self.takes(dims, {"padding": "SAME"}):
            padding = "none"
        missing = [n for n in SIGNATURES[self.operator].parameters if n not in self.names]
        rules: dict[str, Any] = {"dims": dims, "padding": padding, "same_on_every_axis": numbers}
        rules |= {n: False for n in missing if n in ("dilation", "output_padding", "groups")}
        if "stride" in missing:
            rules["stride"] = "kernel" if not self.weighted else False
        if "ceil_mode" in missing:
            rules["ceil_mode"] = False
        if "count_include_pad" in missing:
            rules["count_include_pad"] = True if self.library == "torch" else None
        if self.weighted:
            rules["bias"] = bias
        if numbers:
            rules["square"] = True
        recipe = self._recipe(dims, numbers)
        both = {"stride": (2,) * dims, "dilation": (2,) * dims}
        if {*both} <= {*self.names} and not self.takes(dims, both):
            recipe = replace(recipe, apart=(*both,))
        yield self._layer(recipe), only(**rules), numbers

    def takes(self, dims: int, fields: Mapping[str, Any], *, numbers: bool = False) -> bool:
        """Whether a layer can be constructed with these, and called."""
        try:
            self._tried(dims, fields, numbers=numbers)
        except Exception:  # whatever a class raises
            return False
        return True

    def _takes_same(self, dims: int) -> bool:
        if self.operator != "conv":
            return False
        return self.takes(dims, {"kernel": (2,) * dims, "padding": "same"})

    def _recipe(self, dims: int, numbers: bool) -> Recipe:
        axis = -1 if numbers else None
        scalars = (*CHANNELS, "bias", "groups", "ceil_mode", "count_include_pad")
        arguments = tuple(
            (name, own, None if own in scalars else axis) for own, name in self.names.items()
        )
        fixed = CHANNELS_LAST if "data_format" in self.taken else ()
        return Recipe(
            library=self.library,
            name=self.given.__qualname__,
            operator=self.operator,
            dims=dims,
            arguments=arguments,
            fixed=fixed if self.library == "keras" else (),
            weight=self.parameters["weight"],
            bias=self.parameters["bias"],
            has_state=self.has_state,
            needs_derivative=self.needs_derivative,
        )

    def _layer(self, recipe: Recipe) -> Layer:
        return (TorchLayer if self.library == "torch" else KerasLayer)(self.given, recipe)

    def _tried(self, dims: int, fields: Mapping[str, Any], *, numbers: bool) -> bool:
        """Construct a layer, and call it; return whether it has a bias. Raise what it raises."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._trial(dims, fields, numbers)

    def _trial(self, dims: int, fields: Mapping[str, Any], numbers: bool) -> bool:
        layer = self._layer(self._recipe(dims, numbers))
        one = (1,) * dims
        values: dict[str, Any] = {
            "kernel": (2,) * dims if not self.weighted else one,
            "stride": one,
            "dilation": one,
            "padding": "VALID" if self.library == "keras" else (0,) * dims,
            "output_padding": (0,) * dims,
            "groups": 1,
            "ceil_mode": False,
            "count_include_pad": True,
        }
        parameters = SIGNATURES[self.operator].parameters
        values = {n: v for n, v in (values | dict(fields)).items() if n in (*parameters, "kernel")}
        if not self.weighted and "stride" not in self.names:
            values["stride"] = values["kernel"]
        size = 5
        if self.library == "torch":
            import torch as backend

            x = backend.zeros((1, 2, *(size,) * dims))
        else:
            import numpy as backend  # Keras takes them

            x = backend.zeros((1, *(size,) * dims, 2), "float32")
        if not self.weighted:
            output = layer(x, **values)
            _check(output, dims)
            return False
        own = values.pop("kernel")
        for bias in (True, False):
            given = layer.recipe.values(
                layer.recipe.fields((3, 2, *own), bias, values)
                if self.operator == "conv"
                else layer.recipe.fields((2, 3, *own), bias, values)
            )
            made = layer.built(given, None)
            if self.library == "keras":
                made.build(tuple(x.shape))
            self._find_parameters(made, own, bias)
            weight = self._parameter(made, "weight")
            if weight is None:
                raise TypeError(f"it has no {self.parameters['weight']}; names= says what it is")
            if self.library == "torch":
                self.has_state = self.parameters["weight"] in made.state_dict()
            found = layer.channels_first(tuple(weight.shape))
            due = (3, 2, *own) if self.operator == "conv" else (2, 3, *own)
            if found != due:
                raise TypeError(
                    f"its {self.parameters['weight']} has the shape {tuple(weight.shape)}, where "
                    f"{due} is due, channels first"
                )
            has_bias = self._parameter(made, "bias") is not None
            if bias and not has_bias and "bias" in self.names:
                raise TypeError(f"it has no {self.parameters['bias']}; names= says what it is")
            if self.library == "torch":
                with backend.no_grad():
                    output = made(x)
            else:
                output = made(x)
            _check(output, dims)
            if "bias" not in self.names:
                return has_bias
        return True

    def _find_parameters(self, made: Any, kernel: tuple[int, ...], bias: bool) -> None:
        """Note the names of its weight and bias, where a part has them that no name leads to."""
        if self.library != "torch":
            return
        weight = (3, 2, *kernel) if self.operator == "conv" else (2, 3, *kernel)
        for which, due in (("weight", weight), ("bias", (3,)) if bias else ("weight", weight)):
            named = [n for n, p in made.named_parameters() if tuple(p.shape) == due]
            if self._parameter(made, which) is None and which not in self.given_names:
                self.parameters[which] = named[0] if len(named) == 1 else self.parameters[which]

    def _parameter(self, made: Any, which: str) -> Any:
        found = made
        for part in self.parameters[which].split("."):
            found = getattr(found, part, None)
        return found


def _check(output: Any, dims: int) -> None:
    """Raise `TypeError` for an output with another number of axes than is due."""
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) != dims + 2:
        raise TypeError(f"it returns {type(output).__name__} of shape {shape}")
