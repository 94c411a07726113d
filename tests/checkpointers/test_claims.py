"""A claim says once, to one of all who ask, that the key is theirs: in threads, processes, after kills."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from checkpointers import CorruptRow, LeaseLost, Saver, open_checkpointer
from tests.checkpointers.conftest import Opener
from tests.checkpointers.making import Line
from tests.workspace.postgres import Postgres


def test_the_first_claim_counts(saver: Saver):
    assert saver.claimed("t", "run 1") is None
    assert saver.claim("t", "run 1", "job 7") is True
    assert saver.claim("t", "run 1", "job 8") is False
    assert saver.claim("t", "run 1", "job 7") is False, "the same value is another asker all the same"
    assert saver.claimed("t", "run 1") == "job 7"
    assert saver.claim("t", "run 2", "") is True
    assert saver.claim("other", "run 1", "ünï 🦆 \0") is True
    assert (saver.claimed("t", "run 2"), saver.claimed("other", "run 1")) == ("", "ünï 🦆 \0")


def test_one_of_many_threads_gets_it(saver: Saver):
    ready = threading.Barrier(6)

    def ask(number: int) -> list[str]:
        ready.wait()
        return [f"key {i}" for i in range(15) if saver.claim("t", f"key {i}", f"thread {number}")]

    with ThreadPoolExecutor(6) as pool:
        got = [key for keys in pool.map(ask, range(6)) for key in keys]
    assert sorted(got) == sorted(f"key {i}" for i in range(15))


def test_claims_survive_closing(open_store: Opener):
    with open_store() as saver:
        assert saver.claim("t", "run", "here")
    with open_store() as saver:
        assert not saver.claim("t", "run", "elsewhere")
        assert saver.claimed("t", "run") == "here"


def test_claims_go_with_their_thread_and_along_with_its_copy(saver: Saver):
    Line(saver).put({"x": [1]})
    saver.claim("t", "run", "first")
    saver.copy_thread("t", "copy")
    assert not saver.claim("copy", "run", "again")
    saver.delete_thread("t")
    assert saver.claimed("t", "run") is None
    assert saver.claimed("copy", "run") == "first"
    saver.prune(["copy"])
    assert saver.claimed("copy", "run") == "first"
    saver.prune(["copy"], strategy="delete")
    assert saver.claim("copy", "run", "anew")


def test_claims_alone_make_no_thread(saver: Saver):
    saver.claim("t", "run", "early")
    assert list(saver.threads()) == []
    Line(saver).put({"x": [1]})
    assert saver.claimed("t", "run") == "early"


def test_a_run_that_lost_its_thread_can_not_claim(saver: Saver):
    with saver.lease("t"):
        late = contextvars.copy_context()
        assert saver.claim("t", "in time", "x")
    with pytest.raises(LeaseLost, match="given back"):
        late.run(saver.claim, "t", "late", "x")
    with saver.lease("t"):
        saver._next_fence("t")
        with pytest.raises(LeaseLost, match="newer run"):
            saver.claim("t", "late", "x")
    assert saver.claimed("t", "late") is None


def test_claims_from_async_code(saver: Saver):
    async def story() -> tuple[list[bool], str | None]:
        asked = [saver.aclaim("t", "run", f"task {i}") for i in range(4)]
        return list(await asyncio.gather(*asked)), await saver.aclaimed("t", "run")

    answers, value = asyncio.run(story())
    assert sorted(answers) == [False, False, False, True]
    assert value == f"task {answers.index(True)}"


def test_a_key_hides_what_was_claimed(open_store: Opener, tmp_path: Path):
    key = b"k" * 32
    with open_store(encryption_key=key) as saver:
        saver.claim("t", "run", "a secret plan")
    with open_store(encryption_key=key) as saver:
        assert saver.claimed("t", "run") == "a secret plan"
    with open_store() as saver, pytest.raises(CorruptRow, match=r"claim 'run' of thread 't'.*no key"):
        saver.claimed("t", "run")
    assert not any(b"secret plan" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


_CLAIMANT = """
import os, sys
from checkpointers import open_checkpointer
with open_checkpointer(sys.argv[1], **{sys.argv[2]: sys.argv[3]}) as saver:
    print("open", flush=True)
    sys.stdin.readline()
    for i in range(30):
        if saver.claim("t", f"key {i}", f"process {os.getpid()}"):
            print(i, flush=True)
"""


def _claimants(kind: str, option: str, where: str, count: int) -> list[int]:
    """What the processes got, all together."""
    arguments = [sys.executable, "-c", _CLAIMANT, kind, option, where]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": Path.cwd()}
    processes = [subprocess.Popen(arguments, **pipes) for _ in range(count)]
    for process in processes:
        assert process.stdout.readline() == "open\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [int(line) for process in processes for line in process.communicate()[0].split()]


def test_one_of_several_processes_gets_it(tmp_path: Path):
    got = _claimants("sqlite", "path", str(tmp_path / "state"), 3)
    assert sorted(got) == list(range(30))


def test_one_of_several_programs_on_a_server_gets_it(postgres: Postgres):
    postgres.execute("CREATE DATABASE claims", database="postgres")
    got = _claimants("postgres", "conninfo", postgres.dsn(database="claims"), 3)
    assert sorted(got) == list(range(30))


_KILLED = """
import os, sys
from checkpointers import open_checkpointer
saver = open_checkpointer(sys.argv[1], path=sys.argv[2])
print(saver.claim("t", "run", "before the kill"), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_claim_survives_its_process(kind: str, tmp_path: Path):
    path = str(tmp_path / "state")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": Path.cwd()}
    process = subprocess.Popen([sys.executable, "-c", _KILLED, kind, path], **pipes)
    assert process.stdout.readline() == "True\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with open_checkpointer(kind, path=path) as saver:
        assert not saver.claim("t", "run", "after it")
        assert saver.claimed("t", "run") == "before the kill"


def test_a_claim_whose_answer_was_lost_is_found_again(postgres: Postgres):
    """The connection dies after the server stored the claim: asked again, it is still the asker's own."""
    with open_checkpointer("postgres", conninfo=postgres.dsn(), schema="lost answers") as saver:
        plain, tries = saver._server.run, []

        def cut(work: Any) -> Any:
            def works(connection: Any) -> Any:
                answer = work(connection)
                tries.append(1)
                if len(tries) == 1:
                    postgres.execute(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
                    connection.execute("SELECT 1")
                return answer

            return plain(works)

        saver._server.run = cut
        assert saver.claim("t", "run", "mine")
        assert len(tries) == 2
        saver._server.run = plain
        assert not saver.claim("t", "run", "mine")
