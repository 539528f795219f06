"""Lines of a script that construct a layer, and call it as the function of an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.arrays.parameters import expressed
from conformance.case import Case
from conformance.errors import Unsupported
from conformance.registration.implementation import Implementation
from conformance.registration.recipes import Recipe
from conformance.registration.snippets import plain
from conformance.signatures import SIGNATURES


def layer_lines(
    recipe: Recipe,
    implementation: Implementation,
    case: Case,
    parameters: Mapping[str, Any],
    weight: tuple[int, ...] | None,
    *,
    anew: bool = False,
) -> list[str]:
    """Return the lines of the layer, and of the function that puts parameters into it.

    The class is there under its name, and ``weight`` is the shape of the weight, channels first.
    With ``anew`` each call constructs a layer, as threads need.
    """
    names = SIGNATURES[case.operator].arguments
    if recipe.data:
        filled = ["out"] if "out" in recipe.data else []
        data = ", ".join(recipe.data)
        return [
            "",
            f"def {case.operator}({', '.join((*names, *filled))}):",
            f"    return {recipe.name}({f'({data})' if len(recipe.data) > 1 else data})",
        ]
    text = _construction(recipe, implementation, case, parameters, weight)
    inside = [*_setting(recipe, case), "return layer(x)"]
    making = [f"layer = {text}", *_built(recipe, case)]
    if anew:
        inside, making = [*making, *inside], []
    return [
        "",
        *making,
        "",
        f"def {case.operator}({', '.join(names)}):",
        *(f"    {i}" for i in inside),
    ]


def _construction(
    recipe: Recipe,
    implementation: Implementation,
    case: Case,
    parameters: Mapping[str, Any],
    weight: tuple[int, ...] | None,
) -> str:
    convention = implementation.parameters
    names = implementation.keywords[case.operator]
    try:
        given = expressed(convention, names, case.operator, (case.x, weight or ()), parameters)
        values = recipe.values(recipe.fields(weight, case.bias, given))
    except Unsupported as gap:
        values = {"": f"... {gap}"}
    if recipe.library == "keras":
        values["dtype"] = case.dtype
    named = {name: "" if recipe.order else f"{name}=" for name in values}
    arguments = ", ".join(f"{named[name]}{plain(value)}" for name, value in values.items())
    made = f"{recipe.name}({arguments})"
    if recipe.library == "torch" and case.w is not None and case.dtype != "float32":
        made += f".to(torch.{case.dtype})"
    device = implementation.device
    moves = recipe.library == "torch" and device != "cpu"
    return f"{made}.to({device!r})" if moves else made


def _built(recipe: Recipe, case: Case) -> Sequence[str]:
    if recipe.library != "keras" or case.w is None:
        return ()
    return (f"layer.build((None, *{case.x[2:]}, {case.x[1]}))",)


def _setting(recipe: Recipe, case: Case) -> Sequence[str]:
    if case.w is None:
        return ()
    named = {recipe.weight: "w"} | ({recipe.bias: "bias"} if case.bias else {})
    if recipe.library == "keras":
        return tuple(f"layer.{name}.assign({value})" for name, value in named.items())
    if not recipe.has_state:
        return tuple(f"layer.{name} = {value}" for name, value in named.items())
    inside = ", ".join(f"{name!r}: {value}" for name, value in named.items())
    return (f"layer.load_state_dict({{{inside}}}, strict=False)",)
