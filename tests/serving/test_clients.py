"""Conversations as clients send them: the real `openai` client against a real server, streamed and not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIError, BadRequestError, ConflictError, NotFoundError, OpenAI

from tests.serving.processes import free_port, running, scripted_server
from tests.waiting import until

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("clients")
    with scripted_server(home, checkpointer={"on_busy": "reject"}) as (url, _):
        yield url


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def respond(client: OpenAI, given: Any, stream: bool = False, **fields: Any) -> Any:
    """The response, of a stream the one that it ends with."""
    answer: Any = client.responses.create(model="rlm-agent", input=given, stream=stream, **fields)
    if not stream:
        return answer
    events = list(answer)
    assert events[-1].type == "response.completed"
    return events[-1].response


def chat(client: OpenAI, messages: list[Any], stream: bool = False, **fields: Any) -> str:
    answer: Any = client.chat.completions.create(model="rlm-agent", messages=messages, stream=stream, **fields)
    if not stream:
        return str(answer.choices[0].message.content)
    chunks = [chunk for chunk in answer if chunk.choices]
    assert chunks[-1].choices[0].finish_reason == "stop"
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def agent(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


@BOTH
def test_instructions_and_the_clients_history_reach_the_model(client: OpenAI, stream: bool) -> None:
    given = [
        {"role": "developer", "content": "Answer in German."},
        user("What is a vendor?"),
        {"role": "assistant", "content": [{"type": "output_text", "text": "Who sells."}]},
        user("told?: "),
    ]

    response = respond(client, given, stream, instructions="Be brief.")

    *_, told = response.output_text.split("\n")
    assert told == "Answer in German. | What is a vendor? / Who sells."
    assert response.instructions == "Be brief."
    assert "Be brief." in client.responses.create(model="x", instructions="Be brief.", input="told?: ").output_text


@BOTH
def test_a_response_goes_on_from_another(client: OpenAI, stream: bool) -> None:
    first = respond(client, "First", stream)
    second = respond(client, "Second", stream, previous_response_id=first.id)
    other = respond(client, "Other second", stream, previous_response_id=first.id)

    assert second.output_text == "Message 2: Second"
    assert second.previous_response_id == first.id
    assert second.custom_outputs["thread_id"] == first.custom_outputs["thread_id"]
    assert other.output_text == "Message 2: Other second"
    assert other.custom_outputs["thread_id"] != first.custom_outputs["thread_id"]


@BOTH
def test_a_conversation_is_a_thread(client: OpenAI, stream: bool) -> None:
    respond(client, "First", stream, conversation=f"conv_{stream}")

    assert respond(client, "Second", stream, conversation={"id": f"conv_{stream}"}).output_text == "Message 2: Second"


@BOTH
def test_who_sends_all_its_items_again_goes_on_with_its_thread(client: OpenAI, stream: bool) -> None:
    given: list[Any] = [user(f"run: print(6 * 7) # {stream}")]
    first = respond(client, given, stream)
    given += [item.model_dump(exclude_none=True) for item in first.output]

    second = respond(client, [*given, user("Second")], stream)

    assert second.output_text == "Message 2: Second"
    assert second.custom_outputs["thread_id"] == first.custom_outputs["thread_id"]


def test_metadata_is_echoed_and_hints_are_taken(client: OpenAI) -> None:
    response = respond(
        client,
        "Hello",
        metadata={"ticket": "7"},
        temperature=0.3,
        top_p=0.9,
        store=False,
        user="ada",
        tools=[],
        tool_choice="auto",
        parallel_tool_calls=False,
        truncation="auto",
        text={"format": {"type": "text"}},
        max_output_tokens=500,
        include=["reasoning.encrypted_content"],
    )

    assert response.metadata == {"ticket": "7"}
    assert response.max_output_tokens == 500
    assert response.model == "rlm-agent"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


COUNT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@BOTH
def test_an_answer_by_a_schema_is_json_that_fits_it(client: OpenAI, stream: bool) -> None:
    by_schema: Any = {"format": {"type": "json_schema", "name": "count", "schema": COUNT}}

    response = respond(client, 'say: {"n": 4}', stream, text=by_schema)

    assert json.loads(response.output_text) == {"n": 4}
    assert response.custom_outputs["parsed"] == {"n": 4}
    chosen: Any = {"type": "json_schema", "json_schema": {"name": "count", "schema": COUNT}}
    assert json.loads(chat(client, [user('say: {"n": 5}')], stream, response_format=chosen)) == {"n": 5}


def test_an_answer_that_never_fits_its_schema_is_incomplete_and_says_why(client: OpenAI) -> None:
    by_schema: Any = {"format": {"type": "json_schema", "name": "count", "schema": COUNT}}

    response = respond(client, "say: four", text=by_schema)

    assert (response.status, response.custom_outputs["end"]) == ("incomplete", "unfit")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "name": "f", "parameters": {}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": 7}}}}, "text.format"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"previous_response_id": "resp_nobody"}, "previous_response_id"),
        ({"previous_response_id": "nobody"}, "previous_response_id"),
        ({"previous_response_id": "resp_x", "conversation": "c"}, "previous_response_id"),
        ({"metadata": {"a": "x" * 600}}, "metadata"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"instructions": "x" * 9_000}, "instructions"),
    ],
)
@BOTH
def test_what_would_change_the_meaning_is_refused_by_its_name(
    client: OpenAI, stream: bool, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        respond(client, "Hello", stream, **fields)

    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


def test_a_response_can_be_looked_at_again(client: OpenAI) -> None:
    first = respond(client, "run: print(6 * 7)")

    again = client.responses.retrieve(first.id)

    assert (again.id, again.status) == (first.id, "completed")
    assert again.output_text.startswith("It said:")
    for unknown in ("resp_nobody", "nobody"):
        with pytest.raises(NotFoundError):
            client.responses.retrieve(unknown)


def test_a_running_response_can_be_looked_at_and_cancelled_and_its_thread_is_busy(client: OpenAI) -> None:
    stream = client.responses.create(
        model="x",
        input="run: import time; time.sleep(60)",
        stream=True,
        extra_body={"custom_inputs": {"thread_id": "busy"}},
    )
    first: Any = next(iter(stream))
    running = client.responses.retrieve(first.response.id)
    for streamed in (False, True):
        with pytest.raises(ConflictError):
            respond(client, "Me too", streamed, conversation="busy")

    cancelled = client.responses.cancel(first.response.id)
    last: Any = list(stream)[-1]

    assert running.status == "in_progress"
    assert cancelled.id == first.response.id
    assert last.type == "response.incomplete"
    assert last.response.custom_outputs["end"] == "cancelled"
    until(lambda: client.responses.retrieve(first.response.id).status == "incomplete")


@BOTH
def test_a_chat_goes_on_with_its_thread_when_all_of_it_is_sent_again(client: OpenAI, stream: bool) -> None:
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, user(f"run: print(6 * 7) # chat {stream}")]
    first = chat(client, messages, stream)
    messages += [agent(first), user("Second")]
    second = chat(client, messages, stream)
    messages += [agent(second), user("told?: ")]
    third = chat(client, messages, stream)

    assert "Let me run it.\n\nIt said:" in first
    assert second == "Message 2: Second"
    assert "Be brief. |" in third
    assert "success, iteration 1" in third, "the thread remembers more than was said"


def test_an_edited_chat_goes_on_from_where_it_was_edited_and_a_new_one_is_new(client: OpenAI) -> None:
    first = chat(client, [user("Edited chat")])
    said = [user("Edited chat"), agent(first)]
    chat(client, [*said, user("Second")])

    assert chat(client, [*said, user("Other second")]) == "Message 2: Other second"
    assert chat(client, [user("Edited chat")]) == "Message 1: Edited chat"
    assert chat(client, [user("Never"), agent("told here"), user("told?: ")]).endswith("| Never / told here")


def test_a_chat_goes_on_after_a_restart(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as (url, _), OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        first = chat(client, [user("run: print('kept')")])
    with scripted_server(tmp_path) as (url, _), OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        again = chat(client, [user("run: print('kept')"), agent(first), user("told?: ")])

    assert "stdout:\nkept" in again


def test_a_chat_is_told_the_usage_that_it_asks_for(client: OpenAI) -> None:
    streamed = list(
        client.chat.completions.create(
            model="x", messages=[user("Hello")], stream=True, stream_options={"include_usage": True}, max_tokens=100
        )
    )
    whole = client.chat.completions.create(model="x", messages=[user("Hello")], max_completion_tokens=100)

    assert streamed[-1].choices == []
    assert streamed[-1].usage is not None
    assert streamed[-1].usage.total_tokens > 0
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    assert whole.id.startswith("chatcmpl-")
    assert {chunk.id for chunk in streamed} == {streamed[0].id}


def test_the_clients_own_chat_stream_understands_the_chunks(client: OpenAI) -> None:
    with client.chat.completions.stream(model="x", messages=[user("One two three")]) as stream:
        for _ in stream:
            pass
        completion = stream.get_final_completion()

    assert completion.choices[0].message.content == "Message 1: One two three"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"n": 2}, "n"),
        ({"stop": ["."]}, "stop"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": [agent("I spoke last")]}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages"),
        ({"messages": [user([{"type": "image_url", "image_url": {"url": "x"}}])]}, "messages"),
        ({"max_tokens": -1}, "max_tokens"),
    ],
)
@BOTH
def test_a_chat_that_is_not_served_is_refused_by_the_name_of_the_field(
    client: OpenAI, stream: bool, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        chat(client, **({"messages": [user("Hello")], "stream": stream} | fields))

    assert refused.value.param == param


def test_the_model_is_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["rlm-agent"]
    assert client.models.retrieve("rlm-agent").id == "rlm-agent"
    with pytest.raises(NotFoundError):
        client.models.retrieve("gpt-5")


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/nothing", "/docs", "/openapi.json", "/"])
def test_what_is_not_there_is_said_in_openais_form(url: str, path: str) -> None:
    answer = httpx.post(f"{url}{path}", json={})

    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert httpx.get(f"{url}/v1/responses").status_code == 405
    assert "error" in httpx.get(f"{url}/v1/responses").json()


def test_an_artifacts_files_can_be_fetched(client: OpenAI, url: str) -> None:
    code = "open('table.csv', 'w').write('a,b'); open('page.html', 'w').write('<script>'); print('written')"
    response = respond(client, f"run: {code}")
    artifact = response.custom_outputs["artifact_ids"][0]

    described = httpx.get(f"{url}/v1/artifacts/{artifact}").json()
    table = httpx.get(f"{url}/v1/artifacts/{artifact}/files/work/table.csv")
    page = httpx.get(f"{url}/v1/artifacts/{artifact}/files/work/page.html")

    assert {"code.py", "stdout.txt", "work/table.csv"} <= set(described["files"])
    assert (table.text, table.headers["content-type"]) == ("a,b", "text/csv; charset=utf-8")
    assert page.headers["content-disposition"] == "attachment"
    assert page.headers["content-type"] == "application/octet-stream"


def test_no_link_leads_out_of_an_artifacts_folder(client: OpenAI, url: str) -> None:
    code = "import os; os.symlink('/etc', 'etc'); os.symlink('/etc/passwd', 'passwd'); print('linked')"
    artifact = respond(client, f"run: {code}").custom_outputs["artifact_ids"][0]

    for name in (
        "work/passwd",
        "work/etc/passwd",
        "work",
        "../../records.sqlite",
        "%2e%2e/%2e%2e/records.sqlite",
        "no",
    ):
        assert httpx.get(f"{url}/v1/artifacts/{artifact}/files/{name}").status_code == 404
    for unknown in ("art_000000000000", "..", "%2e%2e"):
        assert httpx.get(f"{url}/v1/artifacts/{unknown}").status_code == 404


@BOTH
def test_a_turn_that_failed_is_an_error_of_a_chat_once_and_without_secrets(url: str, stream: bool) -> None:
    asked = "fail: no way to postgresql://ada:hunter2secret@db/x"
    with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        with pytest.raises(APIError, match="no way to") as failed:
            chat(client, [user(asked)], stream)
        response = client.responses.create(model="x", input=asked)

    assert "hunter2secret" not in str(failed.value)
    assert response.status == "failed"
    assert "hunter2secret" not in response.to_json()


def test_a_stream_ends_with_done_in_both_protocols(url: str) -> None:
    for path, body in (("responses", {"input": "Hello"}), ("chat/completions", {"messages": [user("Hello")]})):
        with httpx.stream("POST", f"{url}/v1/{path}", json=body | {"stream": True}, timeout=30) as response:
            lines = [line for line in response.iter_lines() if line]
        assert response.headers["content-type"].startswith("text/event-stream")
        assert lines[-1] == "data: [DONE]"
        assert all("error" not in json.loads(line.removeprefix("data: ")) for line in lines[:-1])


def test_a_chat_page_is_shown_under_the_servers_own_address(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<h1>Chat</h1>")
    port = free_port()
    page = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with running(page, cwd=tmp_path / "page", log=tmp_path / "page.log"):
        until(lambda: answers(f"http://127.0.0.1:{port}/"))
        with scripted_server(tmp_path, serve={"port": 0, "chat_app_port": port}) as (url, _):
            shown = httpx.get(f"{url}/")
            asked = httpx.post(f"{url}/responses", json={"input": "Hello"}, headers={"origin": url})
            unknown = httpx.post(f"{url}/v1/nothing", json={})
            foreign = httpx.get(f"{url}/", headers={"host": "evil.example.com"})

    assert "<h1>Chat</h1>" in shown.text
    assert asked.status_code == 200
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "invalid_request_error")
    assert foreign.status_code == 421


def answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(url).status_code == 200
    return False
