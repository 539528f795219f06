"""Standalone scripts: a failing case as a few lines that need only NumPy and the implementation."""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conformance.arrays import interpreters
from conformance.calling import Array, Inputs, process_state, to_layout
from conformance.calling.memory import place
from conformance.case import Case
from conformance.cases import invalid
from conformance.cases.data import memory_ways
from conformance.dtypes import TRAITS
from conformance.errors import Unsupported
from conformance.forms.submission import folders_of
from conformance.isolation.dispatch import RemoteFunction
from conformance.isolation.process import ENTRY, packages
from conformance.judging import HISTORY_OF_RELATIONS, PROCESS, THREADS, Prepared, Verdict
from conformance.large.judge import is_large
from conformance.operators import OPERATORS
from conformance.registration import entry_points, registry
from conformance.registration.implementation import Implementation, names_of
from conformance.registration.place import Limits
from conformance.registration.plugins import NAMED_BY_PATH, folder_of
from conformance.registration.snippets import plain
from conformance.scripts.c_program import c_program
from conformance.scripts.converting import Conversion, recipe_of
from conformance.scripts.guarding import guarded_call
from conformance.scripts.layers import layer_lines
from conformance.scripts.placing import shared, view_text
from conformance.scripts.shell import shell_script
from conformance.signatures import SIGNATURES
from conformance.sizes import result_shape

_LITERAL = 2000
"""Arrays of up to this many elements are written out."""


def script_of(implementation: Implementation, case: Case, failure: Verdict) -> str:
    """Return a script that shows a failure in ``case`` in the way in which it was first shown."""
    if failure.requirement == "DECLARE-5":
        return probe_script(implementation, case)
    if failure.history == HISTORY_OF_RELATIONS:
        return relation_script(implementation, case, failure.requirement or "")
    if is_large(case):
        return large_script(implementation, case)
    if failure.requirement == "PROCESS-6" and failure.history in ("", PROCESS):
        return process_script(implementation, Prepared.of(case), failure.cause)
    if failure.history == THREADS:
        return threads_script(implementation, Prepared.of(case))
    if failure.history in _OF_SEVERAL_KINDS:
        return history_script(implementation, case, failure.history)
    beyond = (failure.requirement or "").startswith("MEMORY")
    return script(implementation, Prepared.of(case), history=bool(failure.history), beyond=beyond)


_OF_SEVERAL_KINDS = ("sizes", "nonfinite", "compositions", "edits", "layouts")
"""Histories whose calls differ in more than their data: the suite makes them."""


def script(
    implementation: Implementation,
    prepared: Prepared,
    *,
    history: bool = False,
    beyond: bool = False,
) -> str:
    """Return a script that makes the prepared call and prints what is wrong.

    Arrays are written out in the implementation's layout; too large ones are made by the case's
    recipe, and then the script needs convformance. With ``history`` it continues with other data of
    the same shapes, and then with the first data many times. Where the call reaches ``beyond`` its
    arrays, they lie against pages without access. It is in Python, but for the call of a program,
    which is a line of a shell, and that of a library, which is in C.
    """
    case, at = prepared.case, implementation.place
    if at is not None and at.form and not history:
        write = {"program": shell_script, "library": c_program}.get(at.form)
        with contextlib.suppress(Unsupported):  # what the suite alone can call, or has made
            if write is not None:
                return write(implementation, prepared)
    inputs, parameters = prepared.inputs, case.parameters
    if case.invalid:
        inputs, parameters = invalid.apply(case, inputs, parameters)
    form, names = Conversion(implementation, case.dtype), SIGNATURES[case.operator].arguments
    keywords = form.keywords(case, parameters)
    call = f"{case.operator}({', '.join(names)}{keywords})"
    lines = [*_interpreter(implementation), "import numpy as np", *form.imports()]
    if package := TRAITS[case.dtype].package:
        lines.append(f"import {package}")
    lines += _imports(implementation, case, parameters, inputs)
    beyond = beyond and case.memory == "contiguous" and not (history or case.invalid)
    lines += ["", f"# {case.id}", *_arrays(implementation, prepared, inputs, converted=not beyond)]
    if beyond:
        room = implementation.reads_beyond
        lines += guarded_call(case.operator, names, keywords, inputs, room, form.handed)
        return "\n".join(lines) + "\n"
    if case.invalid:
        lines += [f"# invalid: {invalid.describe(case)}", f"got = {call}  # must raise"]
        return "\n".join((*lines, 'print("accepted:", got)')) + "\n"
    call = form.taken(call)
    lines += [f"got = {call}", *_SHOW]
    if history:
        other = Prepared.of(case.replace(seed=case.seed + 1))
        lines += ["first = got.copy()", "", "# other data of the same shapes"]
        lines += _arrays(implementation, other, other.inputs)
        lines += [f"got = {call}", *_SHOW]
        lines += ["", "# the first data again and again"]
        lines += _arrays(implementation, prepared, inputs)
        lines += [
            "for number in range(3, 104):",
            f"    if not np.array_equal({call}, first, equal_nan=True):",
            '        print("call", number, "differs from the first")',
            "        break",
        ]
    return "\n".join(lines) + "\n"


def history_script(implementation: Implementation, case: Case, name: str) -> str:
    """Return a Python script that makes the calls of a history, and says what is wrong."""
    lines = [
        *_interpreter(implementation),
        "from conformance.case import Case",
        "from conformance.checks.repeat import judge_named_history",
        *_loading(implementation),
        "",
        f"case = Case.parse({case.id!r})",
        f"print(judge_named_history(get({_name_there(implementation)!r}), case, {name!r}))\n",
    ]
    return "\n".join(lines)


def process_script(implementation: Implementation, prepared: Prepared, name: str) -> str:
    """Return a Python script that shows a part of the process's state before and after a call."""
    case, part = prepared.case, process_state.part(name)
    inputs, parameters = prepared.inputs, case.parameters
    if case.invalid:
        inputs, parameters = invalid.apply(case, inputs, parameters)
    call = _call(implementation, case, parameters)
    shown = part.shown_by if part is not None else "None"
    used = [module for module in _SHOWN_WITH if f"{module}." in shown]
    lines = [
        *_interpreter(implementation),
        *(f"import {module}" for module in used),
        "import numpy as np",
        *Conversion(implementation, case.dtype).imports(),
        *_imports(implementation, case, parameters, inputs),
        "",
        f"# {case.id}",
        *_arrays(implementation, prepared, inputs),
        f'print("before:", {shown})',
        "try:",
        f"    {call}",
        "except Exception as problem:",
        '    print("raised:", problem)',
        f'print("after: ", {shown})',
    ]
    return "\n".join(lines) + "\n"


_SHOWN_WITH = ("gc", "locale", "logging", "os", "random", "signal", "sys", "threading", "warnings")
"""The modules that the expressions of `conformance.calling.process_state` name, besides NumPy."""


def threads_script(implementation: Implementation, prepared: Prepared) -> str:
    """Return a Python script in which two threads make calls of the same shapes again and again."""
    case, names = prepared.case, SIGNATURES[prepared.case.operator].arguments
    arguments = f"({', '.join(names)}{',' * (len(names) == 1)})"
    form = Conversion(implementation, case.dtype)
    call = form.taken(_call(implementation, case, case.parameters))
    lines = [
        *_interpreter(implementation),
        "import sys",
        "import threading",
        "import numpy as np",
        *form.imports(),
        *_imports(implementation, case, case.parameters, prepared.inputs, threads=True),
        "",
        f"# {case.id}",
        "calls = []",
    ]
    for one in (prepared, Prepared.of(case.replace(seed=case.seed + 1))):
        lines += [*_arrays(implementation, one, one.inputs), f"calls.append(({arguments}, {call}))"]
    lines += [
        "",
        "def call_often(arguments, alone):",
        f"    {', '.join(names)}{',' * (len(names) == 1)} = arguments",
        "    for _ in range(2000):",
        f"        got = {call}",
        "        if not np.array_equal(got, alone, equal_nan=True):",
        '            print("got", got, "where one thread gets", alone, sep="\\n")',
        "            return",
        "",
        "sys.setswitchinterval(1e-6)",
        "threads = [threading.Thread(target=call_often, args=one) for one in calls * 2]",
        "for thread in threads:",
        "    thread.start()",
    ]
    return "\n".join(lines) + "\n"


def _call(implementation: Implementation, case: Case, parameters: Mapping[str, Any]) -> str:
    names = SIGNATURES[case.operator].arguments
    keywords = Conversion(implementation, case.dtype).keywords(case, parameters)
    return f"{case.operator}({', '.join(names)}{keywords})"


def relation_script(implementation: Implementation, case: Case, requirement: str) -> str:
    """Return a Python script that computes both sides of a relation, and compares them."""
    lines = [
        *_interpreter(implementation),
        "from conformance.case import Case",
        "from conformance.checks.relations import relate",
        *_loading(implementation),
        "",
        f"case = Case.parse({case.id!r})",
        f"for verdict in relate(get({_name_there(implementation)!r}), case, {requirement!r}):",
        "    print(verdict)\n",
    ]
    return "\n".join(lines)


def probe_script(implementation: Implementation, case: Case) -> str:
    """Return a Python script that asks which conventions are followed in calls like ``case``."""
    lines = [
        *_interpreter(implementation),
        "from conformance.checks.conventions import mismatches, probe",
        *_loading(implementation),
        "",
        f"one = get({_name_there(implementation)!r})",
        f"probes = probe(one, {case.operator!r}, {case.dims}, {case.dtype!r})",
        "for verdict in mismatches(one, probes):",
        "    print(verdict)\n",
    ]
    return "\n".join(lines)


def large_script(implementation: Implementation, case: Case) -> str:
    """Return a Python script that makes the call of a large case, and says what is wrong."""
    layout, signature = implementation.layout, SIGNATURES[case.operator]
    form = Conversion(implementation, case.dtype)
    call = form.taken(f"{case.operator}(*arguments{form.keywords(case, case.parameters)})")
    converted = f"{form.handed('a')} if isinstance(a, np.ndarray) else a"
    lines = [
        *_interpreter(implementation),
        *(["import numpy as np", *form.imports()] if form.imports() else []),
        *_imports(implementation, case, case.parameters, ()),
        "from conformance.calling import from_layout, to_layout",
        "from conformance.case import Case",
        "from conformance.cases.data import make_inputs",
        "from conformance.large.projection import check",
        "",
        f"case = Case.parse({case.id!r})",
        "inputs = make_inputs(case)",
        f"arguments = to_layout(inputs, {layout!r}, {signature.roles!r})",
        *([f"arguments = [{converted} for a in arguments]"] if form.imports() else []),
        f"got = {call}",
        f"print(check(case, inputs, from_layout(got, {layout!r}, {signature.result!r})))",
    ]
    return "\n".join(lines) + "\n"


def replay_command(
    implementation: Implementation, case: Case, way: str = "", after: Sequence[str] = ()
) -> str:
    """Return the command that judges ``case`` again; it loads a file that no entry point names.

    ``way`` is how it is judged if not by one call (`conformance.running.again.way_of`), and
    ``after`` has the ids of cases that are called before. Case ids are quoted even if a POSIX shell
    does not need it, so that other shells read them, too.
    """
    words = ["convformance", "replay", f"'{case.id}'", shlex.quote(implementation.name)]
    if way:
        words += ["--as", way]
    for earlier in after:
        words += ["--after", f"'{earlier}'"]
    at = implementation.place
    if at is not None and at.form:
        words += [f"--{at.option}", shlex.quote(at.target[1])]
    elif implementation.module not in entry_points.modules():
        words += ["--plugin", shlex.quote(registry.in_use().file_of(implementation))]
    if at is not None:
        if at.python != sys.executable:
            words += ["--python", shlex.quote(f"{implementation.name}={at.python}")]
        elif implementation.module in entry_points.modules() and implementation.package is None:
            words += ["--isolate"]
        if interpreters.is_on():
            words += ["--interpret"]
        if at.limits.seconds != Limits().seconds:
            words += ["--call-seconds", f"{at.limits.seconds:g}"]
        if at.limits.memory != Limits().memory:
            words += ["--call-memory", f"{at.limits.memory >> 20}"]
    return " ".join(words)


_SHOW = (
    'print("got", got, "exact", exact, sep="\\n")',
    "with np.errstate(all='ignore'):",
    '    print("differs by", np.max(np.abs(np.asarray(got, np.float64) - exact), initial=0))',
)

_POISON = "np.iinfo({x}.dtype).max if {x}.dtype.kind in 'iu' else np.nan"
"""What lies between the elements of a view, so that reading past it shows."""

_PLACED: dict[str, tuple[str, ...]] = {
    "contiguous": (),
    "fortran": ("{x} = np.asfortranarray({x})",),
    "strided": (
        "shape, poison = [2 * size + 1 for size in {x}.shape], " + _POISON,
        "view = np.full(shape, poison, {x}.dtype)[tuple(slice(1, size, 2) for size in shape)]",
        "view[...] = {x}; {x} = view",
    ),
    "reversed": ("flip = (slice(None, None, -1),) * {x}.ndim", "{x} = np.array({x}[flip])[flip]"),
    "broadcast": ("{x} = np.broadcast_to({x}[{equal}].copy(), {x}.shape)",),
    "offset": (
        "view = np.full({x}.size + 6, " + _POISON + ", {x}.dtype)",
        "view = view[3 : 3 + {x}.size].reshape({x}.shape)",
        "view[...] = {x}; {x} = view",
    ),
    "unaligned": (
        "view = np.zeros({x}.nbytes + 1, np.uint8)[1:].view({x}.dtype).reshape({x}.shape)",
        "view[...] = {x}; {x} = view",
    ),
    "readonly": ("{x}.flags.writeable = False",),
    "byteswapped": ("{x} = {x}.astype({x}.dtype.newbyteorder())",),
}
"""The lines that put an array into the memory layouts that `view_text` does not write."""


def _placing(implementation: Implementation, case: Case, inputs: Inputs) -> list[str]:
    """Return the lines that put every array into the memory layout of the case."""
    signature, lines = SIGNATURES[case.operator], []
    arrays = to_layout(inputs, implementation.layout, signature.roles)
    ways = memory_ways(case)
    for name, way, value in zip(signature.arguments, ways, arrays, strict=True):
        if not isinstance(value, np.ndarray):
            continue
        if way == "byteswapped" and (value.dtype.isbuiltin != 1 or value.dtype.itemsize == 1):
            continue  # it has no other byte order
        kept = place(value, way)[1].shape if way == "broadcast" else ()
        whole = zip(kept, value.shape, strict=True) if kept else ()
        equal = ", ".join(":" if size == full else ":1" for size, full in whole)
        if way in _PLACED:
            lines += [line.format(x=name, equal=equal) for line in _PLACED[way]]
        elif (view := view_text(name, value, way, _POISON.format(x=name))) != name:
            lines.append(f"{name} = {view}")
    return [*lines, *(_sharing(signature.arguments, arrays) if "shared" in ways else ())]


def _sharing(names: Sequence[str], values: Inputs) -> list[str]:
    """Return the lines that make the arrays views of one buffer."""
    arrays = {n: v for n, v in zip(names, values, strict=True) if isinstance(v, np.ndarray)}
    _, begins = shared(arrays)
    parts, end = [], 0
    for name, begin in sorted(begins.items(), key=lambda pair: (pair[1], -arrays[pair[0]].size)):
        if begin == end:
            parts.append(f"{name}.ravel()")
            end += arrays[name].size
    return [
        f"buffer = np.concatenate(({', '.join(parts)},))",
        *(
            f"{name} = buffer[{begins[name]} : {begins[name] + value.size}].reshape({value.shape})"
            for name, value in arrays.items()
        ),
    ]


def _arrays(
    implementation: Implementation, prepared: Prepared, inputs: Inputs, *, converted: bool = True
) -> list[str]:
    """Return the lines that make the arguments, in their memory layout, and the exact result.

    They are ``converted`` to the arrays that the implementation takes.
    """
    case, names = prepared.case, SIGNATURES[prepared.case.operator].arguments
    lines = [*_made(implementation, prepared, inputs), *_placing(implementation, case, inputs)]
    if converted:
        arguments = dict(zip(names, inputs, strict=True))
        lines += Conversion(implementation, case.dtype).lines(arguments)
    return lines


def _made(implementation: Implementation, prepared: Prepared, inputs: Inputs) -> list[str]:
    case, layout = prepared.case, implementation.layout
    signature = SIGNATURES[case.operator]
    arguments = to_layout(inputs, layout, signature.roles)
    exact = prepared.reference.exact
    if not case.invalid:
        (exact,) = to_layout((exact,), layout, (signature.result,))
    if all(np.size(value) <= _LITERAL for value in (*arguments, exact) if value is not None):
        lines = [
            f"{name} = {_literal(value)}"
            for name, value in zip(signature.arguments, arguments, strict=True)
        ]
        return lines if case.invalid else [*lines, f"exact = {_literal(exact)}"]
    return [
        "from conformance.calling import to_layout",
        "from conformance.case import Case",
        "from conformance.judging import Prepared",
        f"prepared = Prepared.of(Case.parse({case.id!r}))",
        f"{', '.join(signature.arguments)}{',' * (len(signature.arguments) == 1)} = "
        f"to_layout(prepared.inputs, {layout!r}, {signature.roles!r})",
        f"exact, = to_layout((prepared.reference.exact,), {layout!r}, ({signature.result!r},))",
    ]


def _imports(
    implementation: Implementation,
    case: Case,
    parameters: Mapping[str, Any],
    inputs: Inputs,
    *,
    threads: bool = False,
) -> list[str]:
    """Return the lines that import the function of an operator, under the operator's name.

    Of a class they are those that import and construct it, too, for a call of these inputs; which
    is what each call does where ``threads`` make them.
    """
    recipe = recipe_of(implementation, case)
    if recipe is None:
        importing = _importing(implementation, case.operator, case.operator)
        return [*importing, *_allocating(implementation, case, parameters, inputs)]
    weight = case.w
    if weight is not None and len(inputs) > 1:
        weight = np.shape(inputs[1])
    importing = [
        "import runpy",
        "import sys",
        *(f"sys.path.insert(0, {str(one)!r})" for one in folders_of(Path(recipe.file))),
        f"{recipe.name} = runpy.run_path({recipe.file!r})[{recipe.name!r}]",
    ]
    if not recipe.file:
        importing = _importing(implementation, case.operator, recipe.name)
    return [
        *importing,
        *layer_lines(recipe, implementation, case, parameters, weight, anew=threads),
        *_allocating(implementation, case, parameters, inputs),
    ]


def _allocating(
    implementation: Implementation, case: Case, parameters: Mapping[str, Any], inputs: Inputs
) -> list[str]:
    """Return the lines of a function that allocates the result, for a kernel that fills it."""
    if not implementation.out:
        return []
    sizes = tuple(np.shape(v) if isinstance(v, np.ndarray) else v for v in inputs)
    shape = OPERATORS[case.operator].output_shape(case)
    if sizes:
        shape = result_shape(case.operator, sizes, tuple(parameters.items()))
    (there,) = to_layout((shape,), implementation.layout, (SIGNATURES[case.operator].result,))
    traits, whole = TRAITS[case.dtype], case.dtype.startswith(("int", "uint"))
    dtype = f"{traits.package or 'np'}.{case.dtype}"
    canary = f"np.iinfo({dtype}).max" if whole else "np.nan"
    around = "np.concatenate((room[:64], room[-64:]))"
    return [
        "",
        f"fill = {case.operator}",
        "",
        f"def {case.operator}(*arguments, **parameters):",
        f"    room = np.full({math.prod(there)} + 128, {canary}, {dtype})",
        f"    out = room[64:-64].reshape({there})",
        f"    handed = {Conversion(implementation, case.dtype).handed('out')}",
        "    returned = fill(*arguments, out=handed, **parameters)",
        f"    if not ({around} == {canary}).all():"
        if whole
        else f"    if not np.isnan({around}).all():",
        '        print("written around the result")',
        "    return handed if returned is None else returned",
    ]


def _importing(implementation: Implementation, operator: str, called: str) -> list[str]:
    """Return the lines that import the function or class of an operator as it is ``called``."""
    function, file = implementation.functions[operator], Path(implementation.origin)
    module, name = names_of(operator, function)
    if isinstance(function, RemoteFunction):
        module, name = function.__module__, function.__name__
    alias = "" if name == called else f" as {called}"
    if not name or (module.startswith(f"{NAMED_BY_PATH}_") and "." in module):
        own = _name_there(implementation)
        return [*_loading(implementation), f"{operator} = get({own!r}).functions[{operator!r}]"]
    if implementation.module in entry_points.modules():
        return [f"from {module} import {name}{alias}"]
    plugin = Path(registry.in_use().file_of(implementation))
    if not (_in_worker(implementation) or plugin in registry.in_use().plugins()):
        return [f"from {module} import {name}{alias}"]
    path = ["import sys", f"sys.path.insert(0, {str(folder_of(plugin))!r})"]
    if module == implementation.module and file.stem != module.rpartition(".")[2]:
        # Not a name that Python finds it by.
        return [*path, "import runpy", f"{called} = runpy.run_path({str(file)!r})[{name!r}]"]
    return [*path, f"from {module} import {name}{alias}"]


def _name_there(implementation: Implementation) -> str:
    """Return the name under which its own interpreter registers it: torch, for torch@old."""
    return implementation.name if implementation.place is None else implementation.place.name


def _in_worker(implementation: Implementation) -> bool:
    return implementation.place is not None and implementation.place.target[0] == "file"


def _loading(implementation: Implementation) -> list[str]:
    """Return the lines that import ``get``, and make it find an implementation by its name."""
    getting = "from conformance.registration.registry import get"
    if implementation.place is not None and (form := implementation.place.form):
        located = implementation.place.target[1]
        home = "conformance.isolation.remote_plugins" if form == "model" else "conformance"
        return [f"from {home} import {form}", getting, f"{form}({located!r})"]
    if implementation.module in entry_points.modules():
        there = implementation.place is not None and implementation.place.python != sys.executable
        # No entry point need name it there: to import its module registers it.
        return [f"import {implementation.module}", getting] if there else [getting]
    plugins = "from conformance.registration.plugins import load_plugin"
    return [plugins, getting, f"load_plugin({registry.in_use().file_of(implementation)!r})"]


def _interpreter(implementation: Implementation) -> list[str]:
    """Return the lines that name another interpreter, and let it import the suite where it lies."""
    there, interpreted = implementation.place, []
    if interpreters.is_on():
        interpreted = ["from conformance.arrays import interpreters", "interpreters.switch(True)"]
    if there is None or there.python == sys.executable:
        return interpreted
    return [
        f"#!{there.python}",
        f"# {implementation.name}: run it with {shlex.quote(there.python)}",
        "import runpy",
        f"runpy.run_path({str(ENTRY)!r})['make_importable']({packages()!r})",
        *interpreted,
    ]


def _literal(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return plain(value)
    target = dtype_text(value)
    if value.size == 0:
        return f"np.empty({value.shape}, {target})"
    return f"np.array({numbers(value)}, {target})"


def dtype_text(value: Array) -> str:
    """Return the dtype of an array as source text; only dtypes of numbers have a NumPy name."""
    name = value.dtype.name
    if name in TRAITS:
        return f"{TRAITS[name].package or 'np'}.{name}"
    if value.dtype.kind in "fiu":
        return f"np.{name}"
    return {"O": "object", "b": "bool"}.get(value.dtype.kind, repr(value.dtype.str))


def numbers(value: Array) -> str:
    """Return an array, or a single number, as source text."""
    if value.dtype.kind in "iubOUS":
        return repr(value.tolist())
    text = repr(value.astype(np.float64).tolist())
    text = text.replace("inf", "np.inf").replace("nan", "np.nan")
    return text.replace(".0,", ",").replace(".0]", "]")
