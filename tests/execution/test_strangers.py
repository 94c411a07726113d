"""The host believes nobody: what a run could have written is read as a stranger's, and nothing of it ends a thread."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.artifacts import files
from agent.artifacts.files import Unreadable
from agent.data.warehouse import Warehouse
from agent.execution.host import Data
from agent.execution.local import LocalBackend
from agent.execution.run import RunLimits
from graph.types import ExecutionResult
from tests.execution.conftest import Bench, OpenBench, everything_goes

BREAKS = {
    "a broken meta.json": "Path('../meta.json').write_text('{')",
    "a meta.json of other types": "Path('../meta.json').write_text('{\"iteration\": [], \"names\": 3}')",
    "a meta.json that is a folder": "os.unlink('../meta.json'); os.mkdir('../meta.json')",
    "a result.json that is a folder": "os.makedirs('../result.json/deep')",
    "a result.json that is a link": "os.symlink('/etc/passwd', '../result.json')",
    "a stdout.txt that is a link": "os.unlink('../stdout.txt'); os.symlink('/etc/passwd', '../stdout.txt')",
    "a stdout.txt that is a pipe": "os.unlink('../stdout.txt'); os.mkfifo('../stdout.txt')",
    "a stderr.txt that is a folder": "os.unlink('../stderr.txt'); os.mkdir('../stderr.txt')",
    "a notebook that is a folder": "os.unlink('../notebook.ipynb'); os.makedirs('../notebook.ipynb/x')",
    "a digest that is a link": "os.symlink('/etc/passwd', '../digest.md')",
    "a handed.json that is none": "Path('../handed.json').write_text('[' * 100_000)",
    "a run.json of another": "Path('../run.json').write_text('{\"run_id\": 1}')",
    "a run.log that is a link": "os.unlink('../run.log'); os.symlink('/tmp/not-made-by-a-run', '../run.log')",
    "a cancel that is a folder": "os.mkdir('../cancel')",
    "figures that are a link": "os.symlink('/etc', '../figures')",
    "a work that is gone": "import shutil; shutil.rmtree(os.getcwd())",
    "code.py that is a link": "os.unlink('../code.py'); os.symlink('/etc/passwd', '../code.py')",
}


@pytest.mark.parametrize("code", BREAKS.values(), ids=BREAKS)
def test_whatever_a_run_breaks_of_its_own_folder_there_is_a_result_and_nothing_is_let_out(bench: Bench, code: str):
    artifact, run_id = bench.start(f"print('before')\n{code}\n")
    result = bench.result(run_id)
    assert isinstance(result, ExecutionResult)
    bench.artifacts.write_digest(artifact.artifact_id, "Read.", [{"part": 1}])
    shown = bench.artifacts.read(artifact.artifact_id)
    told = [json.dumps(result.as_dict()), str(shown), *bench.artifacts.text(artifact.artifact_id)]
    told += [*bench.artifacts.text(artifact.artifact_id, "stderr"), str(bench.artifacts.handed(artifact.artifact_id))]
    told.append((Path(artifact.path) / "notebook.ipynb").read_text())
    assert not [text for text in told if "root:" in text]
    assert not Path("/tmp/not-made-by-a-run").exists()
    assert bench.artifacts.list()
    assert bench.run("result = 1").status == "success"


def test_an_output_that_can_not_be_read_is_a_failed_result(bench: Bench):
    result = bench.run("os.unlink('../stdout.txt'); os.symlink('/etc/passwd', '../stdout.txt')")
    assert result.status == "failed"
    assert "what the run left can't be read: stdout.txt" in result.error
    assert result.stdout == ""


@pytest.mark.parametrize(
    "broken",
    ["[]", "{", '{"status": "success"}', '{"status": "fine"}', "x" * 1000],
    ids=["list", "cut", "few", "odd", "text"],
)
def test_a_result_that_was_broken_afterwards_is_a_failed_one_for_whoever_comes_later(bench: Bench, broken: str):
    result = bench.run("result = 1")
    artifact_id = bench.folder(result).name
    (bench.folder(result) / "result.json").write_text(broken)
    assert bench.artifacts.result(artifact_id) == result
    later = type(bench.artifacts)(bench.artifacts.root)
    read = later.result(artifact_id)
    assert read.status == "failed"
    assert "can't be read" in read.error
    assert later.read(artifact_id).status == "failed"
    with LocalBackend(later, RunLimits()) as backend:
        assert backend.poll(result.run_id).status == "failed"


def test_a_claim_that_was_broken_is_still_a_claim(bench: Bench):
    artifact, run_id = bench.start("print(1)")
    first = bench.result(run_id)
    (Path(artifact.path) / "run.json").write_text("{")
    assert bench.submit(artifact, f"token of {artifact.artifact_id}") == run_id
    assert bench.result(run_id) == first
    assert (Path(artifact.path) / "stdout.txt").read_text() == "1\n"


@pytest.mark.parametrize(
    "frame",
    [
        b"no json",
        b"[" * 200_000,
        b'{"kind": "sql"}',
        b'{"kind": "sql", "sql": {}, "rows": "many", "catalog": 1, "schema": []}',
        b'{"kind": "nonsense"}',
        b'{"kind": "llm_map", "items": [1], "schema": 3}',
        b'{"kind": "upload", "upload": "x", "data": "***"}',
        b'{"kind": "save", "upload": "x"}',
        b'{"kind": "answer", "name": [], "media_type": {}}',
        b'{"kind": "artifact", "artifact": {}, "what": 1}',
        b'{"kind": "progress", "done": "x", "total": null}',
        b'"\\ud800"',
    ],
)
def test_a_request_that_is_none_is_answered_with_an_error_and_the_line_goes_on(bench: Bench, frame: bytes):
    code = f"""
import socket, struct, json
line = execute_sql.__self__._line
frame = {frame!r}
line._channel.sendall(struct.pack("!I", len(frame)) + frame)
def receive():
    (size,) = struct.unpack("!I", line._channel.recv(4, socket.MSG_WAITALL))
    return line._channel.recv(size, socket.MSG_WAITALL) if size else b""
while receive():
    pass
result = [json.loads(receive())["error"], execute_sql("SELECT 41 + 1").rows[0][0]]
"""
    result = bench.run(code)
    assert result.status == "success", result.error_trace
    error, answer = json.loads(result.output)
    assert error
    assert answer == 42


def test_a_statement_has_a_time_and_what_it_takes_longer_is_refused_by_the_settings_name(
    open_bench: OpenBench, warehouse: Warehouse
):
    bench = open_bench(data=Data(warehouse.session, everything_goes, sql_seconds=0.5))
    endless = "SELECT sum(a.range * b.range) FROM range(100000000) AS a, range(100000000) AS b"
    code = f"""
try:
    execute_sql({endless!r})
except SqlError as error:
    result = [str(error), execute_sql("SELECT 42").rows[0][0]]
"""
    error, answer = json.loads(bench.run(code).output)
    assert "longer than 0.5 s (execution.sql_seconds)" in error
    assert answer == 42


def test_a_runs_sql_has_a_memory_of_its_own(open_bench: OpenBench, warehouse: Warehouse):
    bench = open_bench(data=Data(lambda: warehouse.session("64MiB"), everything_goes))
    result = bench.run("result = execute_sql(\"SELECT current_setting('memory_limit')\").rows[0][0]")
    assert json.loads(result.output) == "64.0 MiB"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "."])
def test_no_name_leads_out_of_a_folder(tmp_path: Path, name: str):
    (tmp_path / "x").write_text("secret")
    (tmp_path / "folder").mkdir()
    with pytest.raises((Unreadable, FileNotFoundError)):
        files.read_bytes(tmp_path / "folder", name)


def test_a_link_anywhere_on_the_way_is_not_followed(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    for folder, name in ((tmp_path / "folder", "link/x"), (tmp_path / "linked", "x")):
        with pytest.raises(Unreadable):
            files.read_bytes(folder, name)
