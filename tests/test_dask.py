"""A real Dask cluster: scheduler and workers in processes of their own, one of which is killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from conformance.cli import main
from conformance.errors import ConformanceError
from conformance.registration.registry import Registry
from conformance.runfile.reading import read
from conformance.runfile.tables import Cell, Gap, Pair

distributed = pytest.importorskip("distributed", reason="needs the extra dask")

TINY = (
    *("--plugin", "mine.py", "-i", "mine,im2col", "--operator", "conv,max_pool", "--dims", "1"),
    *("--dtype", "float32", "--check", "result", "--suite", "none", "--examples", "8"),
    *("--no-source", "--seconds", "100"),
)
PLUGIN = """
import os, pathlib
from conformance import implementation
from conformance.implementations.im2col import conv as right
from helper import FLAG

@implementation("mine")
def conv(x, w, bias, **parameters):
    flag = pathlib.Path(FLAG)
    if flag.exists():
        flag.unlink()
        os.kill(os.getppid() if {nanny} else os.getpid(), 9)
    return right(x, w, bias, **parameters)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def started(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a command of Dask's, in a group of its own, away from this folder."""
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd="/", stdout=quiet, stderr=quiet, start_new_session=True)


def end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Return the address of a scheduler that has two workers."""
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    processes = [started("dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")]
    options = ("--nthreads", "1", "--no-dashboard", "--death-timeout", "60")
    processes += [started("dask_worker", address, *options) for _ in range(2)]
    try:
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield address
    finally:
        for process in processes:
            end(process)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_registry: Registry) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PLUGIN.replace("{nanny}", "False"))
    Path("helper.py").write_text(f"FLAG = {str(tmp_path / 'flag')!r}\n")
    return tmp_path


def rows(path: str) -> dict[str, set[Any]]:
    contents = read(path)
    return {
        table.table: {
            tuple(getattr(row, f.name) for f in fields(row) if f.name != "seconds")
            for row in contents.rows(table)
        }
        for table in (Cell, Pair, Gap)
    }


def test_a_run_on_a_cluster_is_the_run_here_though_a_worker_is_killed(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(("run", *TINY, "--no-isolate", "--output", "here"))
    Path("flag").touch()
    status = main(("run", *TINY, "--no-isolate", "--dask", address, "--output", "there"))

    assert 0 == status, capsys.readouterr()
    assert not Path("flag").exists(), "a worker was killed"
    assert rows("here/run.sqlite") == rows("there/run.sqlite")


def test_calls_are_isolated_on_a_cluster_as_well(address: str) -> None:
    assert 0 == main(("run", *TINY, "--dask", address))


def test_fuzzing_on_a_cluster_finds_what_is_wrong(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("mine.py").read_text().replace("return right", "return 1 + right")
    Path("mine.py").write_text(text)
    few = ("--plugin", "mine.py", "-o", "conv", "--dims", "1", "--dtype", "float32")

    assert 1 == main(("fuzz", *few, "--dask", address, "--until-found", "1"))
    assert "found: mine conv" in capsys.readouterr().out


def test_no_scheduler_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("conformance.running.cluster._PATIENCE", 1.0)
    address = f"tcp://127.0.0.1:{free_port()}"

    assert 2 == main(("run", *TINY, "--dask", address))
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(rf"--dask {address}: no scheduler answers there .*`dask scheduler`", line)


def test_a_worker_of_another_version_takes_no_block(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conformance.running import cluster

    monkeypatch.setattr(cluster.cache, "key", lambda: "of another version")
    with pytest.raises(ConformanceError, match=r"worker tcp\S+ is refused: its convform"):
        cluster.Cluster(address)


def test_a_worker_without_an_engine_takes_no_block_of_it(address: str) -> None:
    from conformance.registration.registry import get
    from conformance.running.cluster import Cluster

    both = [get("im2col"), get("naive")]
    with contextlib.closing(Cluster(address)) as cluster:
        first, second = "tcp://10.0.0.1:1", "tcp://10.0.0.2:1"
        one, all_ = frozenset({"im2col"}), frozenset({"im2col", "naive"})
        assert [("im2col", "naive")] == [names for names, _ in groups(cluster, both)]
        cluster._installed = {first: one, second: all_}
        assert [(("im2col", "naive"), (second,))] == groups(cluster, both)
        cluster._installed = {first: one, second: all_ - one}
        assert [(("im2col",), (first,)), (("naive",), (second,))] == groups(cluster, both)
        cluster._installed = {first: one}
        with pytest.raises(ConformanceError, match="no worker of the cluster has what 'naive'"):
            cluster.places(both)


def groups(cluster: Any, implementations: Any) -> list[Any]:
    """Return the groups of implementations, each with the workers that judge them."""
    cluster._executors.clear()
    names = [names for names, _ in cluster.places(implementations)]
    return list(zip(names, cluster._executors, strict=True))


def test_the_loss_of_the_scheduler_leaves_a_run_that_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    scheduler = started("dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    worker = started("dask_worker", address, "--nthreads", "1", "--no-dashboard")
    try:
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=120)
        text = Path("mine.py").read_text()
        kill = f"import os; os.kill({scheduler.pid}, 9); import time; time.sleep(60)"
        Path("mine.py").write_text(text.replace("flag.unlink()", f"flag.unlink(); {kill}"))
        Path("flag").touch()
        begun = time.monotonic()
        status = main(("run", *TINY, "--no-isolate", "--dask", address))
        assert 2 == status
        assert 60 > time.monotonic() - begun
        assert "`--resume` goes on with the run" in capsys.readouterr().err
    finally:
        end(worker)
        end(scheduler)

    assert 0 == main(("run", *TINY, "--no-isolate", "--resume"))
