"""What people support, as data: a ready-made ``supports=`` that needs no trial and error.

::

    @implementation("mine", supports=only(dims=2, same_on_every_axis=True, groups=False))
    def conv(x, w, bias, *, stride, padding, dilation, groups): ...

As a function of a case it says why the case is not supported. And it turns any case into one that
is supported, so that an implementation gets as many cases as one that supports everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from conformance.case import MEMORY_LAYOUTS, Case
from conformance.cases import changes
from conformance.cases.changes import Change
from conformance.errors import ConformanceError
from conformance.operators import OPERATORS

_PADDINGS = ("any", "symmetric", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """The cases that an implementation supports; None leaves a field free. `only` makes it."""

    dims: tuple[int, ...] | None = None
    same_on_every_axis: bool = False
    square: bool = False
    square_images: bool = False
    kernel: tuple[int, ...] | None = None
    stride: tuple[int, ...] | str | None = None
    dilation: tuple[int, ...] | None = None
    output_padding: tuple[int, ...] | None = None
    padding: str = "any"
    groups: bool | str = True
    bias: bool | None = None
    ceil_mode: bool | None = None
    count_include_pad: bool | None = None
    batch: tuple[int, ...] | None = None
    empty_batch: bool = True
    memory: tuple[str, ...] | None = None
    exactly: tuple[tuple[str, Any], ...] = ()
    """Fields that have one value (`conformance.cases.changes.exact`)."""

    def __call__(self, case: Case) -> bool | str:
        """Return True for a case that is supported, and else the reason."""
        if self.dims is not None and case.dims not in self.dims:
            return f"only {_listed(self.dims)} spatial dimensions"
        for reason, change in self._rules(case):
            if change(case) != case:
                return reason
        return True

    def steer(self, case: Case) -> Case | None:
        """Return a case like this one that is supported; None if the dimensions are not."""
        if self.dims is not None and case.dims not in self.dims:
            return None
        changed: Case | None = case
        for _ in range(3):  # what makes it fit again may undo a change: pooling pads half at most
            for _, change in self._rules(case) if changed is not None else ():
                assert changed is not None
                changed = change(changed)
            changed = changes.fitted(changed) if changed is not None else None
            if changed is None or self(changed) is True:
                return changed
        return None

    def _rules(self, case: Case) -> Iterator[tuple[str, Change]]:
        """Yield the reason for which each rule declines, and the change that obeys it."""
        parameters = OPERATORS[case.operator].parameters
        for name, value in self.exactly:
            text = f"only {name} {_shown(value)}"
            if value == "in_channels":
                text = "only as many outputs as channels"
            yield text, partial(changes.exact, name, value)
        if self.kernel is not None:
            yield f"only kernels of size {_listed(self.kernel)}", changes.window_of(self.kernel)
        if self.square or (self.same_on_every_axis and "kernel" in parameters):
            yield "only kernels of one size on every axis", changes.square_window
        if self.square_images:
            yield "only images of one size on every axis", changes.square_image
        if self.stride == "kernel":
            yield "only strides of the kernel's size", changes.stride_of_kernel
        for name in ("stride", "dilation", "output_padding"):
            allowed = getattr(self, name)
            if name not in parameters:
                continue
            if allowed is not None and allowed != "kernel":
                yield f"only {name} {_listed(allowed)}", changes.nearest(name, allowed)
            if self.same_on_every_axis:
                yield f"only one {name} for every axis", changes.uniform(name)
        if "padding" in parameters:
            if self.padding == "none":
                yield "no padding", changes.fixed("padding", (0, 0))
            if self.padding == "symmetric":
                yield "only symmetric padding", changes.symmetric_padding
            if self.same_on_every_axis:
                yield "only one padding for every axis", changes.uniform("padding")
        if self.groups is False:
            yield "no groups", changes.one_group
        if self.groups == "depthwise":
            yield "only depthwise", changes.depthwise
        if self.bias is not None:
            yield (
                ("no bias", changes.without_bias)
                if not self.bias
                else (
                    "only with a bias",
                    changes.with_bias,
                )
            )
        for name in ("ceil_mode", "count_include_pad"):
            value = getattr(self, name)
            if value is not None and name in parameters:
                yield f"only {name}={value}", changes.fixed(name, value)
        if self.batch is not None:
            yield f"only batches of {_listed(self.batch)}", partial(changes.batch_of, self.batch)
        if not self.empty_batch:
            yield "no empty batch", changes.full_batch
        if self.memory is not None:
            text = f"only {_listed(self.memory)} arrays"
            yield text, partial(changes.memory_of, self.memory)


def only(
    *,
    dims: int | Iterable[int] | None = None,
    same_on_every_axis: bool = False,
    square: bool = False,
    kernel: int | Iterable[int] | None = None,
    stride: bool | int | str | Iterable[int] | None = None,
    dilation: bool | int | Iterable[int] | None = None,
    output_padding: bool | int | Iterable[int] | None = None,
    padding: bool | str = "any",
    groups: bool | str = True,
    bias: bool | None = None,
    ceil_mode: bool | None = None,
    count_include_pad: bool | None = None,
    batch: int | Iterable[int] | None = None,
    empty_batch: bool = True,
    memory: str | Iterable[str] | None = None,
) -> Only:
    """Return a ``supports=`` for an implementation that supports only these cases.

    - ``dims``: the numbers of spatial dimensions.
    - ``same_on_every_axis``: each parameter (of a pooling the kernel, too) is the same on each.
    - ``square``: so is the kernel of a convolution.
    - ``kernel``, ``stride``, ``dilation``, ``output_padding``: the allowed entries. False allows
      only the default; ``stride="kernel"`` is a pooling whose windows lie side by side.
    - ``padding``: ``"symmetric"`` (as much after an axis as before it), or ``"none"``.
    - ``groups``: False for none, or ``"depthwise"``.
    - ``bias``, ``ceil_mode``, ``count_include_pad``: the one allowed value.
    - ``batch``: the allowed sizes; ``empty_batch=False`` allows all but 0.
    - ``memory``: the allowed memory layouts, such as ``"contiguous"``.

    What is left out is free. Raises `ConformanceError` for a value that is none of these.
    """
    if padding in (True, False):
        padding = "any" if padding else "none"
    values: dict[str, Any] = {
        "dims": _numbers("dims", dims, 1),
        "kernel": _numbers("kernel", kernel, 1),
        "stride": stride if stride == "kernel" else _numbers("stride", stride, 1),
        "dilation": _numbers("dilation", dilation, 1),
        "output_padding": _numbers("output_padding", output_padding, 0),
        "padding": _among("padding", padding, *_PADDINGS),
        "groups": _among("groups", groups, True, False, "depthwise"),
        "batch": _numbers("batch", batch, 0),
        "memory": (memory,) if isinstance(memory, str) else memory and tuple(memory),
    }
    for layout in values["memory"] or ():
        _among("memory", layout, *MEMORY_LAYOUTS)
    for name, value in (("same_on_every_axis", same_on_every_axis), ("square", square)):
        values[name] = _among(name, value, True, False)
    values["empty_batch"] = _among("empty_batch", empty_batch, True, False)
    flags = {"bias": bias, "ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    for name, flag in flags.items():
        values[name] = _among(name, flag, True, False, None)
    return Only(**values)


def _numbers(name: str, given: Any, least: int) -> tuple[int, ...] | None:
    """Return the allowed numbers, None for all; False stands for the default alone."""
    if given is None or given is True:
        return None
    listed = (least,) if given is False else (given,) if isinstance(given, int) else given
    try:
        values = tuple(listed)
    except TypeError:
        values = ()
    whole = all(isinstance(v, int) and not isinstance(v, bool) and v >= least for v in values)
    if isinstance(given, str) or not values or not whole:
        raise ConformanceError(f"only({name}={given!r}); whole numbers, {least} or more")
    return values


def _among(name: str, given: Any, *allowed: Any) -> Any:
    if not any(given is a or (isinstance(a, str) and given == a) for a in allowed):
        text = ", ".join(map(repr, allowed))
        raise ConformanceError(f"only({name}={given!r}); allowed: {text}")
    return given


def _shown(value: Any) -> str:
    entries = value if isinstance(value, tuple) else (value,)
    return ",".join("any" if entry is None else str(entry) for entry in entries)


def _listed(values: Iterable[object]) -> str:
    return " or ".join(map(str, values))
