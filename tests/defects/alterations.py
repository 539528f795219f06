"""Small ways to alter the axes of a call, shared by the defects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.defects.kernels import Axis

Alter = Callable[[list[Axis]], list[Axis]]


def every(**changes: Any) -> Alter:
    """Change these fields of every axis; a value may be a function of the axis."""
    return lambda axes: [_changed(axis, changes) for axis in axes]


def last(**changes: Any) -> Alter:
    """Change these fields of the last axis."""
    return lambda axes: [*axes[:-1], _changed(axes[-1], changes)]


def taken_from(pick: Callable[[list[Axis]], list[Axis]], *fields: str) -> Alter:
    """Take these fields of each axis from the axis that ``pick`` puts in its place."""
    return lambda axes: [
        axis._replace(**{name: getattr(other, name) for name in fields})
        for axis, other in zip(axes, pick(axes), strict=True)
    ]


def backwards(axes: list[Axis]) -> list[Axis]:
    """Return the axes from last to first: rows and columns swapped."""
    return axes[::-1]


def first_everywhere(axes: list[Axis]) -> list[Axis]:
    """Return the first axis in every place."""
    return [axes[0]] * len(axes)


def _changed(axis: Axis, changes: dict[str, Any]) -> Axis:
    values = {name: value(axis) if callable(value) else value for name, value in changes.items()}
    return axis._replace(**values)
