"""The integers of source, and the sizes that its conditions ask for.

A number in a condition is taken for a size: ``n > 300`` asks for 301, ``n % 23 == 7`` for 7, 30 and
53. Numbers of 0 to 2 are everywhere, and those above `LARGEST` are no sizes.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

LEAST, LARGEST = 3, 2**31 - 1
_TABLE = 16
"""A list of more numbers is a table, whose numbers come last."""
_MOST_DIGITS = 64
"""Bits of a number that is computed from others."""

Values: TypeAlias = Mapping[str, int]
"""The values of names that are given one number."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A condition: of each comparison with a number, the sizes that make it true."""

    choices: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(size for choice in self.choices for size in choice))


@dataclass(frozen=True, slots=True)
class Number:
    """An integer of the source, and how much it says: 0 in a condition, 2 in a table, else 1."""

    value: int
    rank: int


def values_of(trees: Iterable[ast.AST]) -> dict[str, int]:
    """Return the names that are given one number, and no other, anywhere in the trees."""
    given: dict[str, list[ast.expr]] = {}
    for tree in trees:
        for node in ast.walk(tree):
            targets: Sequence[ast.expr] = ()
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
                targets = (node.target,)
            for target in targets:
                value = getattr(node, "value", None)
                for part in [target, *getattr(target, "elts", ())]:
                    name = _name(part)
                    single = part is target and not isinstance(node, ast.AugAssign)
                    if name:
                        given.setdefault(name, []).append(
                            value if single and value is not None else ast.Constant(None)
                        )
    values: dict[str, int] = {}
    for _ in range(3):  # a constant may be made of another one
        for name, expressions in given.items():
            folded = {_folded(expression, values) for expression in expressions}
            if len(folded) == 1 and (value := folded.pop()) is not None:
                values[name] = value
    return values


def numbers_in(node: ast.AST, values: Values) -> Iterator[Number]:
    """Yield the numbers of a piece of source, in order."""
    for value, rank in _numbers(node, values, 1):
        if LEAST <= value <= LARGEST:
            yield Number(value, rank)


def _numbers(node: ast.AST, values: Values, rank: int) -> Iterator[tuple[int, int]]:
    if isinstance(node, (ast.BinOp, ast.Constant, ast.UnaryOp)):
        folded = _folded(node, values)
        if folded is not None:
            yield abs(folded), rank
            return
    if isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict)):
        entries = node.keys if isinstance(node, ast.Dict) else node.elts
        rank = 2 if len(entries) > _TABLE else rank
    if isinstance(node, ast.Compare) or (
        isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mod, ast.FloorDiv))
    ):
        rank = min(rank, 0) if rank < 2 else rank
        parts = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.right]
        for part in parts:
            if isinstance(part, (ast.Name, ast.Attribute)) and _folded(part, values) is not None:
                yield abs(_folded(part, values) or 0), rank
    for child in ast.iter_child_nodes(node):
        yield from _numbers(child, values, rank)


def blocks_in(node: ast.AST, values: Values) -> Iterator[int]:
    """Yield the numbers that something is divided by, with a remainder."""
    for part in ast.walk(node):
        divisor: ast.AST | None = None
        if isinstance(part, ast.BinOp) and isinstance(part.op, (ast.Mod, ast.FloorDiv)):
            divisor = part.right
        elif isinstance(part, ast.Call) and _name(part.func) == "divmod" and len(part.args) == 2:
            divisor = part.args[1]
        block = _folded(divisor, values)
        if block is not None and LEAST <= block <= LARGEST:
            yield block


def demand_of(node: ast.expr, values: Values) -> Demand:
    """Return the sizes that a condition asks for."""
    choices: list[tuple[int, ...]] = []
    compared: set[ast.AST] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Compare):
            compared |= {*ast.walk(part)}
            sides = [part.left, *part.comparators]
            for left, operation, right in zip(sides, part.ops, sides[1:], strict=False):
                choices.append(_asked(left, operation, right, values))
        elif isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mod) and part not in compared:
            block = _folded(part.right, values)
            if block is not None and block > 1:
                choices.append((block + 1, 2 * block))
    kept = (tuple(s for s in dict.fromkeys(c) if 0 < s <= LARGEST) for c in choices)
    return Demand(tuple(choice for choice in dict.fromkeys(kept) if choice))


_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.Gt: ast.Lt,
    ast.LtE: ast.GtE,
    ast.GtE: ast.LtE,
}


def _asked(
    left: ast.expr, operation: ast.cmpop, right: ast.expr, values: Values
) -> tuple[int, ...]:
    """Return sizes for which a comparison is true."""
    kind = type(operation)
    if isinstance(operation, (ast.In, ast.NotIn)):
        entries = getattr(right, "elts", ())
        if len(entries) > _TABLE:
            return ()
        found = [_folded(entry, values) for entry in entries]
        return tuple(value for value in found if value is not None)
    value = _folded(right, values)
    if value is None:
        value, left = _folded(left, values), right
        kind = _MIRRORED.get(kind, kind)
    if value is None:
        return ()
    more = {ast.Gt: 1, ast.NotEq: 1, ast.Lt: -1}.get(kind, 0)
    return tuple(_solved(left, [value + more], values))


def _solved(expression: ast.expr, sizes: list[int], values: Values) -> list[int]:
    """Return what a name in the expression has to be for the expression to have one of the sizes.

    It is solved through arithmetic with numbers; anything else is taken for a name.
    """
    if not isinstance(expression, ast.BinOp):
        return sizes
    number, other = _folded(expression.right, values), expression.left
    if number is None:
        number, other = _folded(expression.left, values), expression.right
        if isinstance(expression.op, (ast.Sub, ast.FloorDiv, ast.Mod, ast.Div)):
            return sizes
    if number is None or number == 0:
        return sizes
    undone = _UNDONE.get(type(expression.op))
    if undone is None:
        return sizes
    return _solved(other, [inner for size in sizes for inner in undone(size, number)], values)


_UNDONE: dict[type[ast.operator], Callable[[int, int], list[int]]] = {
    ast.Mod: lambda size, number: [size, size + number, size + 2 * number],
    ast.FloorDiv: lambda size, number: [size * number, (size + 1) * number - 1],
    ast.Div: lambda size, number: [size * number],
    ast.Mult: lambda size, number: [-(-size // number), size // number],
    ast.Add: lambda size, number: [size - number],
    ast.Sub: lambda size, number: [size + number],
}
"""What a name has to be for its sum, product, ... with a number to be a size."""
_COMPUTED: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.Pow: operator.pow,
}


def _folded(node: ast.AST | None, values: Values) -> int | None:
    """Return the integer that an expression is, None where it is none."""
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**_MOST_DIGITS:
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(node, (ast.Name, ast.Attribute)):
        return values.get(_name(node))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = _folded(node.operand, values)
        return inner if inner is None or isinstance(node.op, ast.UAdd) else -inner
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _folded(node.left, values), _folded(node.right, values)
    if left is None or right is None:
        return None
    return _computed(node.op, left, right)


def _computed(operation: ast.operator, left: int, right: int) -> int | None:
    shifts = isinstance(operation, (ast.LShift, ast.Pow))
    if (shifts and not 0 <= right <= _MOST_DIGITS) or abs(left).bit_length() > _MOST_DIGITS:
        return None
    if isinstance(operation, (ast.FloorDiv, ast.Mod)) and not right:
        return None
    computed = _COMPUTED.get(type(operation))
    return None if computed is None else computed(left, right)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


# --- C --------------------------------------------------------------------------------------------

_COMMENTS = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_INTEGER = r"(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)"
_SUFFIX = r"(?:[uUlL]{0,3})(?![\w.])"
_TOKEN = re.compile(
    rf"(?P<number>(?<![\w.]){_INTEGER}{_SUFFIX})|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign><<|>>|[<>=!]=|&&|\|\||[-+*/%<>=(){}\[\],;?:&|^!~.#])"
)
_DEFINE = re.compile(rf"#\s*define\s+(\w+)\s+\(?\s*({_INTEGER})(?:[uUlL]{{0,3}})\s*\)?\s*$", re.M)
_CONSTANT = re.compile(rf"\b(\w+)\s*=\s*({_INTEGER})(?:[uUlL]{{0,3}})\s*[,;}}]")
_SIGNS: dict[str, ast.cmpop] = {
    "<": ast.Lt(),
    ">": ast.Gt(),
    "<=": ast.LtE(),
    ">=": ast.GtE(),
    "==": ast.Eq(),
    "!=": ast.NotEq(),
}


def numbers_of_c(text: str) -> tuple[list[Number], list[Demand]]:
    """Return the numbers of C, or of what looks like it, and the sizes that comparisons ask for."""
    text = _COMMENTS.sub(" ", text)
    names = {name: _c_integer(number) for name, number in _DEFINE.findall(text)}
    for name, number in _CONSTANT.findall(text):
        names.setdefault(name, _c_integer(number))
    tokens = _folded_c([match[0] for match in _TOKEN.finditer(text)])
    found: list[Number] = []
    demands: list[Demand] = []
    for at, token in enumerate(tokens):
        value = _value_of(token, names)
        if value is None:
            continue
        before = tokens[at - 1] if at else ""
        after = tokens[at + 1] if at + 1 < len(tokens) else ""
        sizes: tuple[int, ...] = ()
        if before in ("%", "/"):
            sizes = value + 1, 2 * value
        elif before in _SIGNS:
            sizes = _asked(_SIZE, _SIGNS[before], ast.Constant(value), {})
            block = _block_before(tokens, at - 1, names)
            sizes += tuple(size + more for size in sizes for more in (block, 2 * block) if block)
        elif after in _SIGNS:
            sizes = _asked(ast.Constant(value), _SIGNS[after], _SIZE, {})
        if kept := tuple(size for size in sizes if 0 < size <= LARGEST):
            demands.append(Demand((kept,)))
        if LEAST <= value <= LARGEST and (token[0].isdigit() or sizes):
            found.append(Number(value, 0 if sizes else 1))
    return found, demands


def _folded_c(tokens: Sequence[str]) -> list[str]:
    """Return tokens in which ``1 << 16`` and ``4 * 64`` are one number."""
    folded: list[str] = []
    for token in tokens:
        folded.append(token)
        left, sign, right = [" ", " ", *folded][-3:]
        if sign in ("<<", "*") and left[0].isdigit() and right[0].isdigit():
            operation = ast.LShift() if sign == "<<" else ast.Mult()
            value = _computed(operation, _c_integer(left), _c_integer(right))
            if value is not None:
                folded[-3:] = [str(value)]
    return folded


def _value_of(token: str, names: Mapping[str, int]) -> int | None:
    return _c_integer(token) if token[0].isdigit() else names.get(token)


_SIZE = ast.Name("size")


def _block_before(tokens: Sequence[str], sign: int, names: Mapping[str, int]) -> int:
    """Return the number that a remainder is taken of on the left of a sign, 0 for none."""
    at = sign - 1
    while at >= 0 and tokens[at] == ")":
        at -= 1
    remainder = at > 0 and tokens[at - 1] == "%"
    return (_value_of(tokens[at], names) or 0) if remainder else 0


def _c_integer(text: str) -> int:
    digits = text.rstrip("uUlL")
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    try:
        return int(digits, 8 if octal else 0)
    except ValueError:  # 09 is none
        return 0
