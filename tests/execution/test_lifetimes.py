"""What is true after something died: the host, or the supervisor. Hosts are real processes here, ended by SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from agent.artifacts.folder import FolderArtifacts
from agent.data.warehouse import Warehouse
from agent.execution.host import Data
from agent.execution.local import LocalBackend
from agent.execution.run import RunLimits
from graph.types import Artifact, ExecutionResult
from tests.execution.conftest import Bench, everything_goes

ROOT = Path(__file__).parents[2]

HOST = """
import sys, time
from pathlib import Path
from agent.execution.local import LocalBackend
from agent.artifacts.values import FolderValues
from agent.execution.host import Data, Kept, LocalHost
from agent.execution.run import RunLimits
from agent.models.scripted import ScriptedModel
from tests.graph.world import World
from agent.data.warehouse import open_warehouse
from agent.artifacts.folder import FolderArtifacts
from graph.types import Artifact

home, root, code = sys.argv[1:]
artifacts = FolderArtifacts(Path(root))
data = Data(open_warehouse(Path(home)).session, lambda sql: None)
backend = LocalBackend(artifacts, RunLimits(seconds=60))
artifact = Artifact("art_00000000000a", "t", "i", 1, code, None, artifacts.folder("art_00000000000a"))
kept = Kept(artifacts, FolderValues(Path(home) / "values"))
host = LocalHost(data, kept, World(ScriptedModel()).context(), artifact)
print(backend.submit(artifact, "token", host), flush=True)
time.sleep(600)
"""


@pytest.fixture
def start_host(home: Path, warehouse: Warehouse, tmp_path: Path) -> Iterator[Callable[[str], tuple[int, str]]]:
    """Start another program that submits `code`; returns its pid and the run's id."""
    hosts = []

    def start(code: str) -> tuple[int, str]:
        command = [sys.executable, "-c", HOST, str(home), str(tmp_path / "artifacts"), code]
        host = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        hosts.append(host)
        assert host.stdout is not None
        return host.pid, host.stdout.readline().strip()

    yield start
    for host in hosts:
        host.kill()
        host.wait()
        assert host.stdout is not None
        host.stdout.close()


@pytest.fixture
def bench(warehouse: Warehouse, tmp_path: Path) -> Iterator[Bench]:
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    with LocalBackend(artifacts, RunLimits(seconds=30)) as backend:
        yield Bench(artifacts, backend, Data(warehouse.session, everything_goes))


def written(path: Path) -> str:
    """What the run writes there, as soon as it has."""
    until = monotonic() + 20
    while not path.exists() or not path.read_text():
        assert monotonic() < until, f"nothing was written to {path}"
        sleep(0.02)
    return path.read_text()


def seconds_to_live(pid: int) -> float:
    began = monotonic()
    while psutil.pid_exists(pid) and monotonic() - began < 20:
        sleep(0.01)
    return monotonic() - began


def test_a_run_dies_with_its_host_and_is_then_a_result_that_asks_for_a_new_delegation(
    start_host: Callable[[str], tuple[int, str]], bench: Bench, tmp_path: Path
):
    mark = tmp_path / "pid"
    host, run_id = start_host(f"import time\nPath({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(600)")
    run = int(written(mark))
    assert bench.backend.poll(run_id) == "running"
    os.kill(host, signal.SIGKILL)
    assert seconds_to_live(run) < 3
    result = bench.result(run_id)
    assert (result.status, result.timed_out) == ("failed", False)
    assert "interrupted" in result.error
    assert "Delegate the code again" in result.error
    assert bench.backend.poll(run_id) == result


def test_what_was_started_by_a_host_that_died_is_not_started_again(
    start_host: Callable[[str], tuple[int, str]], bench: Bench, tmp_path: Path
):
    mark = tmp_path / "starts"
    code = f"open({str(mark)!r}, 'a').write('x')\nimport time\ntime.sleep(600)"
    host, run_id = start_host(code)
    written(mark)
    os.kill(host, signal.SIGKILL)
    folder = bench.artifacts.folder("art_00000000000a")
    artifact = Artifact("art_00000000000a", "t", "i", 1, code, None, folder)
    assert bench.submit(artifact, "token") == run_id
    assert bench.result(run_id).status == "failed"
    assert mark.read_text() == "x"


def test_a_result_is_there_for_whoever_comes_after_the_host(
    start_host: Callable[[str], tuple[int, str]], bench: Bench, tmp_path: Path
):
    host, run_id = start_host("print('done'); result = 5")
    first = bench.result(run_id)
    os.kill(host, signal.SIGKILL)
    assert first.status == "success"
    assert bench.backend.poll(run_id) == first


def test_another_process_can_cancel_a_run(start_host: Callable[[str], tuple[int, str]], bench: Bench, tmp_path: Path):
    mark = tmp_path / "pid"
    _, run_id = start_host(f"import time\nPath({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(600)")
    run = int(written(mark))
    bench.backend.cancel(run_id)
    assert bench.result(run_id).error == "the run was cancelled"
    assert seconds_to_live(run) < 3


def test_a_run_whose_supervisor_is_killed_ends_with_it(bench: Bench, tmp_path: Path):
    mark = tmp_path / "pid"
    code = f"import time\nPath({str(mark)!r}).write_text(str(os.getpid()))\nos.kill(os.getppid(), 9)\ntime.sleep(600)\n"
    result = bench.run(code)
    assert result.status == "failed"
    assert "interrupted" in result.error
    assert seconds_to_live(int(mark.read_text())) < 3


def test_a_supervisor_that_is_stopped_does_not_hold_its_host_for_ever(warehouse: Warehouse, tmp_path: Path):
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    limits = RunLimits(seconds=0.5, patience_seconds=1.0)
    with LocalBackend(artifacts, limits) as backend:
        bench = Bench(artifacts, backend, Data(warehouse.session, everything_goes))
        _, run_id = bench.start("import signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(600)\n")
        began = monotonic()
        assert bench.result(run_id).status == "failed"
        assert monotonic() - began < 5


def test_the_claim_tells_who_runs_what_since_when(bench: Bench):
    artifact, run_id = bench.start("pass")
    bench.result(run_id)
    claim = json.loads((Path(artifact.path) / "run.json").read_text())
    assert claim["run_id"] == run_id
    assert claim["pid"] == os.getpid()
    assert claim["token"] != f"token of {artifact.artifact_id}"
    assert "T" in claim["start_time"]


def test_markers_go_to_the_log_in_the_form_that_readers_know(bench: Bench):
    artifact, run_id = bench.start("raise ValueError")
    assert isinstance(bench.result(run_id), ExecutionResult)
    log = (Path(artifact.path) / "run.log").read_text()
    assert f"===RLM_EXEC_START artifact_id={artifact.artifact_id}===" in log
    assert f"===RLM_EXEC_END artifact_id={artifact.artifact_id} status=failed===" in log
