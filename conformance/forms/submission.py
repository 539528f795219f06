"""Files in the layout of GPU MODE's problems: ``custom_kernel(data)``, beside its reference.

``ref_kernel(data)``, in the file or in ``reference.py`` of its problem, says what is due: it is
called under hooks, without numbers, on what ``generate_input`` makes for each line of ``task.yml``,
and has to be one operator. So it is known which element of ``data`` is the input, the weight or the
bias, and which is the result that is to be filled. What is the same in all of these calls (square
kernels, as many outputs as channels, a stride) is kept.
"""

from __future__ import annotations

import inspect
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.calling.observing import one_line
from conformance.cases.only import Only
from conformance.errors import PluginError, Unsupported
from conformance.forms.declaring import implementation_of
from conformance.registration.implementation import Implementation
from conformance.registration.recipes import Recipe
from conformance.signatures import SIGNATURES
from conformance.sizes import result_shape

if TYPE_CHECKING:
    from conformance.forms.tracing import Traced

KERNEL, REFERENCE = "custom_kernel", "ref_kernel"
_ORDERS = (
    *(("x", "w"), ("x", "w", "out"), ("x", "w", "bias"), ("x", "w", "bias", "out")),
    *(("x",), ("x", "out")),
)
"""What the elements of ``data`` may be, where nothing makes any."""
_LINE = re.compile(r"\s*-\s*(\{.*\})\s*")
"""A line of a task.yml with the arguments of ``generate_input``, which is JSON as well."""


def folder_of(file: Path) -> Path | None:
    """Return the folder of the problem that a file belongs to, None if there is none."""
    return next((one for one in file.parents[:3] if (one / "reference.py").is_file()), None)


def folders_of(file: Path) -> list[Path]:
    """Return the folders that a file of a problem imports from, the one to look into first last."""
    problem = folder_of(file)
    folders = (problem.parent, problem, file.parent) if problem else (file.parent,)
    return [*dict.fromkeys(folders)]


def load(
    kernel: Callable[[Any], Any] | None, reference: Mapping[str, Any], file: Path, where: str
) -> Implementation:
    """Return the implementation that consists of a file's ``custom_kernel``.

    ``reference`` is what defines ``ref_kernel``. Raises `PluginError` where that does not say what
    is due.
    """
    if not callable(kernel):
        raise PluginError(f"{where}: has no function {KERNEL}(data)")
    due = reference.get(REFERENCE)
    if not callable(due):
        raise PluginError(
            f"{where}: nothing says what {KERNEL}(data) computes; define {REFERENCE}(data), in it "
            f"or in reference.py beside it, which calls torch.nn.functional.conv2d, for example, "
            f"with elements of data"
        )
    problem = _Problem(due, reference.get("generate_input"), folder_of(file), where)
    base = problem.base
    recipe = Recipe(
        library="torch",
        name=KERNEL,
        operator=base.operator,
        dims=base.dims,
        arguments=(),
        file=str(file),
        data=problem.elements,
        strict=False,
    )
    import torch

    return implementation_of(
        {},
        {base.operator: Kernel(kernel, recipe, problem.kept, Kernel(due, recipe, problem.kept))},
        file,
        where,
        arrays="torch",
        device="cuda:0" if torch.cuda.is_available() else "cpu",
        parameters="torch",
        out="out" in problem.elements,
        dtypes=str(problem.dtype).removeprefix("torch."),
        arguments="unchecked",
        supports=problem.only(),
    )


class _Problem:
    """What a reference computes, and of what."""

    def __init__(self, reference: Any, generate: Any, folder: Path | None, where: str) -> None:
        self.where, self.made_of = where, ""
        calls = [*self._calls(reference, generate, folder)]
        if not calls:
            made = f": it is {self.made_of}" if self.made_of else ""
            raise PluginError(f"{where}: {REFERENCE} is not one convolution or pool{made}")
        self.traced = [traced for traced, _ in calls]
        self.base, data = calls[0]
        self.generated = callable(generate)
        self.elements = self._elements(data)
        self.dtype = self.base.tensors["x"].dtype
        self.kept = self._kept()

    def _calls(
        self, reference: Any, generate: Any, folder: Path | None
    ) -> Iterator[tuple[Traced, Sequence[Any]]]:
        """Yield each call of the reference that is one operator, and its data."""
        import torch

        from conformance.forms.tracing import trace

        for data in self._data(generate, folder):
            try:
                traced, self.made_of = trace(lambda data=data: reference(data))  # type: ignore[misc]
            except Exception as problem:  # whatever it raises
                if callable(generate):
                    text = f"{type(problem).__name__}: {one_line(problem)}"
                    raise PluginError(f"{self.where}: {REFERENCE}: {text}") from None
                continue
            if traced is not None and isinstance(traced.tensors["x"], torch.Tensor):
                yield traced, (data if isinstance(data, (tuple, list)) else (data,))
                if not callable(generate):
                    return
            elif callable(generate):
                return

    def _data(self, generate: Any, folder: Path | None) -> Iterator[Any]:
        """Yield what the reference may be called with."""
        import torch

        from conformance.forms.tracing import on_meta

        if not callable(generate):
            for order, dims in itertools.product(_ORDERS, (2, 1, 3)):
                shapes = {"x": (2, 4, *(9, 8, 7)[:dims]), "w": (6, 4, *(3, 2, 2)[:dims])}
                shapes |= {"bias": (6,), "out": (2, 6, *(7, 7, 6)[:dims])}
                for names in itertools.permutations(order):
                    data = tuple(torch.empty(shapes[name], device="meta") for name in names)
                    yield data
                if len(order) == 1:
                    yield data[0]
            return
        for given in _arguments(generate, folder):
            try:
                with on_meta():
                    data = generate(**given)
            except Exception as problem:  # whatever it raises
                text = f"{type(problem).__name__}: {one_line(problem)}"
                raise PluginError(f"{self.where}: generate_input(**{given}): {text}") from None
            yield data

    def _elements(self, data: Sequence[Any]) -> tuple[str, ...]:
        """Return what each element of the data is."""
        import torch

        base, found = self.base, []
        shape = self._shape_of_result()
        for number, one in enumerate(data):
            names = [name for name, tensor in base.tensors.items() if tensor is one]
            is_tensor = isinstance(one, torch.Tensor)
            if names:
                found.append(names[0])
            elif is_tensor and (tuple(one.shape) == shape or not self.generated):
                found.append("out")
            else:
                kind = f"a tensor of shape {tuple(one.shape)}" if is_tensor else repr(one)
                raise PluginError(
                    f"{self.where}: element {number} of data is {kind}, and {REFERENCE} calls "
                    f"{base.operator}{base.dims}d with others; data has the input, the weight and "
                    f"the bias of that call, and a result to fill"
                )
        lacking = [n for n, tensor in base.tensors.items() if tensor is not None and n not in found]
        if lacking or found.count("out") > 1:
            text = f"no {' and no '.join(lacking)}" if lacking else "several results"
            raise PluginError(
                f"{self.where}: data has {text} of the {base.operator}{base.dims}d that "
                f"{REFERENCE} calls, as an element by itself"
            )
        return tuple(found)

    def _shape_of_result(self) -> tuple[int, ...]:
        base = self.base
        names = SIGNATURES[base.operator].parameters
        fields = {n: base.fields[n] for n in ("kernel", *names) if n in names}
        fields["padding"] = tuple((p, p) for p in base.fields["padding"])
        tensors = (base.tensors[n] for n in SIGNATURES[base.operator].arguments)
        sizes = tuple(None if one is None else tuple(one.shape) for one in tensors)
        return result_shape(base.operator, sizes, tuple(fields.items()))

    def _kept(self) -> dict[str, Any]:
        """Return the parameters that all calls have."""
        names = SIGNATURES[self.base.operator].parameters
        kept = {name: self.base.fields[name] for name in names}
        if self._is_depthwise():
            del kept["groups"]
        for name, value in kept.items():
            if isinstance(value, str) or any(
                traced.fields[name] != value for traced in self.traced
            ):
                raise PluginError(
                    f"{self.where}: the {name} differs from call to call, and {KERNEL} is not "
                    f"handed it"
                )
        return kept

    def _is_depthwise(self) -> bool:
        """Whether each channel is a group, however many there are."""
        groups = {traced.fields.get("groups", 1) for traced in self.traced}
        return len(groups) > 1 and all(
            traced.fields["groups"] == traced.fields["in_channels"] for traced in self.traced
        )

    def only(self) -> Only:
        """Return what is the same in all calls."""
        fields, rules = self.base.fields, {}
        exactly = dict(self.kept)
        exactly["padding"] = tuple((p, p) for p in self.kept["padding"])
        if self.base.tensors.get("w") is not None:
            rules["bias"] = fields["bias"]
        if self._is_depthwise():
            rules["groups"] = "depthwise"
        if self.generated:
            every = [dict(one.fields) | {"x": one.tensors["x"].shape} for one in self.traced]
            rules["square"] = all(len({*one["kernel"]}) == 1 for one in every)
            rules["square_images"] = all(len({*one["x"][2:]}) == 1 for one in every)
            if all(one.get("in_channels", 0) == one.get("out_channels", 1) for one in every):
                exactly["out_channels"] = "in_channels"
        return Only(
            dims=(self.base.dims,),
            padding="symmetric",
            empty_batch=False,
            memory=("contiguous",),
            exactly=tuple(exactly.items()),
            **rules,
        )


def _arguments(generate: Any, folder: Path | None) -> Iterator[dict[str, Any]]:
    """Yield the arguments of ``generate_input`` in a task.yml, or else small numbers."""
    file = None if folder is None else folder / "task.yml"
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file and file.is_file() else ():
        if match := _LINE.fullmatch(line):
            try:
                found.append(json.loads(match[1]))
            except ValueError:
                continue
    names = inspect.signature(generate).parameters
    yield from (one for one in found if {*one} <= {*names})
    if not any({*one} <= {*names} for one in found):
        yield {n: 8 for n, p in names.items() if p.default is p.empty}


class Kernel:
    """``custom_kernel``, as the function of an operator."""

    def __init__(
        self,
        kernel: Callable[[Any], Any],
        recipe: Recipe,
        kept: Mapping[str, Any],
        own: Kernel | None = None,
    ) -> None:
        self.kernel, self.recipe, self.kept, self.own = kernel, recipe, kept, own
        self.whose = REFERENCE
        self.__name__, self.__module__ = KERNEL, kernel.__module__
        self.__wrapped__ = kernel
        signature, kinds = SIGNATURES[recipe.operator], inspect.Parameter
        named = [*signature.parameters, *(("out",) if "out" in recipe.data else ())]
        self.__signature__ = inspect.Signature(
            [
                *(kinds(name, kinds.POSITIONAL_ONLY) for name in signature.arguments),
                *(kinds(name, kinds.KEYWORD_ONLY) for name in named),
            ]
        )

    @property
    def recipes(self) -> dict[int, Recipe]:
        """How it is called."""
        return {self.recipe.dims: self.recipe}

    def __call__(self, *arrays: Any, out: Any = None, **parameters: Any) -> Any:
        """Call it with the arrays of a call whose parameters are those that it has."""
        for name, value in parameters.items():
            if self.kept.get(name, value) != value:
                raise Unsupported(f"{KERNEL} is not handed the {name}")
        there = dict(zip(SIGNATURES[self.recipe.operator].arguments, arrays, strict=True))
        there["out"] = arrays[0].new_empty(0) if out is None else out
        data = tuple(there[name] for name in self.recipe.data)
        returned = self.kernel(data if len(data) > 1 else data[0])
        return self._in(out, returned)

    def _in(self, out: Any, returned: Any) -> Any:
        """Return the result of a call: that which was filled, with another one copied into it."""
        if out is None or returned is None or returned is out:
            return returned
        if getattr(returned, "shape", None) == out.shape and returned.dtype == out.dtype:
            out.copy_(returned)
            return out
        return returned


def forget(folder: Path) -> None:
    """Let modules of a problem's folder be found anew: each problem has a ``task`` of its own."""
    for name in ("task", "utils", "reference"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file).parent in (folder, folder.parent):
            del sys.modules[name]
