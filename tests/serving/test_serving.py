"""The served agent as its clients meet it: a real server in a process of its own, the real `openai` client."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIError, APITimeoutError, BadRequestError, OpenAI

from tests.serving.processes import running, scripted_server, stop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with scripted_server(home) as (url, _):
        yield url


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
        yield client


def ask(client: OpenAI, text: str, stream: bool = False, **custom: Any) -> Any:
    return client.responses.create(model="agent", input=text, stream=stream, extra_body={"custom_inputs": custom})


def test_two_turns_on_one_thread_remember_each_other(client: OpenAI):
    first = ask(client, "My name is Ada", thread_id="two-turns")
    second = ask(client, "What is it?", thread_id=first.custom_outputs["thread_id"])

    assert first.output_text == "Message 1: My name is Ada"
    assert second.output_text == "Message 2: What is it?"
    assert second.status == "completed"


def test_two_streamed_turns_on_one_thread_remember_each_other(client: OpenAI):
    first = list(ask(client, "One two three", stream=True, thread_id="streamed"))
    second = list(ask(client, "Four", stream=True, thread_id="streamed"))

    deltas = [event.delta for event in first if event.type == "response.output_text.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == "Message 1: One two three"
    assert second[-1].type == "response.completed"
    assert second[-1].response.output_text == "Message 2: Four"
    assert {event.custom_outputs["thread_id"] for event in second} == {"streamed"}


def test_the_clients_own_stream_helper_understands_the_events(client: OpenAI):
    with client.responses.stream(model="agent", input="run: print(6 * 7)") as stream:
        kinds = {event.type for event in stream}
        response = stream.get_final_response()

    assert {"response.created", "response.output_item.added", "response.completed"} <= kinds
    assert "42" in response.output_text


def test_a_delegation_is_shown_as_a_call_its_stages_and_its_answer(client: OpenAI):
    response = ask(client, "run: print(6 * 7)")

    kinds = [item.type for item in response.output]
    assert kinds[:2] == ["message", "function_call"]
    assert kinds[-2:] == ["function_call_output", "message"]
    stages = [item.summary[0].text.split(": ", 1)[1] for item in response.output if item.type == "reasoning"]
    assert [stage.split(",")[0] for stage in stages] == sorted(
        [stage.split(",")[0] for stage in stages], key=["delegated", "executed", "processed"].index
    )
    assert response.custom_outputs["delegation_count"] == 1
    assert response.custom_outputs["artifact_ids"][0].startswith("art_")


def test_a_history_that_is_resent_is_not_asked_again(client: OpenAI):
    ask(client, "First", thread_id="resent")
    history = [
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "Message 1: First"},
        {"role": "user", "content": "Second"},
    ]

    again = client.responses.create(
        model="agent", input=history, extra_body={"context": {"conversation_id": "resent", "user_id": "ada"}}
    )

    assert again.output_text == "Message 2: Second"


def test_the_same_request_id_gets_the_same_turn_and_not_a_second_one(client: OpenAI):
    code = "run: import random; print('ran', random.random())"
    first = ask(client, code, thread_id="retried", request_id="ask-1")
    again = ask(client, code, thread_id="retried", request_id="ask-1")
    streamed = list(ask(client, code, stream=True, thread_id="retried", request_id="ask-1"))

    assert again.id == first.id == "resp_ask-1" == streamed[-1].response.id
    assert first.output_text.endswith(again.output_text)
    assert first.custom_outputs["artifact_ids"] == again.custom_outputs["artifact_ids"]
    assert ask(client, "And now?", thread_id="retried").output_text == "Message 2: And now?"


def test_the_same_request_id_while_the_turn_runs_waits_for_it_and_gets_its_answer(client: OpenAI):
    code = "run: import random, time; time.sleep(1); print('ran', random.random())"

    with ThreadPoolExecutor(3) as pool:
        both = list(pool.map(lambda _: ask(client, code, thread_id="at-once", request_id="ask-1"), range(3)))

    assert len({response.output[-1].content[0].text for response in both}) == 1
    assert len({tuple(response.custom_outputs["artifact_ids"]) for response in both}) == 1


def test_a_request_that_timed_out_at_the_client_is_asked_for_again_by_its_id(client: OpenAI):
    code = "run: import random, time; time.sleep(2); print('ran', random.random())"
    with pytest.raises(APITimeoutError):
        ask(client.with_options(timeout=1), code, thread_id="timed-out", request_id="ask-1")

    again = ask(client, code, thread_id="timed-out", request_id="ask-1")

    assert again.custom_outputs["end"] == "answer"
    assert again.custom_outputs["delegation_count"] == 1
    assert len(again.custom_outputs["artifact_ids"]) == 1
    assert ask(client, "And?", thread_id="timed-out").output_text == "Message 2: And?"


def test_who_leaves_while_waiting_for_a_busy_thread_cancels_nobody_elses_turn(client: OpenAI):
    with ThreadPoolExecutor(1) as pool:
        code = "run: import time; time.sleep(3); print('undisturbed')"
        first = pool.submit(ask, client, code, thread_id="busy")
        time.sleep(1)
        waiting = ask(client, "Me too", stream=True, thread_id="busy")
        time.sleep(0.5)
        waiting.close()

        assert "undisturbed" in first.result().output_text
    assert ask(client, "And?", thread_id="busy").status == "completed"


def test_many_clients_at_once_do_not_wait_for_each_other(client: OpenAI):
    def slow(number: int) -> str:
        text: str = ask(client, f"run: import time; time.sleep(2); print({number} * 11)").output_text
        return text

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(slow, range(8)))
    seconds = time.monotonic() - began

    assert all(str(number * 11) in answer for number, answer in enumerate(answers))
    assert seconds < 12, f"8 requests of two seconds each took {seconds:.1f} s"


def test_server_sent_events_end_with_done(url: str):
    with httpx.stream("POST", f"{url}/invocations", json={"input": "Hello", "stream": True}, timeout=30) as response:
        lines = [line for line in response.iter_lines() if line]

    assert response.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[0].removeprefix("data: "))["type"] == "response.created"


@pytest.mark.parametrize(
    ("body", "status", "complaint"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 400, "JSON object"),
        (b"{}", 400, "input has to be a text"),
        (b'{"input": []}', 400, "no new user message"),
        (b'{"input": "  "}', 400, "no new user message"),
        (b'{"input": [{"role": "wizard", "content": "x"}]}', 400, "role"),
        (b'{"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}', 400, "input_image"),
        (b'{"input": "x", "custom_inputs": {"thread_id": 7}}', 400, "custom_inputs.thread_id"),
        (b'{"input": "x", "custom_inputs": {"thread_idd": "t"}}', 400, "did you mean thread_id"),
        (b'{"input": "' + b"x" * 5_000_000 + b'"}', 413, "larger than"),
    ],
)
def test_a_bad_request_is_refused_with_what_to_change_and_no_traceback(
    url: str, body: bytes, status: int, complaint: str
):
    response = httpx.post(f"{url}/responses", content=body, headers={"content-type": "application/json"}, timeout=30)

    assert response.status_code == status
    assert complaint in response.json()["error"]["message"]
    assert "Traceback" not in response.text


def test_the_openai_client_raises_its_own_error_for_a_bad_request(client: OpenAI):
    with pytest.raises(BadRequestError, match="thread_id"):
        ask(client, "Hello", thread_id="t" * 300)


def beats(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("beat.txt"))


def quiet(folder: Path, seconds: float = 15.0) -> bool:
    """Whether code that writes a beat every tenth of a second falls silent."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = beats(folder)
        time.sleep(1.0)
        if beats(folder) == before:
            return True
    return False


BEATING = (
    "run: import time\n"
    "for _ in range(600):\n"
    "    with open('beat.txt', 'a') as beat:\n"
    "        beat.write('x')\n"
    "    time.sleep(0.1)\n"
)


def started_beating(folder: Path) -> bool:
    deadline = time.monotonic() + 40
    while not beats(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return beats(folder) > 0


def test_a_client_that_leaves_a_stream_ends_the_code_that_runs_for_it(tmp_path: Path):
    with scripted_server(tmp_path) as (url, _), OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        stream = ask(client, BEATING, stream=True, thread_id="left")
        for event in stream:
            if event.custom_outputs.get("stage", {}).get("status") == "executing":
                break
        assert started_beating(tmp_path)
        stream.close()

        assert quiet(tmp_path)
        after = ask(client, "Still there?", thread_id="left")
        assert after.status == "completed"
        assert "Still there?" in after.output_text


def test_a_run_that_outlives_the_deadline_is_named_and_looked_at_again_by_the_next_turn(tmp_path: Path):
    serve = {"port": 0, "request_deadline": 1}
    with scripted_server(tmp_path, serve=serve) as (url, _), OpenAI(base_url=url, api_key="none") as client:
        first = ask(client, "run: import time; time.sleep(5); print('done at last')", thread_id="long")
        assert first.custom_outputs["end"] == "run_running"
        assert first.custom_outputs["running"][0]["run_id"]
        second = first
        while second.custom_outputs["running"]:
            time.sleep(1)
            second = ask(client, "And?", thread_id="long")

    shown = json.dumps([item.model_dump() for item in second.output])
    assert "processed" in shown


def test_shutting_down_ends_running_code_and_the_process_with_it(tmp_path: Path):
    with scripted_server(tmp_path) as (url, process):

        def hang() -> None:
            with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
                with suppress(APIError):
                    ask(client, BEATING)

        asking = threading.Thread(target=hang)
        asking.start()
        assert started_beating(tmp_path)
        os.kill(process.pid, signal.SIGTERM)
        process.wait(40)
        asking.join(10)

        assert process.returncode == 0
        assert quiet(tmp_path, seconds=5)


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = json.dumps({"home": str(tmp_path), "serve": {"port": port}, "tracing": {"enabled": False}})
        command = [sys.executable, "-m", "tests.serving.scripted_server", given]
        with running(command, cwd=tmp_path, log=tmp_path / "server.log") as process:
            process.wait(60)
            assert stop(process) != 0

    assert f"can't listen on 127.0.0.1:{port}" in (tmp_path / "server.log").read_text()
