"""What a report says of the spaces of calls that were judged whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.cli import main
from conformance.registration.registry import Registry
from conformance.reports.html import html
from conformance.reports.markdown import escaped, markdown
from conformance.reports.model import load
from conformance.reports.spaces import Space, spaces, summary

RUN = ("-i", "im2col", "--operator", "conv_bias_grad", "--dims", "1", "--examples", "100")
WORDS = "every conv_bias_grad1d of width <= 9, images and channels <= 3 (float32)"
SENTENCE = f"{WORDS}: 81 cases, all judged"


@pytest.fixture
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: Registry,
) -> Path:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_every_report_has_the_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(("run", *RUN, "--json"))

    (one,) = json.loads(capsys.readouterr().out)["implementations"]
    said = [space["sentence"] for cell in one["cells"] for space in cell["spaces"]]
    report = load("convformance-run/run.sqlite")

    assert SENTENCE in said
    assert said == [space.sentence for space in spaces(report)]
    assert escaped(SENTENCE) in markdown(report)
    assert SENTENCE.replace("<", "&lt;") in html(report)

    main(("report", "convformance-run/run.sqlite", "--verbose"))
    assert SENTENCE in capsys.readouterr().out
    main(("report", "convformance-run/run.sqlite"))
    assert summary(report) in capsys.readouterr().out


def test_a_space_that_was_not_judged_whole_says_so() -> None:
    space = Space("mine", "conv", 1, "float32", "every conv", 4212, 1000, 3200)

    assert not space.whole
    assert space.sentence == "every conv (float32): 4,212 cases, 1,000 not supported, 3,200 judged"


@pytest.mark.usefixtures("folder")
def test_what_is_not_supported_is_not_said_to_be_judged(capsys: pytest.CaptureFixture[str]) -> None:
    Path("narrow.py").write_text(
        "import numpy as np\n"
        "from conformance import implementation\n"
        "def few(case):\n    return case.x[2] < 5 or 'at most 4 positions'\n"
        "@implementation('narrow', supports=few)\n"
        "def conv_bias_grad(grad):\n"
        "    assert grad.ndim > 2 and grad.dtype.kind == 'f'\n"
        "    return grad.astype(np.float64).sum((0, *range(2, grad.ndim))).astype(grad.dtype)\n",
        encoding="utf-8",
    )
    main(("run", "--plugin", "narrow.py", *RUN[2:], "--json"))
    (one,) = json.loads(capsys.readouterr().out)["implementations"]
    said = [space["sentence"] for cell in one["cells"] for space in cell["spaces"]]

    assert f"{WORDS}: 81 cases, 45 not supported, 36 judged" in said
