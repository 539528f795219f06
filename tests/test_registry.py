"""Registration: what is accepted, and that each mistake is named with its place and its remedy."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from conformance.case import Case
from conformance.errors import ConformanceError, PluginError, RegistrationError
from conformance.registration import entry_points as declared_entry_points
from conformance.registration import registry
from conformance.registration.declarations import Declarations
from conformance.registration.implementation import Implementation
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import Registry, find, get, implementation, implementations

HERE = str(Path(__file__).resolve())
CONV = Case.parse("conv1d:float32:x=1,1,3:w=1,1,1:normal@0")

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    """An empty registry, no entry points, and no module left behind."""
    before = set(sys.modules)
    with registry.using(Registry()):
        yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a Python file and returns its path."""

    def write_it(text: str, name: str = "plugin.py") -> Path:
        path = tmp_path / name
        path.write_text("from conformance import implementation\n" + textwrap.dedent(text))
        return path

    return write_it


PLUGIN = """
@implementation("mine")
def conv(x, w, bias, *, stride, padding, dilation, groups): ...
"""


def conv(
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> None: ...


def import_file(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def message_of(call: Callable[[], Any], kind: type[Exception] = RegistrationError) -> str:
    """Return the message that a call fails with, which must be one line."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- what is accepted -----------------------------------------------------------------------------


def test_the_decorator_returns_the_function_unchanged() -> None:
    assert conv is implementation("mine")(conv)


def test_a_function_is_registered_under_its_name() -> None:
    implementation("mine")(conv)

    assert {"conv": conv} == get("mine").functions


def test_calls_with_one_name_in_one_file_share_one_implementation() -> None:
    assert implementation("mine") is implementation("mine")


def test_operators_come_in_the_order_of_the_tables() -> None:
    mine = implementation("mine")
    for name in ("avg_pool", "max_pool", "conv_transpose", "conv"):
        mine.register(name, lambda *arrays, **parameters: None)

    assert ("conv", "conv_transpose", "max_pool", "avg_pool") == mine.operators


@pytest.mark.parametrize(
    "signature",
    [
        "x, w, bias, *, stride, padding, dilation, groups",
        "x, w, bias, stride, padding, dilation, groups",
        "x, w, bias, /, *, groups, dilation, padding, stride",
        "*arrays, **parameters",
        "x, w, bias=None, *, stride=1, padding=0, dilation=1, groups=1, more=2",
    ],
)
def test_every_signature_that_can_be_called_is_accepted(signature: str, write: Write) -> None:
    path = write(f'@implementation("mine")\ndef conv({signature}): ...')

    assert ("conv",) == load_plugin(path)[0].operators


def test_a_callable_object_can_be_registered() -> None:
    class Engine:
        def __call__(self, *arrays: Any, **parameters: Any) -> None: ...

    engine = Engine()
    implementation("mine").register("conv", engine)

    assert engine is get("mine").functions["conv"]


def test_the_family_is_the_package_unless_it_is_declared() -> None:
    families = [
        implementation("a").family,
        implementation("b", package="torch").family,
        implementation("c", package="torch", family="onednn").family,
    ]

    assert ["a", "torch", "onednn"] == families


def test_one_dtype_may_be_given_as_its_name() -> None:
    assert ("float64",) == implementation("mine", dtypes="float64").dtypes


def test_a_declaration_is_an_argument_that_help_explains() -> None:
    names = [spec.name for spec in dataclasses.fields(Declarations)]

    assert ["name", *names, "version"] == list(inspect.signature(implementation).parameters)
    assert all(f"- ``{name}``: " in str(implementation.__doc__) for name in names)


# --- versions -------------------------------------------------------------------------------------


def test_what_a_plugin_registers_has_no_version(write: Write) -> None:
    folder = write("").parent / "implementations"
    folder.mkdir()
    path = write(PLUGIN, name="implementations/plugin.py")

    assert "" == load_plugin(path)[0].version


def test_what_a_distribution_registers_has_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("mine", load=lambda: None, module="tests.package", version="3.1")
    monkeypatch.setattr(declared_entry_points, "installed", lambda: (entry,))
    mine = implementation("mine")
    modules = ("tests.package", "tests.other", "test")

    assert ["3.1", "3.1", ""] == [replace(mine, module=module).version for module in modules]


def test_a_declared_version_is_the_version() -> None:
    assert "7" == implementation("mine", version="7").version


# --- registries -----------------------------------------------------------------------------------


def test_a_registry_of_its_own_is_empty_and_forgotten() -> None:
    implementation("mine")
    with registry.using(Registry()):
        implementation("other")

        assert ["other"] == list(implementations())
    assert ["mine"] == list(implementations())


def test_a_copy_starts_with_what_there_is() -> None:
    mine = implementation("mine")
    with registry.using(registry.in_use().copy()) as copy:
        implementation("other")

        assert {"mine": mine, "other": get("other")} == copy.implementations()
    assert {"mine": mine} == implementations()


def test_a_plugin_can_be_loaded_into_a_registry(write: Write) -> None:
    own = Registry()
    load_plugin(write(PLUGIN), into=own)

    assert ["mine"] == list(own.implementations())
    assert {} == implementations()


# --- mistakes in a declaration --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"layout": "NCHWc"}, "layout='NCHWc'; allowed: NCHW, NHWC"),
        ({"error": "relative"}, "error='relative'; allowed: componentwise, normwise"),
        ({"dtypes": "fp32"}, "dtypes='fp32'; did you mean float32? allowed: float32,"),
        ({"dtypes": ("float8",)}, "dtypes='float8'; did you mean float64? allowed: float32,"),
        ({"dtypes": ()}, "dtypes=(); name at least one of float32,"),
        ({"accumulate": "fp16"}, "accumulate='fp16'; allowed: bfloat16, float16, tf32,"),
        ({"multiply": ["tf32"]}, "multiply=['tf32']; allowed: bfloat16, float16, tf32,"),
        ({"amplification": 2.0}, 'amplification needs error="normwise"'),
        ({"error": "normwise", "amplification": 0}, "amplification=0; a positive number"),
        ({"error": "normwise", "amplification": float("nan")}, "amplification=nan; a positive"),
        ({"error": "normwise", "amplification": "2"}, "amplification='2'; a positive number"),
        ({"shape_seconds": -1}, "shape_seconds=-1; seconds, 0 or more"),
        ({"work_seconds": "2"}, "work_seconds='2'; seconds, 0 or more"),
        ({"supports": "float32"}, "supports must be a function of a case"),
    ],
    ids=str,
)
def test_a_wrong_declaration_is_named_with_what_is_allowed(
    declared: dict[str, Any], expected: str
) -> None:
    message = message_of(lambda: implementation("mine", **declared))

    assert message.startswith(f"{HERE}: implementation 'mine': {expected}")


@pytest.mark.parametrize("declared", [{"layout": "NCHWc"}, {"dtypes": ()}, {"multiply": "x"}])
def test_a_wrong_declaration_registers_nothing(declared: dict[str, Any]) -> None:
    message_of(lambda: implementation("mine", **declared))

    assert {} == implementations()


@pytest.mark.parametrize("name", ["", " mine", "my conv", "-mine", "a/b", "a\nb", 3, None, conv])
def test_a_bad_name_is_named_with_an_example(name: Any) -> None:
    message = message_of(lambda: implementation(name))

    assert message.startswith(f"{HERE}: implementation {name!r}: a name is letters, digits and")
    assert message.endswith('@implementation("my-conv")')


@pytest.mark.parametrize("name", ["mine", "torch@2.1", "a.b_c+d=e[f]", "7z", "conv-nhwc"])
def test_a_good_name_is_kept(name: str) -> None:
    assert name == implementation(name).name


@pytest.mark.parametrize(
    "second",
    [
        {"layout": "NHWC"},
        {"supports": lambda case: True},
        {"accumulate": "float64"},
        {"conventions": {"nan": "ignore"}},
        {"version": "7"},
    ],
)
def test_one_name_declared_in_two_ways_is_a_mistake(second: dict[str, Any]) -> None:
    implementation("mine")
    message = message_of(lambda: implementation("mine", **second))

    assert message.startswith(f"{HERE}: implementation 'mine' is declared twice, differently;")


def test_one_name_in_two_files_names_both(write: Write) -> None:
    implementation("mine")
    path = write(PLUGIN)
    message = message_of(lambda: import_file(path, "second_file"))

    assert f"{path}: the name 'mine' is taken by {HERE}; choose another name" == message


# --- mistakes in a function -----------------------------------------------------------------------


def test_an_unknown_operator_is_named_with_its_line_and_the_known_ones(write: Write) -> None:
    path = write('@implementation("mine")\ndef conv2d(x): ...')
    message = message_of(lambda: import_file(path, "unknown_operator"))

    assert message.startswith(
        f"{path}:2: implementation 'mine': function 'conv2d' is not named after an operator; "
        f"rename it to one of conv, conv_transpose, max_pool, avg_pool"
    )


def test_an_operator_twice_names_both_lines(write: Write) -> None:
    path = write(PLUGIN + PLUGIN)
    message = message_of(lambda: import_file(path, "operator_twice"))

    assert (
        f"{path}:6: implementation 'mine' already has 'conv', from {path}:3; remove one, or "
        f"register it under another name"
    ) == message


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        ("x, w, bias, *, stride, padding, dilation", "unexpected keyword argument 'groups'"),
        ("x, w, bias, gain, *, stride, padding, dilation, groups", "'gain'"),
        ("x, w, *, stride, padding, dilation, groups", "too many positional arguments"),
        ("x, w, bias, stride, padding, dilation, groups, /", "positional"),
        ("", "too many positional arguments"),
    ],
)
def test_a_signature_that_cannot_be_called_is_named_with_the_right_one(
    signature: str, problem: str, write: Write
) -> None:
    path = write(f'@implementation("mine")\ndef conv({signature}): ...')
    message = message_of(lambda: import_file(path, "wrong_signature"))

    assert message.startswith(f"{path}:2: implementation 'mine': 'conv({signature})' cannot be")
    assert "called as conv(x, w, bias, *, stride, padding, dilation, groups)" in message
    assert problem in message
    assert message.endswith("give it those parameters")


@pytest.mark.parametrize(
    "text",
    [
        "async def conv(*arrays, **parameters): ...",
        "async def conv(*arrays, **parameters): yield",
        "def conv(*arrays, **parameters): yield",
    ],
)
def test_a_coroutine_or_generator_is_a_mistake(text: str, write: Write) -> None:
    path = write(f'@implementation("mine")\n{text}')
    message = message_of(lambda: import_file(path, "coroutine"))

    assert (
        f"{path}:2: implementation 'mine': 'conv' is a coroutine or a generator; register a plain "
        f"function that returns an array"
    ) == message


@pytest.mark.parametrize("thing", [3, "conv", None])
def test_what_is_no_function_is_a_mistake(thing: Any) -> None:
    message = message_of(lambda: implementation("mine")(thing))

    assert f"{thing!r} is not a function; decorate a function named after its operator" in message


# --- plugins --------------------------------------------------------------------------------------


def test_a_plugin_returns_what_it_registers(write: Write) -> None:
    text = PLUGIN + '\n@implementation("other")\ndef max_pool(x, **parameters): ...'

    assert ["mine", "other"] == [one.name for one in load_plugin(write(text))]


def test_a_plugin_loaded_twice_is_loaded_once(write: Write) -> None:
    path = write(PLUGIN)

    assert load_plugin(path) == load_plugin(path)


def test_a_plugin_may_be_named_from_the_folder_it_is_in(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(PLUGIN).parent)

    assert "mine" == load_plugin("plugin.py")[0].name


def test_a_program_that_imports_the_file_finds_what_its_plugin_has_pickled(write: Write) -> None:
    """As in Numba's cache, which both of them use."""
    path = write(PLUGIN)
    pickled = pickle.dumps(load_plugin(path)[0].functions["conv"])
    program = f"import pickle; print(pickle.loads({pickled!r}).__code__.co_filename)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=path.parent, capture_output=True, text=True
    )

    assert (f"{path}\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("name", ["numpy.py", "my-conv.py", "sys.py"])
def test_a_plugin_takes_no_other_modules_name(write: Write, name: str) -> None:
    before = sys.modules.get(name.removesuffix(".py"))
    load_plugin(write(PLUGIN, name))

    assert before is sys.modules.get(name.removesuffix(".py"))


def test_a_plugins_implementation_knows_its_file(write: Write) -> None:
    path = write(PLUGIN)

    assert str(path) == load_plugin(path)[0].origin


def test_a_missing_plugin_is_named() -> None:
    message = message_of(lambda: load_plugin("nowhere.py"), PluginError)

    assert message == "plugin nowhere.py: no such file"


def test_a_plugin_that_is_no_python_file_is_named(write: Write) -> None:
    path = write("", name="plugin.txt")
    message = message_of(lambda: load_plugin(path), PluginError)

    assert message == f"plugin {path}: not a Python file; its name must end in .py"


@pytest.mark.parametrize("text", ["", 'implementation("mine")', "import math"])
def test_a_plugin_that_registers_nothing_says_how_to(text: str, write: Write) -> None:
    path = write(text)
    message = message_of(lambda: load_plugin(path), PluginError)

    assert (
        f'plugin {path}: registers nothing; put @implementation("some-name") above a function '
        f"named after its operator"
    ) == message


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("def conv(:", 2, "SyntaxError: invalid syntax"),
        ("\n\n  x = 1\n y = 2", 4, "IndentationError:"),
        ("\nimport a_module_that_is_not_there", 3, "ModuleNotFoundError: No module named"),
        ("def f():\n    raise ValueError('two\\nlines')\nf()", 3, "ValueError: two lines"),
        ("raise SystemExit(4)", 2, "SystemExit: 4"),
        ("import json\njson.loads('{')", 3, "JSONDecodeError: Expecting property name"),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_line(
    text: str, line: int, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "plugin.py"
    path.write_text(f"x = 0\n{text}\n")
    message = message_of(lambda: load_plugin(path), PluginError)

    assert message.startswith(f"plugin {path}:{line}: {problem}")


def test_a_plugins_wrong_registration_names_the_plugin_and_the_line(write: Write) -> None:
    path = write('@implementation("mine")\ndef conv2d(x): ...')
    message = message_of(lambda: load_plugin(path), PluginError)

    assert message.startswith(f"plugin {path}: {path}:2: implementation 'mine': function 'conv2d'")


@pytest.mark.parametrize(
    "end",
    ["raise ValueError", "raise SystemExit", "def conv2d(:", PLUGIN, 'implementation("mine", x=1)'],
)
def test_a_plugin_that_fails_leaves_nothing_registered(end: str, write: Write) -> None:
    path = write(f"{PLUGIN}\n{textwrap.dedent(end)}")
    message_of(lambda: load_plugin(path), PluginError)

    assert {} == implementations()


def test_a_plugin_that_registers_nothing_leaves_nothing_registered(write: Write) -> None:
    path = write('implementation("mine")')
    message_of(lambda: load_plugin(path), PluginError)

    assert {} == implementations()


def test_a_plugin_that_failed_can_be_mended_and_loaded(write: Write) -> None:
    message_of(lambda: load_plugin(write(PLUGIN + "\nraise ValueError")), PluginError)

    assert "mine" == load_plugin(write(PLUGIN))[0].name


def test_a_failing_plugin_keeps_what_was_registered_before(write: Write) -> None:
    earlier = implementation("earlier")
    message_of(lambda: load_plugin(write(PLUGIN + "\nraise ValueError")), PluginError)

    assert {"earlier": earlier} == implementations()


def test_the_keyboard_interrupts_a_plugin(write: Write) -> None:
    path = write(PLUGIN + "\nraise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugin(path)

    assert {} == implementations()


def test_a_module_can_be_reloaded(write: Write) -> None:
    path = write(PLUGIN)
    import_file(path, "reloaded")
    module = import_file(path, "reloaded")

    assert module.conv is get("mine").functions["conv"]


def test_a_module_with_a_predicate_can_be_reloaded(write: Write) -> None:
    path = write(PLUGIN.replace('"mine"', '"mine", supports=lambda case: True'))
    import_file(path, "reloaded")
    module = import_file(path, "reloaded")

    assert module.conv is get("mine").functions["conv"]


# --- entry points ---------------------------------------------------------------------------------


class EntryPoint:
    """An entry point whose loading is any function."""

    def __init__(
        self, name: str, load: Callable[[], Any], module: str = "package", version: str = ""
    ) -> None:
        self.name, self.value, self.load = name, f"package.{name}", load
        self.module, self.dist = module, SimpleNamespace(version=version)


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that installs entry points."""

    def install(**loads: Callable[[], Any]) -> None:
        points = [EntryPoint(name, load) for name, load in loads.items()]
        monkeypatch.setattr(declared_entry_points, "installed", lambda: points)

    with registry.using(Registry(entry_points=True)):
        yield install


def _failing(problem: BaseException) -> Callable[[], Any]:
    def load() -> None:
        implementation("half")
        raise problem

    return load


def test_entry_points_are_loaded_when_implementations_are_asked_for(
    entry_points: Callable[..., None],
) -> None:
    entry_points(mine=lambda: implementation("mine"))

    assert ["mine"] == list(implementations())


@pytest.mark.parametrize("problem", [ImportError("no torch"), SystemExit("no torch")])
def test_a_broken_entry_point_does_not_stop_the_others(
    problem: BaseException, entry_points: Callable[..., None]
) -> None:
    entry_points(bad=_failing(problem), mine=lambda: implementation("mine"))

    assert ["mine"] == list(implementations())


def test_a_broken_entry_point_is_listed_with_its_reason(
    entry_points: Callable[..., None],
) -> None:
    entry_points(bad=_failing(ImportError("no\ntorch")))

    assert {"bad": "package.bad: ImportError: no torch"} == registry.broken()


def test_asking_for_a_broken_entry_point_tells_the_reason(
    entry_points: Callable[..., None],
) -> None:
    entry_points(bad=_failing(ImportError("no torch")))
    message = message_of(lambda: get("bad"), PluginError)

    assert "implementation 'bad' could not be loaded: package.bad: ImportError: no torch" == message


# --- finding --------------------------------------------------------------------------------------


def test_an_implementation_is_found_by_name_function_module_and_itself(write: Write) -> None:
    module = import_file(write(PLUGIN), "found")
    mine = get("mine")

    assert [mine] * 4 == [find("mine"), find(module.conv), find(module), find(mine)]


def test_a_module_with_two_implementations_stands_for_both(write: Write) -> None:
    module = import_file(write(PLUGIN + PLUGIN.replace("mine", "other")), "found")
    message = message_of(lambda: find(module))

    assert "'found' stands for mine, other; name one of them" == message


def test_an_unregistered_function_is_named_with_the_remedy() -> None:
    message = message_of(lambda: find(conv))

    assert (
        "'conv' is not a registered implementation; put @implementation(\"some-name\") above the "
        "function"
    ) == message


@pytest.mark.parametrize("thing", [sys, 3, None])
def test_what_was_never_registered_is_not_found(thing: Any) -> None:
    assert "is not a registered implementation" in message_of(lambda: find(thing))


def test_an_unknown_name_is_told_the_known_ones() -> None:
    implementation("mine")
    message = message_of(lambda: get("theirs"), ConformanceError)

    assert "implementation 'theirs' is unknown; known are mine" == message


# --- gaps -----------------------------------------------------------------------------------------


def declared(**declarations: Any) -> Implementation:
    mine = implementation("mine", **declarations)
    mine(conv)
    return mine


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (True, None),
        (1, None),
        (False, "its supports= declines this case"),
        (None, "its supports= declines this case"),
        ("", "its supports= declines this case"),
        ("no groups", "no groups"),
    ],
)
def test_the_answer_of_supports_is_the_gap(answer: Any, expected: str | None) -> None:
    assert expected == declared(supports=lambda case: answer).gap(CONV)


def test_a_numpy_truth_counts_as_one() -> None:
    import numpy as np

    assert declared(supports=lambda case: np.all([True])).gap(CONV) is None


def test_an_operator_that_it_has_not_is_a_gap() -> None:
    pool = Case.parse("max_pool1d:float32:x=1,1,3:kernel=1:normal@0")

    assert "has no max_pool" == declared().gap(pool)


def test_a_dtype_that_it_does_not_declare_is_a_gap() -> None:
    assert "declares no float32" == declared(dtypes=("float64",)).gap(CONV)


def test_a_predicate_that_raises_is_a_mistake_of_the_implementation() -> None:
    mine = declared(supports=lambda case: case.no_such_field)
    message = message_of(lambda: mine.gap(CONV))

    assert message.startswith(HERE)
    assert "implementation 'mine': supports= raised AttributeError" in message
    assert message.endswith(f"for {CONV.id}; return True, False or a reason")


def test_a_misspelled_declaration_is_told_with_the_nearest_one() -> None:
    with pytest.raises(
        RegistrationError, match=r"'layuot' is no declaration; did you mean layout\?"
    ):
        implementation("mine", layuot="NHWC")
