"""Templates: a file of a user's own to start from, with every operator, and tests beside it.

What the files say of operators, cases and declarations is read from the signatures and docstrings,
so that it stays true. An example in each language works at once: a convolution in two dimensions.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import keyword
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields
from importlib.resources import files as files_in_package
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from conformance.case import Case
from conformance.cases.only import only
from conformance.errors import ConformanceError
from conformance.forms.header import header
from conformance.operators import OPERATORS
from conformance.registration.declarations import Arguments
from conformance.registration.registry import implementations
from conformance.signatures import SIGNATURES

KINDS = ("numpy", "numba", "c", "torch", "triton")
"""What the example is written in: NumPy, loops that Numba compiles, C that ctypes calls, tensors of
PyTorch, or Triton."""
INTERPRETED = ("triton",)
"""Those whose kernels need a GPU, or an interpreter."""

_WIDTH = 100
_ABOUT_A_CASE = ("operator", "dims", "dtype", "x", "w", "bias", "window")
"""What ``supports=`` may ask of a case, before the parameters of its operator."""


def files(path: Path, kind: str) -> dict[Path, str]:
    """Return the files of a new implementation, by path: ``path`` is the one that registers it.

    Raises `ConformanceError` for a name that could not be imported, or would hide a module.
    """
    _check_name(path)
    values = {
        "file": path.name,
        "stem": path.stem,
        "name": _name(path.stem),
        "example": "conv",
        "interpreted": kind in INTERPRETED,
        "about_only": list(_about_only()),
        "about_a_case": list(_about_a_case()),
        "declarations": list(_declarations()),
        "operators": [(name, str(sig), _first_line(name)) for name, sig in SIGNATURES.items()],
    }
    templates = {path: f"{kind}.py.j2", path.with_name(f"test_{path.name}"): "test.py.j2"}
    if kind == "c":
        templates[path.with_suffix(".c")] = "kernel.c.j2"
    environment = Environment(
        loader=PackageLoader("conformance", "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # nothing of this is HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return {
        file: environment.get_template(template).render(kind=kind, **values)
        for file, template in templates.items()
    }


def library_files(path: Path) -> dict[Path, str]:
    """Return the files of a C library, by path: its source, and the header beside it.

    Raises `ConformanceError` for the name of another kind of file.
    """
    if path.suffix != ".c":
        raise ConformanceError(f"{path}: not a C file; its name must end in .c")
    source = files_in_package(__package__).joinpath("library.c.j2").read_text(encoding="utf-8")
    return {path: source, path.with_name("convformance.h"): header()}


def _check_name(path: Path) -> None:
    """Raise `ConformanceError` unless tests could import the file, and it hides no module."""
    stem = path.stem
    if path.suffix != ".py":
        raise ConformanceError(f"{path}: not a Python file; its name must end in .py")
    if not _is_proper(stem):
        words = "_".join(re.findall("[A-Za-z0-9]+", stem)) or "conv"
        proper = path.with_stem(words if _is_proper(words) else f"my_{words}")
        raise ConformanceError(f"{path}: no module can have that name; call it {proper}")
    found = (finder.find_spec(stem, None) for finder in sys.meta_path)  # not what is loaded already
    hidden = next(filter(None, found), None)
    if hidden is not None and hidden.origin != str(path.resolve()):
        proper = path.with_stem(f"my_{stem}")
        raise ConformanceError(f"{path}: would hide the module {stem}; call it {proper}")


def _is_proper(name: str) -> bool:
    """Whether a module of one's own can have a name."""
    return bool(re.fullmatch("_?[A-Za-z][A-Za-z0-9_]*", name)) and not keyword.iskeyword(name)


def _name(stem: str) -> str:
    """Return the implementation's name: that of its file, unless it is taken."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-") or "mine"
    return f"my-{name}" if name in implementations() else name


def _about_a_case() -> Iterator[str]:
    """Yield lines on what a case has that an implementation may not support."""
    said = _attribute_docstrings(Case)
    parameters = [name for signature in SIGNATURES.values() for name in signature.parameters]
    for name in dict.fromkeys((*_ABOUT_A_CASE, *parameters)):
        yield from textwrap.wrap(
            " ".join(said[name].split()),
            _WIDTH,
            initial_indent=f"#     case.{name}".ljust(30),
            subsequent_indent="#".ljust(30),
        )


def _about_only() -> Iterator[str]:
    """Yield lines on the arguments of `only`."""
    for line in inspect.cleandoc(only.__doc__ or "").splitlines():
        if line.startswith(("- ", "  ")):
            yield f"#     {line.replace('`', '')}"


def _declarations() -> Iterator[str]:
    """Yield lines on what an implementation can declare of itself."""
    for spec in fields(Arguments):
        if "says" not in spec.metadata or spec.name == "supports":
            continue
        factory = spec.default_factory
        default = spec.default if factory is MISSING else factory()
        yield f"    # {spec.name}={default!r}".replace("'", '"')
        says = " ".join(spec.metadata["says"].split())
        yield from textwrap.wrap(
            says, _WIDTH, initial_indent="    #     ", subsequent_indent="    #     "
        )


def _first_line(operator: str) -> str:
    return (type(OPERATORS[operator]).__doc__ or "").splitlines()[0]


def _attribute_docstrings(of: type) -> dict[str, str]:
    """Return the docstrings of a class's fields and properties, by name."""
    (body,) = ast.parse(inspect.getsource(of)).body
    assert isinstance(body, ast.ClassDef)
    said = {
        node.name: ast.get_docstring(node) or ""
        for node in body.body
        if isinstance(node, ast.FunctionDef)
    }
    for pair in itertools.pairwise(body.body):
        match pair:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(says))):
                said[name] = inspect.cleandoc(says)
    return said
