"""Serving endpoints, with ChatDatabricks and with databricks-sdk."""

import json
import socket
import threading
import time
import warnings
from collections.abc import Iterator

import mlflow
import pytest
import uvicorn
from databricks.sdk.errors import NotFound
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole
from openai import BadRequestError, RateLimitError
from pydantic import BaseModel

from tests.workspace.errors import ApiError
from tests.workspace.fixtures import Target
from tests.workspace.serving import EMBEDDINGS, MODEL, Reply, ToolCall, calls, reply
from tests.workspace.workspace import Workspace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydantic's and MLflow's own, at import
    from databricks_langchain import ChatDatabricks, DatabricksEmbeddings
    from mlflow.genai.agent_server import AgentServer, invoke, stream
    from mlflow.types.responses import (
        ResponsesAgentRequest,
        ResponsesAgentResponse,
        ResponsesAgentStreamEvent,
        create_text_output_item,
    )

pytestmark = [
    pytest.mark.workspace,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # ChatDatabricks leaves its HTTP client to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def chat(target: Target, **settings: object) -> ChatDatabricks:
    return ChatDatabricks(endpoint=MODEL, workspace_client=target.client(), max_retries=0, **settings)


def test_a_scripted_reply_with_its_usage(ws: Workspace, target: Target) -> None:
    ws.serving.script(reply("Good day", prompt_tokens=7, completion_tokens=2))
    message = chat(target).invoke("Hello")
    assert message.content == "Good day"
    assert message.usage_metadata["input_tokens"] == 7
    assert message.usage_metadata["total_tokens"] == 9
    assert ws.serving.endpoint(MODEL).requests[0]["messages"] == [{"role": "user", "content": "Hello"}]


def test_a_stream_comes_in_pieces(ws: Workspace, target: Target) -> None:
    text = "one two three four five six seven"
    ws.serving.script(reply(text, pause=0.02))
    pieces = [piece.content for piece in chat(target).stream("Count")]
    assert "".join(pieces) == text
    assert sum(bool(piece) for piece in pieces) > 2


@pytest.mark.parametrize("shape", ["own_chunk", "last_choice"])
def test_streamed_usage_in_both_shapes(ws: Workspace, target: Target, shape: str) -> None:
    ws.serving.script(reply("some words", prompt_tokens=5, completion_tokens=2))
    ws.serving.endpoint(MODEL).usage = shape
    chunks = list(chat(target, stream_usage=True).stream("Hi"))
    counted = [chunk.usage_metadata["total_tokens"] for chunk in chunks if chunk.usage_metadata]
    assert counted
    assert set(counted) == {7}


def test_tool_calls_whole_and_streamed(ws: Workspace, target: Target) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    model = chat(target).bind_tools([tool])
    two = Reply(tool_calls=(ToolCall("weather", {"city": "Rome"}), ToolCall("weather", {"city": "Oslo"})))
    ws.serving.script(calls("weather", city="Rome"), two)
    assert [(call["name"], call["args"]) for call in model.invoke("Rome?").tool_calls] == [
        ("weather", {"city": "Rome"})
    ]
    whole = None
    for chunk in model.stream("Both?"):
        whole = chunk if whole is None else whole + chunk
    assert [call["args"] for call in whole.tool_calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    assert ws.serving.endpoint(MODEL).requests[0]["tools"][0]["function"]["name"] == "weather"


class Verdict(BaseModel):
    """An answer with a reason."""

    yes: bool
    reason: str


def test_structured_output(ws: Workspace, target: Target) -> None:
    ws.serving.script(calls("Verdict", yes=True, reason="it is so"), json.dumps({"yes": False, "reason": "no"}))
    by_tool = chat(target).with_structured_output(Verdict, method="function_calling").invoke("Is it?")
    assert by_tool == Verdict(yes=True, reason="it is so")
    by_schema = chat(target).with_structured_output(Verdict, method="json_schema").invoke("Is it?")
    assert by_schema == Verdict(yes=False, reason="no")
    assert ws.serving.endpoint(MODEL).requests[1]["response_format"]["type"] == "json_schema"


def test_a_model_that_the_test_supplies(ws: Workspace, target: Target) -> None:
    ws.serving.use(lambda request: reply(request["messages"][-1]["content"].upper()))
    assert chat(target).invoke("quiet").content == "QUIET"


def test_an_exhausted_script_says_so(ws: Workspace, target: Target) -> None:
    ws.serving.script("only one")
    chat(target).invoke("1")
    with pytest.raises(BadRequestError, match="no reply left"):
        chat(target).invoke("2")


def test_rate_limits(ws: Workspace, target: Target) -> None:
    ws.serving.limit(1)
    chat(target).invoke("1")
    with pytest.raises(RateLimitError):
        chat(target).invoke("2")
    ws.serving.limit(None)
    ws.serving.script(ApiError(429, "REQUEST_LIMIT_EXCEEDED", "slow down"), "then")
    patient = ChatDatabricks(endpoint=MODEL, workspace_client=target.client(), max_retries=2)
    assert patient.invoke("3").content == "then"


def test_the_sdk_lists_gets_and_queries(target: Target, ws: Workspace) -> None:
    api = target.client().serving_endpoints
    assert MODEL in {endpoint.name for endpoint in api.list()}
    assert api.get(MODEL).state.ready.value == "READY"
    ws.serving.script("hello")
    answer = api.query(MODEL, messages=[ChatMessage(role=ChatMessageRole.USER, content="hi")])
    assert answer.choices[0].message.content == "hello"
    with pytest.raises(NotFound):
        api.get("nowhere")


def test_embeddings(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)  # this client takes no other way in
    embeddings = DatabricksEmbeddings(endpoint=EMBEDDINGS)
    first, again, other = embeddings.embed_documents(["a", "a", "b"])
    assert first == again != other


@invoke()
def answer_once(request: ResponsesAgentRequest) -> ResponsesAgentResponse:
    """A served agent that repeats what it is asked."""
    said = request.input[-1].content
    item = create_text_output_item(text=f"You said {said}", id="1")
    return ResponsesAgentResponse(output=[item], custom_outputs=request.custom_inputs)


@stream()
def answer_in_pieces(request: ResponsesAgentRequest) -> Iterator[ResponsesAgentStreamEvent]:
    """The same, streamed."""
    for item in answer_once(request).output:
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


@pytest.fixture
def agent(ws: Workspace) -> Iterator[str]:
    """MLflow's own agent server, elsewhere on loopback; its address."""
    mlflow.set_tracking_uri(ws.env["MLFLOW_TRACKING_URI"])
    app = AgentServer("ResponsesAgent").app
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(5)
    mlflow.flush_trace_async_logging()


def test_a_served_agent_is_forwarded_to(ws: Workspace, target: Target, agent: str) -> None:
    ws.serving.forward("my-agent", agent)
    client = target.client().api_client
    asked = {"input": [{"role": "user", "content": "hi"}], "custom_inputs": {"thread_id": "7"}}
    answer = client.do("POST", "/serving-endpoints/my-agent/invocations", body=asked)
    assert answer["output"][0]["content"][0]["text"] == "You said hi"
    assert answer["custom_outputs"] == {"thread_id": "7"}
    by_name = client.do("POST", "/serving-endpoints/responses", body={"model": "my-agent", **asked})
    assert by_name["output"] == answer["output"]
    events = client.do("POST", "/serving-endpoints/my-agent/invocations", body={**asked, "stream": True}, raw=True)
    with events["contents"] as contents:
        text = contents.read().decode()
    assert "response.output_item.done" in text
    assert text.strip().endswith("data: [DONE]")
