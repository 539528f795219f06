"""Every replay command that a run prints shows the violation of the run, and exits with 1."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.cli import main
from conformance.isolation import AVAILABLE
from conformance.isolation.dispatch import close_all
from conformance.registration.registry import Registry
from conformance.runfile.reading import read
from conformance.runfile.tables import Violation

CONV = """
import ctypes, itertools, os, sys
import numpy as np
from conformance import Unsupported, implementation
from conformance.implementations.im2col import conv as right

kept, numbers = {{}}, itertools.count(1)

@implementation("mine"{declared})
def conv(x, w, bias, *, stride, padding, dilation, groups):
    call = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    {body}
"""
POOL = """
import numpy as np
from conformance import Unsupported, implementation
from conformance.implementations.im2col import max_pool as right

kept = {{}}

@implementation("mine"{declared})
def max_pool(x, *, kernel, stride, padding, dilation, ceil_mode):
    call = dict(kernel=kernel, stride=stride, padding=padding, dilation=dilation,
                ceil_mode=ceil_mode)
    {body}
"""
CHECKS = {
    "value": ("CONV-5", CONV, "return right(x, w, bias, **call) + (max(dilation) > 1)", ""),
    "shape": ("RESULT-3", CONV, "return right(x, w, bias, **call)[..., None]", ""),
    "dtype": (
        "RESULT-4",
        CONV,
        "return right(x, w, bias, **call).astype(np.float32)",
        ", dtypes=('float64',)",
    ),
    "raises": (
        "DECLARE-1",
        CONV,
        "if bias is not None: raise KeyError('bias')\n    return right(x, w, bias, **call)",
        "",
    ),
    "layout": (
        "LAYOUT-3",
        CONV,
        "y = right(x, w, bias, **call)\n    return y + (x.strides[-1] < 0)",
        "",
    ),
    "byte order": ("LAYOUT-7", POOL, "return right(x.view(x.dtype.newbyteorder('=')), **call)", ""),
    "special": (
        "SPECIAL-1",
        CONV,
        "return right(np.nan_to_num(x, posinf=np.inf, neginf=-np.inf), w, bias, **call)",
        "",
    ),
    "changed input": (
        "PURE-1",
        CONV,
        "y = right(x, w, bias, **call)\n    if w.flags.writeable: w *= 2\n    return y",
        "",
    ),
    "shared memory": (
        "PURE-2",
        POOL,
        "return x if set(kernel) == {1} == set(stride) else right(x, **call)",
        "",
    ),
    "one buffer": (
        "PURE-3",
        CONV,
        "y = right(x, w, bias, **call)\n"
        "    buffer = kept.setdefault((y.shape, y.dtype), np.empty_like(y))\n"
        "    buffer[...] = y\n    return buffer",
        "",
    ),
    "stale": (
        "REPEAT-3",
        CONV,
        "key = (x.shape, w.shape, x.dtype, bias is None, str(call))\n"
        "    if key not in kept: kept[key] = right(x, w, bias, **call)\n"
        "    return kept[key].copy()",
        "",
    ),
    "drift": (
        "REPEAT-1",
        CONV,
        "key = (x.shape, w.shape, x.dtype, bias is None, str(call))\n"
        "    kept[key] = kept.get(key, 0) + 1\n"
        "    return right(x, w, bias, **call) * x.dtype.type(1 + (kept[key] > 50))",
        "",
    ),
    "gap that moves": (
        "DECLARE-7",
        CONV,
        "if x.size and x.reshape(-1)[0] > 0: raise Unsupported('positive')\n"
        "    return right(x, w, bias, **call)",
        "",
    ),
    "accepts": (
        "REJECT-20",
        CONV,
        "wide = np.result_type(*[a for a in (x, w, bias) if a is not None])\n"
        "    x, w = x.astype(wide), w.astype(wide)\n"
        "    return right(x, w, None if bias is None else bias.astype(wide), **call)",
        "",
    ),
    "convention": (
        "DECLARE-5",
        POOL,
        "return right(np.where(np.isnan(x), -np.inf, x).astype(x.dtype), **call)",
        "",
    ),
    "convention declared": (
        "DECLARE-5",
        POOL,
        "return right(x, **call)",
        ', conventions={"pool_padding": "accept"}',
    ),
    "arithmetic": (
        "DECLARE-3",
        CONV,
        "cut = [None if a is None else (a.view(np.uint32) & 0xFFFF0000).view(np.float32)\n"
        "           for a in map(lambda a: a if a is None else a.copy(), (x, w, bias))]\n"
        "    return right(*cut, **call)",
        ', multiply="tf32", dtypes=("float32",)',
    ),
    "relation": (
        "RELATE-1",
        POOL,
        "y = right(x, **call)\n"
        "    if min(x.shape[:2]) > 1: y.reshape(-1, *y.shape[2:])[32768:] = 0\n    return y",
        "",
    ),
    "crash": (
        "PROCESS-1",
        CONV,
        "if max(stride) > 1: os._exit(3)\n    return right(x, w, bias, **call)",
        "",
    ),
    "printed": (
        "PROCESS-4",
        CONV,
        "if max(stride) > 1: print('stray')\n    return right(x, w, bias, **call)",
        "",
    ),
}
IN_WORKERS = ("crash", "printed")


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: Registry,
) -> Path:
    """Work in a folder of the test's own, and forget the plugins that it loads."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Call the command line in fresh workers; return exit status and JSON."""

    def call(*arguments: str) -> Any:
        close_all()
        capsys.readouterr()
        status = main([*arguments, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return call


@pytest.mark.skipif(not AVAILABLE, reason="no workers on this system")
@pytest.mark.parametrize("kind", CHECKS)
def test_each_printed_command_shows_its_violation(call: Any, folder: Path, kind: str) -> None:
    requirement, template, body, declared = CHECKS[kind]
    (folder / "mine.py").write_text(template.format(body=body, declared=declared))
    operator = "conv" if template is CONV else "max_pool"

    status, _ = call(
        *("run", "--plugin", "mine.py", "--operator", operator, "--dims", "1"),
        *("--dtype", "float32,float64", "--examples", "40", "--suite", "none", "--seconds", "1"),
        *(() if kind in IN_WORKERS else ("--isolate",)),
    )

    violations = read(folder / "convformance-run" / "run.sqlite").rows(Violation)
    assert 1 == status
    assert requirement in {violation.requirement for violation in violations}
    for violation in violations:
        status, replayed = call(*shlex.split(violation.replay)[1:])
        (shown,) = replayed["results"]
        assert 1 == status
        many = violation.after and "--after" not in violation.replay
        if violation.before or many:  # it needs many calls: a history makes as many
            assert shown["requirement"].startswith("REPEAT")
            continue
        expected = violation.requirement, violation.message
        assert expected == (shown["requirement"], shown["message"])


@pytest.mark.parametrize(("earlier", "expected"), [((), 0), (("--after", "{}"), 1)])
def test_a_case_can_be_called_after_others(
    call: Any, folder: Path, earlier: tuple[str, ...], expected: int
) -> None:
    body = (
        "kept['far'] = kept.get('far', False) or max(stride) == 9\n"
        "    return right(x, w, bias, **call) + (kept['far'] and max(stride) == 1)"
    )
    (folder / "mine.py").write_text(CONV.format(body=body, declared=""))
    plain = "conv1d:float32:x=1,1,9:w=1,1,1:{}integers@0"

    status, replayed = call(
        *("replay", plain.format(""), "--plugin", "mine.py"),
        *(text.format(plain.format("stride=9:")) for text in earlier),
    )

    (shown,) = replayed["results"]
    assert expected == status
    assert shown["requirement"] == ("REPEAT-2" if expected else None)
