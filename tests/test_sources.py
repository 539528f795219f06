"""Reading an implementation's own source: its numbers, conditions and statements."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.errors import PluginError
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import get
from conformance.sources.numbers import demand_of, numbers_of_c
from conformance.sources.own import Source, source_of

Read = Callable[..., Source]

HEAD = "from conformance import implementation\nmy = implementation('mine')\n"
CONV = "@my\ndef conv(x, w, bias, *, stride, padding, dilation, groups):\n"


def test_the_source_of_what_comes_with_the_suite_is_not_read() -> None:
    assert None is source_of(get("im2col"), "conv")


@pytest.fixture
def read_source(tmp_path: Path, empty_registry: None) -> Read:
    """Return the source of a plugin's conv: its text, and the texts of files beside it."""

    def read(text: str, operator: str = "conv", **beside: str) -> Source:
        for name, content in beside.items():
            (tmp_path / f"{name}.py").write_text(content)
        plugin = tmp_path / "mine.py"
        plugin.write_text(HEAD + text)
        (implementation,) = load_plugin(plugin)
        source = source_of(implementation, operator)
        assert source is not None
        return source

    return read


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("64", 64),
        ("0x40", 64),
        ("1 << 16", 1 << 16),
        ("2**20", 1 << 20),
        ("4 * BLOCK", 92),
        ("1e3", 1000),
        ("-77", 77),
        ("1_024", 1024),
    ],
)
def test_an_integer_is_read_however_it_is_written(
    read_source: Read, written: str, number: int
) -> None:
    source = read_source(f"BLOCK = 23\n{CONV}    return x[{written}:]")

    assert number in source.numbers


def test_small_and_huge_numbers_are_left_out(read_source: Read) -> None:
    source = read_source(f"{CONV}    return (x + 0 + 1 + 2) * 2654435761 + 3")

    assert (3,) == source.numbers


def test_numbers_of_conditions_come_first_and_those_of_tables_last(read_source: Read) -> None:
    table = ", ".join(map(str, range(1000, 2000)))
    text = f"TABLE = [{table}]\n{CONV}    y = x * 5 + TABLE[0]\n    return y if groups > 9 else x"
    numbers = read_source(text).numbers

    assert (9, 5, 1000) == numbers[:3]
    assert 1002 == len(numbers)


def test_what_other_functions_have_is_not_read(read_source: Read) -> None:
    text = f"""{CONV}    return near(x)
@my
def conv_bias_grad(grad):
    return 55
def near(x):
    return x * FAR
FAR = 66
def main():
    return 77
"""
    assert (66,) == read_source(text).numbers


def test_modules_beside_the_file_are_read_and_installed_ones_are_not(read_source: Read) -> None:
    imports = "import numpy as np\nimport other\nfrom tail import rest\n"
    source = read_source(
        f"{imports}{CONV}    return np.abs(rest(x), other.f)",
        tail="from third import DEEP\ndef rest(x):\n    return x % 23 + DEEP\n"
        "def unused():\n    return 88\n",
        other="def f():\n    return 99\n",
        third="DEEP = 111\n",
    )

    assert {23, 111, 99} == {*source.numbers}
    assert ["mine.py", "other.py", "tail.py", "third.py"] == sorted(
        Path(file).name for file in source.files
    )


def test_functions_that_a_table_holds_are_read(read_source: Read) -> None:
    text = f"""KERNELS = {{}}
def register(f):
    KERNELS[f.__name__] = f
    return f
@register
def special(x):
    return x * 19
{CONV}    return KERNELS["special"](x)
"""
    assert (19,) == read_source(text).numbers


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("n > 300", (301,)),
        ("300 >= n", (300,)),
        ("n % 23 == 7", (7, 30, 53)),
        ("n // 4 == 5", (20, 23)),
        ("n % 8", (9, 16)),
        ("3 * n + 1 == 31", (10,)),
        ("n in (5, 11)", (5, 11)),
        ("100 < n < 200", (101, 199)),
        ("n == 5 and k != 3", (5, 4)),
    ],
)
def test_a_condition_asks_for_sizes_that_make_it_true(text: str, sizes: tuple[int, ...]) -> None:
    assert sizes == demand_of(ast.parse(text, mode="eval").body, {}).sizes


def test_the_numbers_of_c_are_read_without_comments_and_strings() -> None:
    text = """
    #define TILE 48
    static const int lanes = 0x10;
    /* 555 */ // 666
    int f(int n, const char *s) {
        if (n % TILE == 9 && n > 1 << 12) return g("777", 33u);
        return n < lanes;
    }
    """
    numbers, demands = numbers_of_c(text)

    assert {48, 16, 9, 4096, 33} == {number.value for number in numbers}
    assert {9, 57, 105, 49, 96, 4097, 15} <= {size for demand in demands for size in demand.sizes}


@pytest.mark.usefixtures("empty_registry")
def test_a_declared_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "fast.c").write_text("int f(int n) { return n > 1234; }")
    (tmp_path / "mine.py").write_text(
        f"{HEAD.replace(')', ', source=' + repr('fast.c') + ')')}{CONV}    return x"
    )
    load_plugin(tmp_path / "mine.py")
    source = source_of(get("mine"), "conv")

    assert source is not None
    assert (1234,) == source.numbers


@pytest.mark.usefixtures("empty_registry")
def test_a_declared_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        f"{HEAD.replace(')', ', source=' + repr('fast.c') + ')')}{CONV}    return x"
    )

    with pytest.raises(PluginError, match=r"source='fast\.c': no such file beside it"):
        load_plugin(tmp_path / "mine.py")


def test_statements_know_the_conditions_around_them(read_source: Read) -> None:
    text = f"""{CONV}    if groups == 41:
        if x.shape[1] > 300:
            x = x + 1
    return x
"""
    statements = read_source(text).statements

    assert [(), ((41,),), ((41,), (301,)), ()] == [s.guards for s in statements]
    assert [5, 6, 7, 8] == [s.first for s in statements]
