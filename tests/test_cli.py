"""The command line as a user sees it: exit status, what is printed, what is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import conformance
from conformance.cases import tail_coverage
from conformance.cli import main
from conformance.errors import ConformanceError
from conformance.registration import implementation as registered
from conformance.registration import registry
from conformance.registration.registry import Registry
from conformance.signatures import SIGNATURES
from conformance.timing.threads import VARIABLES

PLUGIN = """
import numpy as np
from conformance import Unsupported, implementation

@implementation("{name}")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    {body}
"""
RIGHT = """from conformance.implementations.im2col import conv as im2col
    return im2col(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)"""
BROKEN = f"{RIGHT} + (max(dilation) > 1)"
TINY = (
    *("--tier", "smoke", "--examples", "5", "--suite", "none"),
    *("--operator", "conv", "--dims", "1", "--check", "result"),
)
CASE = "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0"


class Result(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: Registry,
) -> Path:
    """Work in a folder of the test's own, and forget the plugins that it loads."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    return home


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Call the command line; return exit status, stdout and stderr."""

    def call(*arguments: str) -> Result:
        status = main(arguments)
        return Result(status, *capsys.readouterr())

    return call


def plugin(name: str, body: str = BROKEN) -> str:
    """Write a plugin that registers ``name``; return the name of its file."""
    Path(f"{name}.py").write_text(PLUGIN.format(name=name, body=body))
    return f"{name}.py"


def strict(text: str) -> Any:
    """Read JSON as RFC 8259 has it: no NaN, no Infinity, nothing before or after."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def judged(call: Any, *arguments: str) -> Any:
    """Return what ``run --json`` prints."""
    return strict(call("run", *arguments, *TINY, "--json").out)


def violations(result: Any) -> list[dict[str, Any]]:
    (one,) = result["implementations"]
    return [violation for cell in one["cells"] for violation in cell["violations"]]


# --- the command itself -------------------------------------------------------------------------


def test_help_lists_every_command(call: Any) -> None:
    status, out, err = call("--help")

    assert (0, "") == (status, err)
    for name in ("list", "new", "run", "replay", "time", "report", "spec"):
        assert re.search(rf"^  {name}  ", out, re.MULTILINE)


def test_no_command_is_a_mistake_that_prints_the_help(call: Any) -> None:
    status, out, err = call()

    assert (2, "") == (status, out)
    assert err.startswith("Usage: convformance")


@pytest.mark.parametrize("name", ["list", "new", "run", "replay", "time", "report", "spec"])
def test_every_command_has_help(call: Any, name: str) -> None:
    status, out, err = call(name, "--help")

    assert (0, "") == (status, err)
    assert out.startswith(f"Usage: convformance {name}")


def test_the_console_script_exits_with_the_status() -> None:
    script = Path(sys.executable).with_name("convformance")
    if not script.exists():
        pytest.skip("the console script is not beside this interpreter")
    done = subprocess.run([script, "report"], capture_output=True, text=True)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("convformance: error: run file ")


# --- list ---------------------------------------------------------------------------------------


def test_list_names_implementations_with_version_and_operators(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = call("list")
    lines = {line.split()[0]: line for line in out.splitlines()}

    assert 0 == status
    assert {"naive", "im2col", "kernel-matrix", "stride-trick", "shifted-matmul"} <= set(lines)
    assert {"torch", "tensorflow"} <= set(lines)
    assert re.search(r" \d+\.\d+\S* +numpy +conv, conv_transpose, max_pool,", lines["naive"])


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_list_fits_the_terminal(call: Any, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    assert columns >= max(map(len, call("list").out.splitlines()))


def test_list_says_how_to_install_what_is_missing(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registered, "_version_of", lambda name: None if name == "torch" else "1.0")
    lines = call("list").out.splitlines()
    (row,) = (line for line in lines if line.startswith("torch "))

    assert "torch not installed: pip install torch" == " ".join(row.split())


@pytest.mark.parametrize("columns", ["80", "40", "0", "many"])
def test_list_has_a_line_for_each_implementation_with_its_name_whole(
    call: Any, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    header, *lines = call("list").out.splitlines()
    names = [row["name"] for row in strict(call("list", "--json").out)["implementations"]]

    assert header.startswith("implementation")
    assert names == [line.split()[0] for line in lines]


def test_list_has_the_implementations_of_plugins(call: Any) -> None:
    assert "\nlisted " in call("list", "--plugin", plugin("listed")).out


def test_list_as_json(call: Any) -> None:
    status, out, err = call("list", "--json")
    rows = {row["name"]: row for row in strict(out)["implementations"]}

    assert (0, "") == (status, err)
    assert "numpy" == rows["naive"]["family"]
    assert "conv" in rows["naive"]["operators"]
    assert rows["naive"]["installed"] is True


def test_list_imports_no_engine() -> None:
    code = (
        "import sys; from conformance.cli import main; main(['list']); "
        "sys.exit(sorted({'torch', 'tensorflow', 'jax'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (0, "") == (done.returncode, done.stderr)


# --- run ----------------------------------------------------------------------------------------


def test_run_exits_with_0_where_all_conform(call: Any) -> None:
    assert 0 == call("run", "--plugin", plugin("right", RIGHT), *TINY, "-n", "40").status


def test_run_exits_with_3_where_too_little_was_compared(call: Any) -> None:
    briefly = (*TINY, "-n", "40", "--seconds", "0.000001")
    status, out, _ = call("run", "--plugin", plugin("few", RIGHT), *briefly)

    assert 3 == status
    assert "few is inconclusive" in out


def test_run_exits_with_3_where_nothing_was_compared(call: Any) -> None:
    file = plugin("declines-all", 'raise Unsupported("no time")')

    assert 3 == call("run", "--plugin", file, *TINY).status


def test_run_exits_with_1_where_something_violates(call: Any) -> None:
    assert 1 == call("run", "--plugin", plugin("broken"), *TINY).status


def test_run_names_the_violated_requirement_and_the_case(call: Any) -> None:
    out = call("run", "--plugin", plugin("broken"), *TINY).out

    assert "CONV-5" in out
    assert re.search(r"^conv1d:float32:\S+:dilation=2:integers@0$", out, re.MULTILINE)


def test_a_declined_case_is_no_failure(call: Any) -> None:
    file = plugin("declines", 'raise Unsupported("no time")')
    result = judged(call, "--plugin", file)

    assert "unsupported" == result["implementations"][0]["verdict"]
    assert all(cell["compared"] == 0 for cell in result["implementations"][0]["cells"])


def test_run_writes_the_run_file_and_both_reports(call: Any, folder: Path) -> None:
    out = call("run", "-i", "im2col", *TINY, "--output", "a/b").out

    assert {"run.sqlite", "report.md", "report.html"} == set(os.listdir(folder / "a" / "b"))
    for name in ("run.sqlite", "report.md", "report.html"):
        assert str(Path("a/b") / name) in out


def test_run_writes_where_the_readme_says(call: Any, folder: Path) -> None:
    call("run", "-i", "im2col", *TINY)

    assert (folder / "convformance-run" / "run.sqlite").is_file()


def test_an_earlier_run_in_the_folder_is_replaced(call: Any) -> None:
    judged(call, "-i", "naive")
    result = judged(call, "-i", "im2col")

    assert ["im2col"] == [one["name"] for one in result["implementations"]]


def test_run_as_json_is_the_documented_object(call: Any) -> None:
    result = judged(call, "--plugin", plugin("documented"), "--seed", "7")
    (one,) = result["implementations"]

    assert (7, str(Path("convformance-run/run.sqlite"))) == (result["seed"], result["run"])
    assert ("documented", "documented", "violates") == (one["name"], one["family"], one["verdict"])
    assert isinstance(one["version"], str)
    for cell in one["cells"]:
        keys = {"operator", "dims", "dtype", "compared", "unsupported", "worst", "violations"}
        assert keys <= set(cell)
        assert ("conv", 1) == (cell["operator"], cell["dims"])
    for violation in violations(result):
        assert {"requirement", "case", "message"} <= set(violation)


def test_json_is_all_of_stdout_even_if_the_implementation_prints(call: Any) -> None:
    file = plugin("prints", f'print("calling")\n    {RIGHT}')
    with open(file, "a") as out:
        out.write('print("loading")\n')
    done = call("run", "--plugin", file, *TINY, "--no-isolate", "--json")

    assert "prints" == strict(done.out)["implementations"][0]["name"]
    assert {"loading", "calling"} <= set(done.err.split())


def test_the_case_of_a_violation_replays_to_the_same_failure(call: Any) -> None:
    file = plugin("again")
    (found, *_) = violations(judged(call, "--plugin", file))
    status, out, _ = call("replay", found["case"], "--plugin", file, "--json")
    (again,) = strict(out)["results"]

    assert 1 == status
    assert (found["status"], found["message"]) == (again["status"], again["message"])


def test_a_random_seed_is_printed_and_stored(call: Any) -> None:
    file = plugin("drawn")
    status, out, err = call("run", "--plugin", file, *TINY, "--seed", "random", "--json")
    drawn = re.search(r"^seed (\d+) was drawn; --seed \1 repeats it$", err, re.MULTILINE)

    assert 1 == status
    assert drawn is not None
    assert int(drawn[1]) == strict(out)["seed"]


def test_a_library_run_draws_a_seed_too_and_refuses_another_word() -> None:
    options = {
        "operators": ["conv"],
        "dims": [1],
        "suites": (),
        "examples": 3,
        "checks": ["result"],
    }
    seeds = {conformance.run(["im2col"], seed="random", **options).seed for _ in range(2)}

    assert 2 == len(seeds)
    with pytest.raises(
        ConformanceError, match="seed='rnd'; a whole number, 0 or more, or 'random'"
    ):
        conformance.run(["im2col"], seed="rnd", **options)


def test_a_seed_gives_the_same_run_again(call: Any) -> None:
    file = plugin("seeded")
    first, again, other = (judged(call, "--plugin", file, "--seed", s) for s in ("3", "3", "4"))

    assert first == again
    assert [v["found"] for v in violations(first)] != [v["found"] for v in violations(other)]


def test_the_cache_changes_nothing(call: Any) -> None:
    file = plugin("cached")

    assert judged(call, "--plugin", file) == judged(call, "--plugin", file, "--no-cache")


def test_options_take_several_values_separated_by_commas(call: Any) -> None:
    names, dtypes = "naive,im2col", "float32,float64"
    result = strict(
        call("run", "-i", names, *TINY, "--dims", "2,1", "--dtype", dtypes, "--json").out
    )

    assert {"naive", "im2col"} == {one["name"] for one in result["implementations"]}
    cells = {(cell["dims"], cell["dtype"]) for cell in result["implementations"][0]["cells"]}
    assert {(1, "float32"), (1, "float64"), (2, "float32"), (2, "float64")} == cells


def test_a_plugin_is_judged_alone_unless_others_are_named(call: Any) -> None:
    result = judged(call, "--plugin", plugin("alone", RIGHT))

    assert ["alone"] == [one["name"] for one in result["implementations"]]


def test_processes_give_the_same_verdicts(call: Any) -> None:
    file = plugin("processes")

    assert judged(call, "--plugin", file) == judged(call, "--plugin", file, "--jobs", "2")


def test_a_process_of_the_run_that_is_killed_changes_no_verdict(call: Any) -> None:
    once = "import os, pathlib\n    if not pathlib.Path('flag').exists():\n        "
    once += "pathlib.Path('flag').touch(); os._exit(9)\n    " + RIGHT
    result = judged(call, "--plugin", plugin("killed", once), "--no-isolate", "--jobs", "2")

    assert Path("flag").exists()
    assert ["conforms"] == [one["verdict"] for one in result["implementations"]]


def test_what_kills_its_process_each_time_is_not_judged_and_is_told(call: Any) -> None:
    """Not as a violation: another implementation of the block may be to blame."""
    file = plugin("kills", "import os; os._exit(9)")
    status, out, _ = call("run", "--plugin", file, "--no-isolate", "--jobs", "2", *TINY, "-v")

    assert 3 == status
    assert "the process that judged it was lost each time" in " ".join(out.split())
    assert "--isolate" in out


def test_the_run_file_remembers_the_command(call: Any, folder: Path) -> None:
    from conformance.runfile.reading import read

    call("run", "-i", "im2col", *TINY)
    facts = read(folder / "convformance-run" / "run.sqlite").facts

    assert "convformance run -i im2col --tier smoke" in facts["command"]


# --- replay -------------------------------------------------------------------------------------


def test_replay_shows_inputs_exact_result_output_and_verdict(call: Any) -> None:
    status, out, _ = call("replay", CASE, "--plugin", plugin("shown"))

    assert 1 == status
    for line in (f"case      {CASE}", "x         float32 (1, 1, 3)", "w         float32 (1, 1, 2)"):
        assert line in out
    assert re.search(r"^exact +float64 \(1, 1, 1\)$", out, re.MULTILINE)
    assert re.search(r"^shown +float32 \(1, 1, 1\)$", out, re.MULTILINE)
    assert "1 of 1 elements differ" in out


def test_replay_exits_with_0_where_the_implementation_conforms(call: Any) -> None:
    assert 0 == call("replay", CASE, "im2col").status


def test_replay_says_why_a_case_is_not_computed(call: Any) -> None:
    file = plugin("declines-replay", 'raise Unsupported("no time")')
    status, out, _ = call("replay", CASE, "--plugin", file)

    assert 3 == status
    assert "no time" in out


def test_replay_as_json(call: Any) -> None:
    _, out, err = call("replay", CASE, "im2col", "naive", "--json")
    result = strict(out)

    assert "" == err
    assert (CASE, None) == (result["case"], result["inputs"]["bias"])
    assert ["im2col", "naive"] == [one["implementation"] for one in result["results"]]
    assert all(one["output"] == result["exact"] for one in result["results"])


def test_replay_prints_a_script_that_shows_the_difference(call: Any, folder: Path) -> None:
    out = call("replay", CASE, "--plugin", plugin("scripted")).out
    script = out.split("standalone script for scripted:\n\n")[1]
    (folder / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
    found = re.search(r"differs by (\S+)", done.stdout)

    assert "" == done.stderr
    assert found is not None
    assert float(found[1]) > 0


def test_replay_can_print_the_scripts_alone(call: Any) -> None:
    status, out, _ = call("replay", CASE, "im2col", "--script")

    assert 0 == status
    assert out.startswith("# im2col\nimport numpy as np\n")


def test_an_operator_that_it_does_not_have_has_no_script(call: Any) -> None:
    case = "max_pool1d:float32:x=1,1,2:kernel=2:integers@0"
    result = call("replay", case, "--plugin", plugin("no-pool"), "--script")

    assert_one_line(result, "none of the implementations has max_pool")


# --- report -------------------------------------------------------------------------------------


def test_report_prints_the_run_again(call: Any) -> None:
    printed = call("run", "--plugin", plugin("reported"), *TINY).out
    status, again, _ = call("report")

    assert 0 == status
    assert again in printed
    assert "reported" in again


def test_verbose_prints_the_tables_that_a_screen_leaves_out(call: Any) -> None:
    brief = call("run", "-i", "im2col", *TINY).out
    whole = call("report", "--verbose").out

    assert "Conventions and accuracy, as probed" not in brief
    assert "Agreement with the reference" in whole
    assert call("report", "-v").out == whole
    assert 40 >= len(brief.splitlines())


def test_report_as_json_is_what_run_printed(call: Any) -> None:
    result = judged(call, "-i", "im2col")

    assert result == strict(call("report", "--json").out)


@pytest.mark.parametrize("kind", ["markdown", "html"])
def test_report_writes_to_a_file_what_it_prints(call: Any, folder: Path, kind: str) -> None:
    call("run", "-i", "im2col", *TINY)
    silent = call("report", f"--{kind}", "out.txt")
    printed = call("report", f"--{kind}", "-")

    assert (0, "", "") == silent
    assert "im2col" in printed.out
    assert (folder / "out.txt").read_text(encoding="utf-8") == printed.out


def test_report_where_it_cannot_write_is_one_line(call: Any, folder: Path) -> None:
    call("run", "-i", "im2col", *TINY)

    assert_one_line(call("report", "--html", "missing/out.html"), "missing/out.html")


# --- spec and time ------------------------------------------------------------------------------


def test_spec_as_toml_is_a_spec_file(call: Any) -> None:
    status, out, err = call("spec", "--toml")
    Path("mine.toml").write_text(out)

    assert (0, "") == (status, err)
    assert 0 == call("spec", "--spec", "mine.toml").status


@pytest.mark.parametrize("other", ["--coverage", "--json", "--spec=mine.toml"])
def test_spec_as_toml_goes_alone(call: Any, other: str) -> None:
    assert (2, "", "convformance: error: --toml prints the packaged spec; give it alone\n") == (
        call("spec", "--toml", other)
    )


def test_coverage_counts_the_layouts_that_meet_a_class(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [*tail_coverage.measure_tails(dims=(1,))]
    monkeypatch.setattr(tail_coverage, "measure_tails", lambda dims: few)
    value = json.loads(call("spec", "--coverage", "--json", "-n", "150").out)
    status, out, err = call("spec", "--coverage", "-n", "150")
    rows = {row["operator"]: row for row in value["layouts"]}

    assert (0, "") == (status, err)
    assert set(SIGNATURES) == {*rows}
    assert all(0.9 * row["valid"] < row["reached"] <= row["valid"] for row in rows.values())
    conv = rows["conv"]
    assert f"conv {conv['cases']} {conv['reached']} of {conv['valid']}".split() in [
        line.split() for line in out.splitlines()
    ]


def test_spec_shows_ranges_tiers_and_suites(call: Any) -> None:
    status, out, err = call("spec")

    assert (0, "") == (status, err)
    for word in ("ranges", "dilation", "tiers", "smoke", "suites", "edge"):
        assert word in out


def test_time_writes_and_prints_a_table(
    call: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conformance.timing import timed_run as timing

    monkeypatch.setattr(timing, "matmul_gflops", lambda dtype: 100.0)
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")  # the command sets them: put them back
    status, out, _ = call("time", "-i", "im2col", "--rounds", "2", CASE)

    assert 0 == status
    assert "im2col" in out
    assert (folder / "convformance-time" / "run.sqlite").is_file()
    assert "Time of one call" in call("report", "convformance-time/run.sqlite").out


# --- mistakes -----------------------------------------------------------------------------------


def assert_one_line(result: Result, *words: str) -> None:
    """Check for exit status 2, and one line on stderr that holds ``words``; stdout is empty."""
    status, out, err = result

    assert (2, "") == (status, out)
    assert err.startswith("convformance: error: ")
    assert err.endswith("\n")
    assert 1 == err.count("\n")
    for word in words:
        assert word in err


def files() -> set[Path]:
    return set(Path().rglob("*"))


SHORT = "conv1d:float32:x=1,2,3:w=2,2,2"
MISTAKES = [
    (["frobnicate"], ["command 'frobnicate' is unknown", "replay"]),
    (["--frobnicate"], ["--frobnicate"]),
    (["run", "--frobnicate"], ["--frobnicate"]),
    (["run", "extra"], ["extra"]),
    (["run", "-i", "nope"], ["implementation 'nope' is unknown", "im2col"]),
    (["run", "-i", "im2coll"], ["did you mean im2col?", "`convformance list` lists them"]),
    (["run", "-i", "im2col@old"], ["did you mean --python im2col@old=/path/to/python?"]),
    (["run", "-i", "naive,"], ["an empty name"]),
    (["run", "--operator", "nope"], ["operator 'nope' is unknown", "conv_transpose"]),
    (["run", "-o", "conv2d"], ["operator 'conv2d' is unknown", "-o conv --dims 2"]),
    (["run", "-o", "ConvTranspose3d"], ["-o conv_transpose --dims 3"]),
    (["run", "-o", "conv2d_input_grad"], ["-o conv_input_grad --dims 2"]),
    (["run", "-o", "MaxPool"], ["did you mean max_pool?"]),
    (["run", "-o", "deconvolution"], ["did you mean conv_transpose?"]),
    (["run", "--dtype", "fp32"], ["dtype 'fp32' is unknown", "did you mean float32?"]),
    (["run", "--dtype", "torch.half"], ["did you mean float16?"]),
    (["run", "--dtype", "bf16"], ["did you mean bfloat16?"]),
    (["run", "--check", "layouts"], ["did you mean layout?"]),
    (["run", "--suite", "egde"], ["did you mean edge?"]),
    (["run", "--tier", "ful"], ["did you mean full?"]),
    (["run", "--python", "im2cool@old=python3"], ["did you mean im2col?"]),
    (["run", "--dims", "4"], ["--dims", "'4'", "1, 2, 3"]),
    (["run", "--dtype", "nope"], ["dtype 'nope' is unknown", "float32"]),
    (["run", "--suite", "nope"], ["suite 'nope' is unknown", "edge"]),
    (["run", "--suite", "none,edge"], ["'none' goes with no other suite"]),
    (["run", "--tier", "nope"], ["tier 'nope' is unknown", "smoke"]),
    (["run", "--check", "nope"], ["check 'nope' is unknown", "purity"]),
    (["run", "--examples", "-1"], ["--examples", "-1"]),
    (["run", "--examples", "x"], ["--examples", "'x' is not a valid integer."]),
    (["run", "--seed", "x"], ["--seed", "'x' is not a valid integer."]),
    (["run", "--seed", "-1"], ["--seed", "-1"]),
    (["run", "--seconds", "0"], ["--seconds"]),
    (["run", "--seconds", "nan"], ["--seconds", "not a positive number"]),
    (["run", "--total", "0"], ["--total"]),
    (["run", "--total", "9", "--seconds", "1"], ["seconds=1 for each cell", "total=9", "choose"]),
    (["run", "--jobs", "0"], ["--jobs"]),
    (["run", "--output", ""], ["--output", "names no folder"]),
    (["run", "--spec", "missing.toml"], ["missing.toml", "no such file"]),
    (["run", "--plugin", "missing.py"], ["missing.py", "no such file"]),
    (["list", "--plugin", "missing.py"], ["missing.py", "no such file"]),
    (["replay"], ["CASE_ID"]),
    (["replay", ""], ["case id ''"]),
    (["replay", "nonsense"], ["case id 'nonsense'", "conv2d"]),
    (["replay", "Conv2d:float32:x=1,1,1"], ["'Conv2d'", "did you mean conv2d?"]),
    (["replay", "conv1d:fp32:x=1,1,1"], ["dtype", "did you mean float32?"]),
    (["replay", f"{SHORT}:integer@0"], ["'integer@0'", "did you mean integers?"]),
    (["replay", f"{SHORT}:stirde=2:integers@0"], ["'stirde=2'", "did you mean stride?"]),
    (["replay", f"{SHORT}:memory=reverse:integers@0"], ["did you mean reversed?"]),
    (["replay", f"{SHORT}:invalid=stride-zeros:integers@0"], ["did you mean stride-zero?"]),
    (["replay", SHORT], ["the data is missing", "integers@SEED"]),
    (["replay", f"{SHORT}:stride=x:integers@0"], ["stride=x", "write it like stride=2,1"]),
    (["replay", f"{SHORT}:nope=1:integers@0"], ["nope=1", "not a field"]),
    (["replay", f"{SHORT}:groups=3:integers@0"], ["groups"]),
    (["replay", f"{SHORT}:dilation=9:integers@0"], ["a kernel that, dilated, fits"]),
    (["replay", f"{SHORT}:integers@0", "nope"], ["implementation 'nope' is unknown"]),
    (["report"], ["convformance-run/run.sqlite", "no such file"]),
    (["report", "missing.sqlite"], ["missing.sqlite", "no such file"]),
    (["report", "."], ["run file ."]),
    (["time", "--output", ""], ["--output"]),
    (["time", "resnet50/conv12"], ["did you mean resnet50/", "--list-layers` lists them"]),
    (["time", "-i", "nope"], ["implementation 'nope' is unknown"]),
    (["spec", "--spec", "missing.toml"], ["missing.toml", "no such file"]),
]


@pytest.mark.parametrize(
    ("arguments", "words"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES]
)
def test_a_mistake_is_one_line_and_writes_nothing(
    call: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")  # `time` sets them: put them back
    assert_one_line(call(*arguments), *words)

    assert set() == files()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("notes.txt", "hello", ["notes.txt", "not a Python file"]),
        ("syntax.py", "x = 1\ndef (:\n", ["syntax.py:2: SyntaxError"]),
        ("raises.py", "x = 1\nraise OSError('two\\nlines')\n", ["raises.py:2: OSError: two lines"]),
        ("exits.py", "import sys\nsys.exit(0)\n", ["exits.py:2: SystemExit"]),
        ("nothing.py", "x = 1\n", ["nothing.py", "registers nothing", "@implementation"]),
        ("zeros.py", "\0", ["zeros.py", "null bytes"]),
        (
            "taken.py",
            PLUGIN.format(name="im2col", body="return x"),
            ["'im2col' is taken", "choose another name"],
        ),
        (
            "parameters.py",
            "from conformance import implementation\n"
            "@implementation('parameters')\ndef conv(x, w): ...\n",
            ["conv(x, w)", "give it those parameters"],
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_line(
    call: Any, name: str, text: str, words: list[str]
) -> None:
    Path(name).write_text(text)
    before = files()
    assert_one_line(call("run", "--plugin", name), *words)

    assert before == {file for file in files() if "__pycache__" not in file.parts}


def test_a_folder_is_no_plugin(call: Any) -> None:
    Path("folder.py").mkdir()

    assert_one_line(call("run", "--plugin", "folder.py"), "folder.py")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[ranges]\nkernal = [1]\n", ['"kernal" is unknown', "did you mean kernel?"]),
        ("[ranges\n", ["not TOML", "line 1"]),
        ('[ranges]\nstride = ["x"]\n', ["stride"]),
    ],
)
def test_a_wrong_spec_file_is_one_line(call: Any, text: str, words: list[str]) -> None:
    Path("mine.toml").write_text(text)
    assert_one_line(call("run", "--spec", "mine.toml"), "mine.toml", *words)

    assert {Path("mine.toml")} == files()


def test_an_unknown_name_is_told_the_names_of_the_plugin_first(call: Any) -> None:
    Path("mine.py").write_text(PLUGIN.format(name="my-own-conv", body="return x"))

    assert_one_line(
        call("run", "--plugin", "mine.py", "-i", "my-conv"),
        "'my-conv' is unknown; yours are my-own-conv; did you mean my-own-conv? known are ",
        "im2col",
    )


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100, b"SQLite format 3\0"])
def test_what_is_no_run_file_is_one_line(call: Any, content: bytes) -> None:
    Path("other.sqlite").write_bytes(content)

    assert_one_line(call("report", "other.sqlite"), "other.sqlite", "not a run file")


def test_what_is_not_installed_cannot_be_asked_for(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registered, "_version_of", lambda name: None if name == "torch" else "1.0")
    hint = "pip install torch"

    assert_one_line(call("run", "-i", "torch", *TINY), "'torch' is not installed", hint)
    assert_one_line(call("replay", CASE, "torch"), "'torch' is not installed", hint)
    assert set() == files()


@pytest.mark.parametrize("output", ["file", "file/folder"])
def test_an_output_folder_that_is_a_file_is_one_line(call: Any, output: str) -> None:
    Path("file").write_text("precious")
    assert_one_line(call("run", "-i", "im2col", *TINY, "--output", output), output)

    assert "precious" == Path("file").read_text()


def test_an_output_folder_that_cannot_be_written_is_one_line(call: Any) -> None:
    Path("locked").mkdir(mode=0o500)
    if os.access("locked", os.W_OK):
        pytest.skip("this user may write everywhere")

    assert_one_line(call("run", "-i", "im2col", *TINY, "--output", "locked"), "locked")


def test_a_run_file_that_cannot_be_replaced_is_one_line(call: Any) -> None:
    Path("out/run.sqlite").mkdir(parents=True)

    assert_one_line(call("run", "-i", "im2col", *TINY, "--output", "out"), "run.sqlite")


def test_an_interrupt_is_one_line(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "implementations", interrupt)

    status, out, err = call("list")

    assert (130, "", "convformance: interrupted") == (status, out, err.strip())
