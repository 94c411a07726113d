"""The agent as its callers meet it: real files, real processes, real SQL; only the model follows a script."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.core import Request
from agent.models.scripted import ScriptedModel, delegates, fails, says, together
from graph.errors import InvalidRequest, ModelUnavailable
from graph.events import StageReached, Token, TurnEnded, TurnStarted
from tests.waiting import until

ROOT = Path(__file__).parents[2]


def test_code_is_run_and_its_output_reaches_the_model_and_the_answer_the_caller(opened) -> None:
    model = ScriptedModel(delegates("print(6 * 7)"), says("It is 42."))
    agent = opened(model)
    events = list(agent.run(Request("What is six times seven?")))
    assert isinstance(events[0], TurnStarted)
    assert "".join(event.text for event in events if isinstance(event, Token)) == "It is 42."
    result = events[-1].result
    assert (result.response_text, result.status, result.delegation_count) == ("It is 42.", "success", 1)
    assert "42" in model.shown[1][-1].text
    (artifact_id,) = result.artifact_ids
    assert (Path(agent.artifacts.folder(artifact_id)) / "notebook.ipynb").exists()
    assert agent.records.artifact(artifact_id).status == "consumed"


def test_a_second_turn_on_the_thread_remembers_the_first_also_after_a_restart(opened) -> None:
    agent = opened(says("Hello Ada."))
    thread = agent.ask(Request("I am Ada.")).thread_id
    agent.close()
    model = ScriptedModel(says("Ada."))
    again = opened(model).ask(Request("Who am I?", thread_id=thread))
    assert again.thread_id == thread
    assert [m.text for m in model.shown[0][1:]] == ["I am Ada.", "Hello Ada.", "Who am I?"]


def test_the_same_request_id_again_gets_the_same_answer_and_asks_no_model(opened) -> None:
    model = ScriptedModel(delegates("print(1)"), says("one"), says("two"))
    agent = opened(model)
    first = agent.ask(Request("go", thread_id="t", request_id="r1"))
    second = agent.ask(Request("go", thread_id="t", request_id="r1"))
    assert second.response_text == first.response_text == "one"
    assert agent.ask(Request("more", thread_id="t", request_id="r2")).response_text == "two"
    assert agent.ask(Request("go", thread_id="t", request_id="r1")).response_text == "one"
    assert len(model.shown) == 3


def test_failed_code_is_repaired_by_the_model_that_sees_its_traceback(opened) -> None:
    model = ScriptedModel(delegates("print(1 / 0)"), delegates("print('mended')"), says("done"))
    opened(model).ask(Request("go"))
    assert "ZeroDivisionError" in model.shown[1][-1].text
    assert "print(1 / 0)" in model.shown[1][-1].text
    assert "mended" in model.shown[2][-1].text


def test_sql_in_generated_code_reads_the_sample(opened) -> None:
    code = "r = execute_sql('SELECT count(*) AS n FROM silo_north.vendors')\nprint('vendors', r.rows[0][0])"
    model = ScriptedModel(delegates(code), says("many"))
    opened(model, data={"sample": True}).ask(Request("How many vendors?"))
    assert "vendors " in model.shown[1][-1].text
    assert "success" in model.shown[1][-1].text


def test_two_delegations_of_a_reply_run_at_the_same_time(opened) -> None:
    code = "import time; time.sleep(1.5); print('woke')"
    agent = opened(together(delegates(code), delegates(code)), says("both"))
    started, ends = {}, {}
    for event in agent.run(Request("go")):
        if isinstance(event, StageReached) and event.stage == "executed":
            (started if event.status == "executing" else ends)[event.artifact_id] = time.monotonic()
    assert len(started) == len(ends) == 2
    assert max(started.values()) < min(ends.values())


@pytest.mark.parametrize(
    "request_",
    [
        Request(""),
        Request("  \n"),
        Request("x", thread_id="a" * 201),
        Request("x", thread_id="a\nb"),
        Request("x", request_id=" padded"),
        Request("x", thread_id=7),  # type: ignore[arg-type]
    ],
)
def test_a_request_that_makes_no_sense_is_refused_before_anything_is_done(opened, request_) -> None:
    with pytest.raises(InvalidRequest):
        next(iter(opened().run(request_)))


def test_a_model_that_is_out_ends_the_turn_with_its_reason_and_the_question_is_not_lost(opened) -> None:
    model = ScriptedModel(fails(ModelUnavailable("no key: set OPENAI_API_KEY")), says("Now I can."))
    agent = opened(model)
    broken = agent.ask(Request("first", thread_id="t"))
    assert (broken.status, broken.end) == ("fatal_error", "error")
    assert broken.fatal_error_msg == "no key: set OPENAI_API_KEY"
    agent.ask(Request("second", thread_id="t"))
    assert [m.text for m in model.shown[1][1:]] == ["first", "second"]


def test_a_second_request_on_a_busy_thread_waits_or_is_told_that_it_is_busy(opened, home) -> None:
    slow = ScriptedModel.by(lambda messages: "slow", latency=0.7)
    agent = opened(slow)
    results = []
    workers = [
        threading.Thread(target=lambda n=n: results.append(agent.ask(Request(f"q{n}", thread_id="t"))))
        for n in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [result.status for result in results] == ["success"] * 3
    assert len(agent.messages("t")) == 6
    agent.close()

    rejecting = opened(ScriptedModel.by(lambda messages: "slow", latency=1.0), checkpointer={"on_busy": "reject"})
    first = threading.Thread(target=lambda: rejecting.ask(Request("one", thread_id="t")))
    first.start()
    time.sleep(0.4)
    refused = rejecting.ask(Request("two", thread_id="t"))
    first.join()
    assert refused.status == "fatal_error"
    assert "busy" in refused.fatal_error_msg.lower()


def test_closing_the_stream_cancels_the_turn_and_ends_the_running_code(opened, tmp_path) -> None:
    mark = tmp_path / "pid"
    code = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    agent = opened(delegates(code), says("never"))
    events = agent.run(Request("go", thread_id="t"))
    for event in events:
        if isinstance(event, StageReached) and event.status == "executing":
            break
    until(mark.exists)
    events.close()
    assert not alive(int(mark.read_text()))
    assert agent.messages("t")[-1].response_metadata["end"] == "cancelled"


def test_a_run_that_outlives_the_request_is_picked_up_in_the_next_turn(opened) -> None:
    model = ScriptedModel(delegates("import time; time.sleep(2); print('late')"), says("Here it is."))
    agent = opened(model, limits={"request_deadline": 0.5})
    first = agent.ask(Request("go", thread_id="t"))
    assert first.end == "run_running"
    (summary,) = agent.artifacts.list()
    until(lambda: agent.artifacts.result(summary.artifact_id))
    second = agent.ask(Request("well?", thread_id="t"))
    assert second.response_text == "Here it is."
    assert "late" in model.shown[1][-1].text


def test_scopes_last_as_long_as_they_say(opened) -> None:
    model = ScriptedModel.by(lambda messages: "ok")
    agent = opened(model)
    state = {"temp:mood": "calm", "colour": "teal", "user:name": "Ada", "app:motto": "slow"}
    agent.ask(Request("1", thread_id="a", user_id="ada", state=state))
    agent.ask(Request("2", thread_id="a", user_id="ada"))
    agent.ask(Request("3", thread_id="b", user_id="ada"))
    agent.ask(Request("4", thread_id="c", user_id="bob"))
    agent.ask(Request("5", thread_id="a", user_id="ada", state={"colour": None, "user:name": None}))
    seen = [{word for word in ("calm", "teal", "Ada", "slow") if word in shown[0].text} for shown in model.shown]
    assert seen == [{"calm", "teal", "Ada", "slow"}, {"teal", "Ada", "slow"}, {"Ada", "slow"}, {"slow"}, {"slow"}]


KILLED = """
import sys
from pathlib import Path
from agent.config import Settings
from agent.core import Request, open_agent
from agent.models.scripted import ScriptedModel, delegates, says, together

home, mark = sys.argv[1:]
slow = f"open({mark!r}, 'a').write('s')\\nimport time; time.sleep(60)"
quick = f"open({mark!r}, 'a').write('q')\\nprint('quick is done')"
settings = Settings(home=Path(home), data={"sample": False}, tracing={"enabled": False})
with open_agent(settings, base_model=ScriptedModel(together(delegates(slow), delegates(quick)))) as agent:
    for event in agent.run(Request("go", thread_id="t", request_id="r")):
        print(type(event).__name__, getattr(event, "stage", ""), getattr(event, "status", ""), flush=True)
"""


def test_a_killed_process_leaves_a_thread_that_resumes_and_runs_nothing_twice(opened, home, tmp_path) -> None:
    mark = tmp_path / "mark"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(home), str(mark)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path)
    for line in process.stdout:
        if line.startswith("StageReached processed"):
            break
    until(lambda: mark.exists() and sorted(mark.read_text()) == ["q", "s"])
    process.send_signal(signal.SIGKILL)
    process.communicate()
    model = ScriptedModel(says("picked up"))
    result = opened(model).ask(Request("go", thread_id="t", request_id="r"))
    assert result.response_text == "picked up"
    assert sorted(mark.read_text()) == ["q", "s"]
    answers = [message.text for message in model.shown[0] if message.type == "tool"]
    assert any("quick is done" in answer for answer in answers)
    assert any("interrupted" in answer for answer in answers)


def test_another_process_can_cancel_the_turn(opened, home) -> None:
    agent = opened(delegates("import time; time.sleep(60)"), says("never"))
    other = opened(says("unused"))
    done = []
    worker = threading.Thread(target=lambda: done.append(agent.ask(Request("go", thread_id="t"))))
    worker.start()
    until(lambda: other.cancel("t"))
    worker.join(30)
    assert done[0].end == "cancelled"
    assert not other.cancel("nobody")


def test_a_turn_ends_with_one_last_event(opened) -> None:
    events = list(opened(says("x")).run(Request("go")))
    assert [isinstance(event, TurnEnded) for event in events] == [False] * (len(events) - 1) + [True]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
