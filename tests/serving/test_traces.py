"""What MLflow keeps of a turn: its spans, its session and user, payloads that are small and hold no secrets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Trace

from agent.config import Settings
from agent.core import Agent, Request, open_agent
from agent.models.scripted import ScriptedModel, delegates, fails, says, together
from agent.serving.model import ServedAgent
from agent.tracing.turns import flush, prepare, run_with_trace
from graph.errors import ModelUnavailable
from graph.events import StageReached, TurnEnded
from graph.types import ConversationResult
from tests.serving.processes import scripted_server

pytestmark = [
    pytest.mark.slow,
    # MLflow's store uses what SQLAlchemy 2.1 deprecates
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

Opener = Callable[..., Agent]
SECRET = "sk-abcdefghijklmnop"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traced")


@pytest.fixture
def opened(home: Path) -> Iterator[Opener]:
    with ExitStack() as stack:

        def opens(model: ScriptedModel, **settings: Any) -> Agent:
            given = {"home": home, "data": {"sample": False}} | settings
            sub_model = ScriptedModel.by(lambda messages: "nothing of note")
            return stack.enter_context(
                open_agent(Settings.model_validate(given), base_model=model, sub_model=sub_model)
            )

        yield opens


def traced(agent: Agent, text: str, **fields: Any) -> ConversationResult:
    last = list(run_with_trace(agent, Request(text, **fields)))[-1]
    assert isinstance(last, TurnEnded)
    return last.result


def trace_of(thread_id: str) -> Trace:
    """The only trace in the thread's session."""
    flush()
    traces = mlflow.search_traces(
        filter_string=f"metadata.`mlflow.trace.session` = '{thread_id}'", return_type="list", include_spans=True
    )
    assert len(traces) == 1
    return traces[0]


def tree(trace: Trace) -> dict[str, list[str]]:
    """Each span's children, by name, in the order of their beginning."""
    spans = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
    names = {span.span_id: span.name for span in spans}
    children: dict[str, list[str]] = {}
    for span in spans:
        children.setdefault(names.get(span.parent_id, ""), []).append(span.name)
    return children


def test_each_node_model_call_and_tool_call_has_a_span_under_the_one_that_made_it(opened: Opener):
    model = ScriptedModel(together(delegates("print(1)"), delegates("print(2)")), says("one and two"))
    result = traced(opened(model), "go", thread_id="tree")

    children = tree(trace_of("tree"))

    assert result.response_text == "one and two"
    assert children[""] == ["turn"]
    assert children["turn"] == ["analyst", "delegation", "delegation", "analyst"]
    assert sorted(children["delegation"]) == [
        "delegated",
        "delegated",
        "executed",
        "executed",
        "processed",
        "processed",
    ]
    assert len(children["analyst"]) == 2


def test_the_turn_shows_question_and_answer_and_a_delegation_its_code_its_answer_and_each_statement(opened: Opener):
    failing = "try:\n    execute_sql('SELECT nothing')\nexcept SqlError:\n    pass"
    code = f"print(execute_sql('SELECT 6 * 7 AS n').rows)\n{failing}"
    traced(opened(ScriptedModel(delegates(code), says("It is 42."))), "six times seven?", thread_id="sql")

    spans = trace_of("sql").data.spans
    turn = next(span for span in spans if span.parent_id is None)
    delegation = next(span for span in spans if span.name == "delegation")
    first, failed = sorted((span for span in spans if span.name == "sql"), key=lambda span: span.start_time_ns)

    assert turn.inputs == {"question": "six times seven?"}
    assert turn.outputs["answer"] == "It is 42."
    assert None not in turn.outputs.values()
    assert delegation.span_type == "TOOL"
    assert "6 * 7" in delegation.inputs["code"]
    assert "42" in delegation.outputs
    assert {first.parent_id, failed.parent_id} == {delegation.span_id}
    assert (first.inputs, first.outputs) == ({"sql": "SELECT 6 * 7 AS n"}, {"rows": 1})
    assert failed.status.status_code == "ERROR"


def test_chunks_read_in_parallel_are_model_calls_of_the_stage_that_reads_them(opened: Opener):
    model = ScriptedModel(delegates("print('line\\n' * 12_000)", instruction="Count the lines"), says("many"))
    agent = opened(model, digesting={"leaf_tokens": 4_000})
    traced(agent, "go", thread_id="chunks")

    assert len(tree(trace_of("chunks"))["processed"]) >= 4


def test_the_session_is_the_thread_and_the_user_is_who_asked(opened: Opener):
    traced(opened(ScriptedModel(says("hello"))), "hi", thread_id="who", user_id="ada", request_id="ask-1")

    info = trace_of("who").info

    assert info.trace_metadata["mlflow.trace.session"] == "who"
    assert info.trace_metadata["mlflow.trace.user"] == "ada"
    assert info.client_request_id == "ask-1"
    assert (info.request_preview, info.response_preview) == ("hi", "hello")


def test_payloads_are_cut_and_secrets_are_redacted_wherever_they_turn_up(opened: Opener):
    code = f"api_key = '{SECRET}'\nprint('key', api_key, 'x' * 40_000)"
    model = ScriptedModel(delegates(code, text=f"Using {SECRET}"), says(f"The key is {SECRET}"))
    traced(opened(model, tracing={"max_payload_chars": 1_000}), f"Use token={SECRET}", thread_id="secret")

    trace = trace_of("secret")

    assert SECRET not in trace.to_json()
    assert len(trace.data.spans) > 5
    assert max(len(str(span.inputs)) + len(str(span.outputs)) for span in trace.data.spans) < 4_000


def test_an_error_is_on_the_span_it_happened_in_without_the_secret_it_names(opened: Opener):
    model = ScriptedModel(fails(ModelUnavailable(f"401 for key {SECRET}")))
    traced(opened(model), "go", thread_id="error")

    trace = trace_of("error")

    assert trace.info.state == "ERROR"
    failed = {span.name for span in trace.data.spans if span.status.status_code.name == "ERROR"}
    assert {"turn", "analyst"} <= failed
    assert SECRET not in trace.to_json()


def test_a_client_that_leaves_early_leaves_a_whole_trace_and_the_next_one_is_its_own(opened: Opener):
    agent = opened(ScriptedModel(delegates("import time; time.sleep(60)"), says("next"), says("next")))
    events = run_with_trace(agent, Request("go", thread_id="left"))
    for event in events:
        if isinstance(event, StageReached) and event.status == "executing":
            break
    events.close()
    traced(agent, "and now?", thread_id="after-left")

    left, after = trace_of("left"), trace_of("after-left")

    assert all(span.end_time_ns for span in left.data.spans)
    assert left.data.spans[0].outputs == {"end": "cancelled"}
    assert after.data.spans[0].name == "turn"
    assert after.data.spans[0].parent_id is None


def test_a_stream_of_the_served_model_that_is_left_early_is_traced_as_one_turn(home: Path):
    settings = Settings.model_validate({"home": home, "data": {"sample": False}})
    model = ScriptedModel.by(lambda messages: says("one two three four"))
    served = ServedAgent(settings, base_model=model, sub_model=model)
    try:
        for number in range(2):
            asked = {"input": [{"role": "user", "content": "hi"}], "custom_inputs": {"thread_id": f"served-{number}"}}
            stream = served.predict_stream(asked)
            next(stream)
            stream.close()
            assert mlflow.get_current_active_span() is None
        assert tree(trace_of("served-1"))[""] == ["turn"]
    finally:
        served.close()


def test_the_servers_own_spans_are_short_and_redacted_and_hold_the_turns_session(tmp_path: Path):
    asked = {"input": f"token={SECRET} " + "x" * 50_000, "custom_inputs": {"thread_id": "by-server"}}
    with scripted_server(tmp_path, tracing={"enabled": True, "max_payload_chars": 1_000}) as (url, _):
        wants_trace = {"x-mlflow-return-trace-id": "true"}
        whole = httpx.post(f"{url}/responses", json=asked, headers=wants_trace, timeout=60)
        with httpx.stream("POST", f"{url}/responses", json=asked | {"stream": True}, timeout=60) as left:
            next(left.iter_lines())
    store = MlflowClient(f"sqlite:///{tmp_path / 'state' / 'traces.db'}")
    traces = store.search_traces(locations=[store.get_experiment_by_name("rlm-agent").experiment_id])

    assert whole.json()["status"] == "completed"
    assert [tree(trace)[""] for trace in traces] == [["turn"], ["turn"]]
    assert whole.json()["metadata"]["trace_id"] == traces[-1].info.trace_id
    assert {trace.info.trace_metadata["mlflow.trace.session"] for trace in traces} == {"by-server"}
    assert all(SECRET not in trace.to_json() for trace in traces)
    assert all(len(str(span.inputs)) < 2_000 for trace in traces for span in trace.data.spans)


def test_turns_at_once_have_a_trace_each(opened: Opener):
    agent = opened(ScriptedModel.by(lambda messages: says("hello"), latency=0.05))
    asked = [
        threading.Thread(target=traced, args=(agent, "hi"), kwargs={"thread_id": f"at-once-{n}"}) for n in range(4)
    ]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()

    assert all(len(trace_of(f"at-once-{number}").data.spans) == 3 for number in range(4))


def test_a_store_that_cannot_be_used_is_no_reason_to_refuse_an_answer(opened: Opener, tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    agent = opened(ScriptedModel(says("hello")), tracing={"uri": f"sqlite:///{tmp_path / 'file' / 'traces.db'}"})

    assert traced(agent, "hi").response_text == "hello"


def test_a_turn_waits_for_a_store_that_is_being_prepared(opened: Opener, tmp_path: Path):
    agent = opened(ScriptedModel(says("hello")), home=tmp_path)
    prepare(agent.settings)
    traced(agent, "hi", thread_id="prepared")

    assert trace_of("prepared").info.trace_metadata["mlflow.trace.session"] == "prepared"
    assert (tmp_path / "traces.db").exists()


def test_a_process_that_has_tracing_off_is_answered_without_a_word(opened: Opener, caplog: pytest.LogCaptureFixture):
    agent = opened(ScriptedModel(delegates("print(1)"), says("hello")))
    mlflow.tracing.disable()
    try:
        assert traced(agent, "hi").response_text == "hello"
    finally:
        mlflow.tracing.enable()

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_tracing_that_is_off_writes_nothing(tmp_path: Path, opened: Opener):
    agent = opened(ScriptedModel(says("hello")), home=tmp_path, tracing={"enabled": False})

    assert traced(agent, "hi").response_text == "hello"
    assert not (tmp_path / "traces.db").exists()
