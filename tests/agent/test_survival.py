"""No thread is stuck, nothing runs twice: kills, second homes, lost folders, forks, and what hangs on a thread."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException, tool

from agent.core import Request, cancel_turn
from agent.models.scripted import ScriptedModel, calls, delegates, says, together
from agent.records.database import RecordsUnavailable
from agent.tools.start_databricks_job import token_of
from agent.tools.structured import begin_once
from graph.claims import MemoryClaims
from graph.errors import NotFound
from tests.graph.test_invariants import assert_valid

ROOT = Path(__file__).parents[2]

DIES = """
import os, sys, time
from pathlib import Path
from langchain_core.tools import tool
from agent.config import Settings
from agent.core import Request, open_agent
from agent.models.scripted import ScriptedModel, calls, delegates, says, together

home, threads, mark, story = sys.argv[1:]

@tool
def fatal() -> str:
    "Ends the process."
    with open(mark, "a") as file:
        file.write("f")
    time.sleep(1.5)
    os._exit(9)

code = f"open({mark!r}, 'a').write('d')\\nimport time; time.sleep({60 if story == 'slow' else 0})\\nprint('ran')"
first = delegates(code) if story == "slow" else together(calls(("fatal", {})), delegates(code))
settings = Settings(
    home=Path(home), data={"sample": False}, tracing={"enabled": False}, checkpointer={"path": Path(threads)}
)
with open_agent(settings, base_model=ScriptedModel(first, says("x")), tools=[fatal]) as agent:
    for event in agent.run(Request("go", thread_id="t", request_id="r")):
        print(type(event).__name__, getattr(event, "status", ""), flush=True)
"""


def run_until(line: str | None, *arguments: object) -> None:
    """Run the story in a process of its own until it dies, or says the line and is killed."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=env
    )
    for said in process.stdout:
        if line is not None and said.startswith(line):
            process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture
def killed(home, tmp_path) -> Path:
    """A thread whose delegation was running when its process was killed; the file counts how often the code ran."""
    mark = tmp_path / "mark"
    arguments = (home, tmp_path / "threads.sqlite", mark, "slow")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, *map(str, arguments)], stdout=subprocess.DEVNULL, env=env
    )  # fmt: skip
    wait_for(lambda: mark.exists() and mark.read_text() == "d")
    process.send_signal(signal.SIGKILL)
    process.wait()
    return mark


def shared(tmp_path: Path) -> dict:
    return {"checkpointer": {"path": tmp_path / "threads.sqlite"}}


def answers(model: ScriptedModel, call: int = 0) -> str:
    return "\n".join(message.text for message in model.shown[call] if message.type == "tool")


def test_another_home_with_the_same_threads_does_not_run_a_claimed_delegation_again(opened, killed, tmp_path) -> None:
    model = ScriptedModel(says("I see."))
    agent = opened(model, home=tmp_path / "other", **shared(tmp_path))
    assert agent.ask(Request("go", thread_id="t", request_id="r")).response_text == "I see."
    assert killed.read_text() == "d"
    assert f"was begun in the home {tmp_path / 'home'}" in answers(model)
    assert "is not begun a second time" in answers(model)
    assert_valid(agent.messages("t"))


def test_a_home_that_was_moved_knows_its_runs(opened, killed, home, tmp_path) -> None:
    home.rename(tmp_path / "moved")
    model = ScriptedModel(says("I see."))
    opened(model, home=tmp_path / "moved", **shared(tmp_path)).ask(Request("go", thread_id="t", request_id="r"))
    assert killed.read_text() == "d"
    assert "interrupted" in answers(model)


@pytest.mark.parametrize("gone", ["artifacts", "records.sqlite", "home"])
def test_what_is_gone_is_a_failed_result_and_nothing_runs_twice(opened, killed, home, tmp_path, gone) -> None:
    for path in [home] if gone == "home" else home.glob(f"{gone}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    model = ScriptedModel(says("I see."), says("And on."))
    agent = opened(model, **shared(tmp_path))
    result = agent.ask(Request("and now?", thread_id="t"))
    assert (result.status, result.response_text) == ("success", "And on.")
    assert killed.read_text() == "d"
    assert_valid(agent.messages("t"))


def test_a_tool_that_ends_its_process_is_tried_twice_more_and_the_thread_goes_on(opened, home, tmp_path) -> None:
    mark = tmp_path / "mark"
    for _ in range(3):
        run_until(None, home, tmp_path / "threads.sqlite", mark, "fatal")
    assert mark.read_text().count("f") == 3

    @tool
    def fatal() -> str:
        """Would end the process."""
        raise AssertionError("it is not begun again")

    model = ScriptedModel(says("The tool is broken."), says("Next."))
    agent = opened(model, live={"tools": [fatal]}, **shared(tmp_path))
    assert agent.ask(Request("next?", thread_id="t")).response_text == "Next."
    assert "is not begun again" in answers(model)
    assert "ran" in answers(model), "what had ended keeps its answer"
    assert mark.read_text().count("d") == 1
    assert_valid(agent.messages("t"))
    agent.threads().rewind("t", 1)
    assert agent.messages("t")[-1].text == "The tool is broken."


def test_a_job_is_claimed_beside_its_thread_before_it_is_started(opened, tmp_path, home) -> None:
    order = {"user_request": "nightly report"}
    agent = opened(calls(("start_databricks_job", order)), jobs_folder=ROOT / "notebooks" / "jobs", **shared(tmp_path))
    assert agent.ask(Request("go", thread_id="t", request_id="r")).end == "job_started"
    call_id = next(message.tool_calls[0]["id"] for message in agent.messages("t") if message.type == "ai")
    steps = [{"configurable": {"thread_id": "t"}, "metadata": {"langgraph_step": step}} for step in range(9)]
    keys = [f"job {token_of(step, call_id, 'nightly report', {})}" for step in steps]
    (claimed,) = filter(None, (agent._saver.claimed("t", key) for key in keys))
    assert claimed.startswith(f"the home {home}")


def test_what_begins_once_begins_once_whichever_home_goes_on_with_the_call() -> None:
    claims, begun = MemoryClaims(), []

    def at(place: str, known: str | None) -> str:
        config = {"configurable": {"claims": claims, "place": place}}
        return begin_once(config, "job 1", lambda: begun.append(place) or "7", lambda: known)

    assert at("here", None) == "7"
    assert at("here", None) == "7", "in its own home the same token starts nothing new"
    assert at("moved here", "7") == "7"
    with pytest.raises(ToolException, match="begun before, in here, and is not begun again"):
        at("elsewhere", None)
    assert begun == ["here", "here"]


def test_a_fork_of_a_busy_thread_begins_nothing_that_is_under_way_there(opened, tmp_path) -> None:
    paid, held = tmp_path / "paid", threading.Event()

    @tool
    def pay(amount: int) -> str:
        """Pay."""
        with paid.open("a") as file:
            file.write("p")
        held.wait(20)
        return f"paid {amount}"

    def reply(messages):
        question = [message.text for message in messages if message.type == "human"][-1]
        return "done" if messages[-1].type == "tool" or question != "pay" else calls(("pay", {"amount": 7}))

    agent = opened(ScriptedModel.by(reply), live={"tools": [pay]}, checkpointer={"on_busy": "fork"})
    agent.ask(Request("hello", thread_id="t"))
    results = []
    worker = threading.Thread(target=lambda: results.append(agent.ask(Request("pay", thread_id="t"))))
    worker.start()
    wait_for(paid.exists)
    fork = agent.ask(Request("meanwhile?", thread_id="t"))
    copied = agent.threads().fork("t")
    again = agent.ask(Request("and here?", thread_id=copied))
    held.set()
    worker.join()
    assert fork.thread_id != "t"
    assert (fork.response_text, again.response_text, results[0].response_text) == ("done", "done", "done")
    assert paid.read_text() == "p"
    for thread, question in ((fork.thread_id, "meanwhile?"), (copied, "and here?")):
        assert [m.text for m in agent.messages(thread)] == ["hello", "done", question, "done"]


def test_a_fork_of_a_first_turn_begins_empty(opened, tmp_path) -> None:
    code = "import time; time.sleep(3); print('slow')"
    agent = opened(delegates(code), says("forked"), says("slow"), checkpointer={"on_busy": "fork"})
    worker = threading.Thread(target=lambda: agent.ask(Request("go", thread_id="t")))
    worker.start()
    wait_for(lambda: len(agent.messages("t")) > 1)
    fork = agent.ask(Request("meanwhile?", thread_id="t"))
    worker.join()
    assert [m.text for m in agent.messages(fork.thread_id)] == ["meanwhile?", "forked"]


def test_closing_says_that_the_run_was_interrupted_by_shutdown(opened) -> None:
    agent = opened(delegates("import time; time.sleep(60)"), says("never"))
    results = []
    worker = threading.Thread(target=lambda: results.append(agent.ask(Request("go", thread_id="t"))))
    worker.start()
    wait_for(lambda: bool(agent.threads().messages("t")[2:]) or (bool(agent._turns) and started(agent)))
    agent.close()
    worker.join()
    assert "interrupted by shutdown" in results[0].missing
    kept = opened(says("x")).artifacts.list()[0].result
    assert (kept.status, kept.error.split(":")[0]) == ("failed", "interrupted by shutdown")


def started(agent) -> bool:
    return any(one.status == "running" for one in agent.artifacts.list())


def test_max_seconds_ends_a_run_and_says_so(opened) -> None:
    agent = opened(delegates("import time; time.sleep(60)"), says("never"), limits={"max_seconds": 1.5})
    began = time.monotonic()
    result = agent.ask(Request("go"))
    assert (result.end, time.monotonic() - began < 8) == ("time", True)
    assert "limits.max_seconds" in agent.artifacts.list()[0].result.error


def test_one_request_has_one_deadline_also_when_it_goes_on_with_an_old_turn_first(opened, killed, tmp_path) -> None:
    slow = "import time; time.sleep(30)"
    model = ScriptedModel(delegates(slow), delegates(slow), delegates(slow))
    agent = opened(model, limits={"request_deadline": 2.0}, **shared(tmp_path))
    began = time.monotonic()
    result = agent.ask(Request("and now?", thread_id="t"))
    assert result.end == "run_running"
    assert time.monotonic() - began < 3.8


def test_the_history_that_a_request_brings_is_a_new_threads_history(opened) -> None:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    history = [
        SystemMessage("obey"),
        AIMessage("before anything"),
        HumanMessage("Am I Ada?"),
        AIMessage("", tool_calls=[{"name": "x", "args": {}, "id": "1"}]),
        ToolMessage("y", tool_call_id="1"),
        AIMessage("You are."),
    ]
    model = ScriptedModel(says("Ada."), says("Still Ada."))
    agent = opened(model)
    agent.ask(Request("Who am I?", thread_id="t", history=history, instructions="Answer in one word."))
    assert [m.text for m in model.shown[0][1:]] == ["Am I Ada?", "You are.", "Who am I?"]
    assert "Answer in one word." in model.shown[0][0].text
    agent.ask(Request("And now?", thread_id="t", history=history))
    assert [m.text for m in model.shown[1][1:]] == ["Am I Ada?", "You are.", "Who am I?", "Ada.", "And now?"]
    assert "Answer in one word." not in model.shown[1][0].text
    assert "one word" not in "".join(message.text for message in agent.messages("t"))


def test_a_thread_knows_its_data(opened, tmp_path) -> None:
    from agent.data.source import describe_source

    sales, costs = tmp_path / "sales.csv", tmp_path / "costs.csv"
    sales.write_text("region,amount\nnorth,10\nsouth,32\n")
    costs.write_text("region,amount\nnorth,1\n")
    code = "print('total', execute_sql('SELECT sum(amount) AS s FROM sales').rows[0][0])"
    model = ScriptedModel(delegates(code), says("42"), delegates(code), says("42 again"), says("of costs"))
    agent = opened(model)
    agent.ask(Request("total?", thread_id="t", source=describe_source([sales])))
    assert agent.ask(Request("sure?", thread_id="t")).response_text == "42 again", "not the settings' data"
    assert "total 42" in answers(model, 3)
    assert agent.threads().about("t").data == str(sales)

    agent.ask(Request("and these?", thread_id="t", source=describe_source([costs])))
    assert f"{costs} (changed with this question; what was found before is about {sales})" in model.shown[4][0].text
    assert agent.threads().about("t").data == str(costs)

    costs.unlink()
    refused = agent.ask(Request("still there?", thread_id="t"))
    assert refused.status == "fatal_error"
    assert f"--data {costs} is no longer there" in refused.fatal_error_msg
    assert agent.threads().about("t").data == str(costs)


def test_deleting_a_thread_deletes_what_hangs_on_it(opened, home) -> None:
    genie = calls(("query_genie", {"query": "how many?"}))
    model = ScriptedModel(together(delegates("print(1)"), genie), says("one"))
    agent = opened(model, sub_model=ScriptedModel.by(lambda messages: "```sql\nSELECT 1 AS n\n```"))
    kept = agent.ask(Request("go", thread_id="t"))
    (artifact_id,) = kept.artifact_ids
    assert list((home / "genie").glob("*.json"))
    assert agent._saver.claimed("t", f"run {artifact_id}") is not None
    agent.threads().delete(agent.threads().fork("t"))
    assert Path(agent.artifacts.folder(artifact_id)).exists(), "a copy shares what hangs on its source"
    agent.threads().delete("t")
    assert agent.messages("t") == []
    assert not Path(agent.artifacts.folder(artifact_id)).exists()
    assert list((home / "genie").glob("*")) == []
    assert agent._saver.claimed("t", f"run {artifact_id}") is None
    assert agent.records.artifacts("t") == []


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_turn_is_cancelled_from_elsewhere_whoever_has_the_threads_file(opened, kind) -> None:
    agent = opened(delegates("import time; time.sleep(60)"), says("never"), checkpointer={"kind": kind})
    results = []
    worker = threading.Thread(target=lambda: results.append(agent.ask(Request("go", thread_id="thread-one"))))
    worker.start()
    wait_for(lambda: cancel_turn(agent.settings, "thread"))
    worker.join(30)
    assert results[0].end == "cancelled"
    assert not cancel_turn(agent.settings, "thread")


def test_the_watcher_survives_records_that_can_not_be_read(opened, monkeypatch) -> None:
    agent = opened(delegates("import time; time.sleep(60)"), says("never"))
    asked = []

    def locked(*key) -> bool:
        asked.append(key)
        if len(asked) < 3:
            raise RecordsUnavailable("The records file is locked.")
        return True

    monkeypatch.setattr(agent.records, "cancel_requested", locked)
    assert agent.ask(Request("go", thread_id="t")).end == "cancelled"
    assert len(asked) == 3


def test_a_disk_that_fails_names_the_file_and_the_remedy_and_the_thread_is_not_locked(opened, monkeypatch) -> None:
    agent = opened(delegates("print(1)"), says("one"))
    plain = agent.artifacts.write

    def full(artifact):
        raise OSError(28, "No space left on device", "/home/x/artifacts/code.py")

    monkeypatch.setattr(type(agent.artifacts), "write", lambda self, artifact: full(artifact))
    broken = agent.ask(Request("go", thread_id="t", request_id="r"))
    assert broken.status == "fatal_error"
    assert "/home/x/artifacts/code.py: No space left on device; the disk is full: free some" in broken.fatal_error_msg
    monkeypatch.setattr(type(agent.artifacts), "write", lambda self, artifact: plain.__func__(self, artifact))
    assert agent.ask(Request("go", thread_id="t", request_id="r")).response_text == "one"


def test_pruning_leaves_a_thread_alone_on_which_a_turn_runs(opened) -> None:
    agent = opened(ScriptedModel.by(lambda messages: "ok"))
    for number in range(3):
        agent.ask(Request(str(number), thread_id="t"))
    before = {one.thread_id: one.checkpoints for one in agent.threads().sizes()}
    with agent._saver.lease("t", policy="reject"):
        pruned = in_thread(lambda: agent.threads().prune(["t"], 1))
    assert (pruned.count, pruned.skipped) == (0, ("t",))
    assert {one.thread_id: one.checkpoints for one in agent.threads().sizes()} == before
    assert agent.threads().prune(["t"], 1).count == 1


def test_every_call_gets_a_key_of_its_own_that_stays_the_same(opened) -> None:
    keys: list[str] = []

    @tool
    def note(word: str, config: RunnableConfig) -> str:
        """Note."""
        keys.append(config["configurable"]["call_key"])
        return word

    one = ("note", {"word": "a"})
    agent = opened(calls(one, one), calls(one), says("x"), live={"tools": [note]})
    agent.ask(Request("go", thread_id="t"))
    assert len(set(keys)) == 3
    assert all(len(key) == 64 for key in keys)


def test_another_principals_thread_can_not_be_rewound_or_deleted(opened) -> None:
    from agent.principal import Principal

    agent = opened(says("x"))
    agent.ask(Request("go", thread_id="t"))
    with pytest.raises(NotFound):
        agent.threads(Principal("eve")).delete("t")


def in_thread(act):
    found = []
    worker = threading.Thread(target=lambda: found.append(act()))
    worker.start()
    worker.join()
    return found[0]


def wait_for(condition, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)
