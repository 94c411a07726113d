"""Models by their settings, against a real chat server on loopback and the real client libraries."""

from __future__ import annotations

import socket
import threading
import time
import warnings

import pytest
from langchain_core.tools import tool

from agent.config import ModelSettings
from agent.models import cancellable, close_model, open_model
from agent.models.scripted import ScriptedModel, says
from graph.context import Model
from graph.errors import BrokenOff, Cancelled, ModelUnavailable, OutOfTime, TooLong, Withheld
from tests.models.server import (
    breaks_off,
    call,
    error_event,
    filtered,
    no_choices,
    no_end,
    serving,
    slow,
    status,
    text,
    totals_with_each_chunk,
    web_page,
)

WAYS = pytest.mark.parametrize("way", ["invoked", "streamed"])
AGAIN_AT_ONCE = {"retry-after-ms": "1"}


@tool
def query_genie(query: str) -> str:
    """Ask Genie."""
    return query


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


def offline():
    return ScriptedModel.by(lambda messages: says("I am offline."))


def opened(server, **settings) -> Model:
    fields = {"name": "small", "base_url": f"{server.url}/v1", "retries": 2, "timeout": 5.0, **settings}
    return open_model(ModelSettings(**fields), offline=offline, secrets={"MY_KEY": "sk-mine"}.get)


def asked(model: Model, way: str, tools=()):
    chat = model.chat.bind_tools(tools) if tools else model.chat
    if way == "invoked":
        return chat.invoke("hello")
    whole = None
    for chunk in chat.stream("hello"):
        whole = chunk if whole is None else whole + chunk
    return whole


def test_offline_is_what_the_caller_brought():
    model = open_model(ModelSettings(), offline=offline)
    assert (model.name, model.chat.invoke("hello").text) == ("offline", "I am offline.")


@WAYS
def test_a_reply_arrives_with_its_tokens_counted_once(server, way):
    model = opened(server.will(text("four words of text")), input_price=2.0, output_price=10.0)
    reply = asked(model, way)
    assert reply.text.strip() == "four words of text"
    assert (reply.usage_metadata["input_tokens"], reply.usage_metadata["output_tokens"]) == (11, 7)
    assert model.price(1_000_000, 0).cost_usd == 2.0


@WAYS
def test_a_tool_call_arrives_whole_and_the_tools_reach_the_server(server, way):
    reply = asked(opened(server.will(call("query_genie", '{"query": "how many?"}'))), way, [query_genie])
    assert [(made["name"], made["args"]) for made in reply.tool_calls] == [("query_genie", {"query": "how many?"})]
    assert [offered["function"]["name"] for offered in server.asked[0]["tools"]] == ["query_genie"]


def test_a_stream_that_repeats_its_running_totals_is_counted_once(server):
    reply = asked(opened(server.will(totals_with_each_chunk)), "streamed")
    assert (reply.text, reply.usage_metadata["total_tokens"]) == ("a b", 18)


def test_a_reply_comes_in_pieces_when_it_is_streamed(server):
    pieces = [chunk.text for chunk in opened(server.will(text("one two"))).chat.stream("hello") if chunk.text]
    assert pieces == ["one ", "two "]


@pytest.mark.parametrize(
    "trouble",
    [status(429, headers=AGAIN_AT_ONCE), status(500, headers=AGAIN_AT_ONCE), status(503), status(408), no_choices],
    ids=["429", "500", "503", "408", "no choices"],
)
@WAYS
def test_what_passes_is_tried_again(server, trouble, way):
    reply = asked(opened(server.will(trouble, text("at last"))), way)
    assert (reply.text.strip(), len(server.asked)) == ("at last", 2)


def test_an_error_event_before_the_first_words_is_tried_again(server):
    reply = asked(opened(server.will(error_event, text("at last"))), "streamed")
    assert (reply.text.strip(), len(server.asked)) == ("at last", 2)


def test_the_wait_that_the_server_asks_for_is_kept(server):
    asked(opened(server.will(status(429, headers={"retry-after": "1"}), text("ok"))), "invoked")
    assert 1.0 <= server.times[1] - server.times[0] < 2.0


def test_a_wait_longer_than_the_timeout_is_not_begun(server):
    model = opened(server.will(status(429, headers={"retry-after": "3600"})))
    with pytest.raises(ModelUnavailable, match=r"rate limited \(HTTP 429\) and asks to wait 3600 s; raise base_model"):
        asked(model, "invoked")
    assert len(server.asked) == 1


@WAYS
def test_tries_end_and_the_message_names_what_to_change(server, way):
    model = opened(server.will(status(429, headers=AGAIN_AT_ONCE)))
    with pytest.raises(ModelUnavailable, match=r"^small: is rate limited .*base_model\.retries or .*fallbacks$"):
        asked(model, way)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "trouble",
    [status(401), status(403), status(400, "content_filter"), status(429, "insufficient_quota"), filtered],
    ids=["401", "403", "content filter", "quota", "withheld"],
)
@WAYS
def test_a_refused_key_or_blocked_content_goes_to_the_next_model_at_once(server, trouble, way):
    reply = asked(opened(server.will(trouble, text("from the next")), fallbacks=("large",)), way, [query_genie])
    assert reply.text.strip() == "from the next"
    assert [question["model"] for question in server.asked] == ["small", "large"]
    assert len(server.asked[1]["tools"]) == 1


def test_the_next_model_is_asked_when_the_first_stays_out_of_order(server):
    trouble = status(500, headers=AGAIN_AT_ONCE)
    reply = asked(opened(server.will(trouble, trouble, trouble, text("ok")), fallbacks=("large",)), "invoked")
    assert (reply.text, [question["model"] for question in server.asked]) == ("ok", ["small"] * 3 + ["large"])


def test_the_offline_model_can_be_the_last_resort(server):
    assert asked(opened(server.will(status(401)), fallbacks=("offline",)), "streamed").text == "I am offline."


def test_when_no_model_is_left_the_message_says_what_each_needs(server):
    model = opened(server.will(status(401)), fallbacks=("large",), api_key_env="MY_KEY")
    with pytest.raises(ModelUnavailable) as caught:
        asked(model, "invoked")
    message = str(caught.value)
    assert "small: refused the key (HTTP 401); check MY_KEY" in message
    assert "large: refused the key" in message
    assert "sk-mine" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (status(404), r"does not know this model \(HTTP 404\); check base_model.name"),
        (status(400), r"refused the request \(HTTP 400\): .*the server says so.*; check base_model"),
        (status(400, "context_length_exceeded"), "digesting.leaf_tokens"),
    ],
)
def test_a_mistake_in_the_settings_is_told_at_once_and_hidden_behind_no_fallback(server, trouble, message):
    model = opened(server.will(trouble), fallbacks=("large",))
    with pytest.raises(ModelUnavailable, match=message):
        asked(model, "invoked")
    assert len(server.asked) == 1


@WAYS
def test_a_web_page_instead_of_an_answer_points_at_the_address(server, way):
    model = opened(server.will(web_page), retries=0)
    with pytest.raises(ModelUnavailable, match=r"does not answer like a chat model at http.*base_model.base_url"):
        asked(model, way)


@WAYS
def test_a_server_that_takes_too_long_is_a_timeout(server, way):
    model = opened(server.will(slow(2.0, text("late"))), timeout=0.2, retries=0)
    with pytest.raises(ModelUnavailable, match=r"no answer within 0\.2 s after 1 tries; raise base_model.timeout"):
        asked(model, way)


@WAYS
def test_a_server_that_is_not_there_is_named(way):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    settings = ModelSettings(name="small", base_url=url, retries=0)
    with pytest.raises(ModelUnavailable, match=f"can't be reached at {url}"):
        asked(open_model(settings, offline=offline), way)


def test_a_stream_that_breaks_off_midway_is_not_told_twice(server):
    heard = []
    stream = opened(server.will(breaks_off("so ", "far "), text("again"))).chat.stream("hello")
    heard.extend(next(stream).text for _ in range(2))
    with pytest.raises(BrokenOff, match="broke its reply off midway"):
        list(stream)
    assert ("".join(heard).strip(), len(server.asked)) == ("so far", 1)


def test_a_cancelled_request_does_not_wait_for_the_next_try(server):
    cancelled = threading.Event()
    model = cancellable(opened(server.will(status(429, headers={"retry-after": "4"}))), cancelled)
    threading.Timer(0.2, cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        asked(model, "invoked", [query_genie])
    assert time.monotonic() - started < 2.0


@WAYS
def test_a_cancelled_request_does_not_wait_for_a_model_that_keeps_silent(server, way):
    cancelled = threading.Event()
    model = cancellable(opened(server.will(slow(3.0, text("late")))), cancelled)
    threading.Timer(0.2, cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        asked(model, way)
    assert time.monotonic() - started < 1.5


@WAYS
def test_a_turn_whose_time_is_over_does_not_wait_for_a_model(server, way):
    server.will(status(429, headers={"retry-after": "4"}), slow(3.0, text("late")))
    model = cancellable(opened(server), threading.Event(), until=time.monotonic() + 0.2)
    started = time.monotonic()
    with pytest.raises(OutOfTime):
        asked(model, way)
    assert time.monotonic() - started < 1.5


def test_a_stream_that_ends_without_an_end_is_broken_off(server):
    with pytest.raises(BrokenOff):
        asked(opened(server.will(no_end("The total", "is 4"))), "streamed")


@WAYS
def test_what_is_too_long_and_what_every_model_blocks_can_be_told_apart(server, way):
    with pytest.raises(TooLong):
        asked(opened(server.will(status(400, "context_length_exceeded")), fallbacks=("large",)), way)
    with pytest.raises(Withheld):
        asked(opened(server.will(status(400, "content_filter"), filtered), fallbacks=("large",)), way)
    with pytest.raises(ModelUnavailable) as caught:
        asked(opened(server.will(status(400, "content_filter"), status(401)), fallbacks=("large",)), way)
    assert not isinstance(caught.value, Withheld)


def test_the_next_model_can_be_asked_what_is_too_long_for_the_first(server):
    model = opened(server.will(text("from the large one")), fallbacks=("large",), max_output_tokens=77)
    assert (model.name, model.fallback.name, model.fallback.fallback) == ("small", "large", None)
    assert asked(model.fallback, "invoked").text == "from the large one"
    assert (server.asked[0]["model"], model.max_output_tokens) == ("large", 77)


def test_cancelling_one_request_leaves_the_others_alone(server):
    model = opened(server.will(text("ok")))
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        asked(cancellable(model, cancelled), "invoked")
    assert asked(model, "invoked").text == "ok"


def test_the_key_comes_from_the_named_variable_and_another_servers_key_is_never_sent(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-server")
    asked(opened(server.will(text("ok")), api_key_env="MY_KEY"), "invoked")
    asked(opened(server), "invoked")
    assert server.keys == ["Bearer sk-mine", "Bearer none"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "openai:gpt-5", "api_key_env": "NOT_SET"}, "base_model.api_key_env names the variable NOT_SET"),
        ({"name": "openai:gpt-5"}, "set OPENAI_API_KEY or base_model.api_key_env"),
        ({"name": "anthropic:claude-x"}, "pip install langchain-anthropic"),
        ({"name": "nobody:model"}, "change base_model.name"),
        ({"name": "gpt-5"}, "write provider:model"),
    ],
)
def test_settings_that_open_no_model_get_one_line_that_names_what_to_change(settings, message, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelUnavailable, match=message) as caught:
        open_model(ModelSettings(**settings), offline=offline)
    assert "\n" not in str(caught.value)


def test_a_provider_of_init_chat_model_gets_the_key_of_its_variable():
    model = open_model(ModelSettings(name="openai:gpt-5"), offline=offline, secrets={"OPENAI_API_KEY": "sk-x"}.get)
    assert model.name == "openai:gpt-5"


@pytest.fixture
def databricks(server):
    from databricks.sdk import WorkspaceClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies use what pydantic deprecates
        import databricks_langchain  # noqa: F401

    client = WorkspaceClient(host=server.url, token="t")
    models = []

    def at(name, **fields):
        settings = ModelSettings(name=f"databricks:{name}", **fields)
        models.append(open_model(settings, offline=offline, workspace=lambda: client))
        return models[-1]

    yield at
    for model in models:
        close_model(model)
    client.api_client._api_client._session.close()


@WAYS
def test_a_databricks_endpoint_answers_with_its_tokens_counted_once(server, databricks, way):
    server.will(status(429, headers=AGAIN_AT_ONCE), totals_with_each_chunk if way == "streamed" else text("a b"))
    reply = asked(databricks("my-endpoint", retries=1), way)
    assert (reply.text, reply.usage_metadata["total_tokens"]) == ("a b", 18)
    assert [question["model"] for question in server.asked] == ["my-endpoint"] * 2


def test_a_databricks_token_that_is_refused_is_named(server, databricks):
    server.will(status(403))
    with pytest.raises(ModelUnavailable, match=r"refused the key \(HTTP 403\); check DATABRICKS_TOKEN"):
        asked(databricks("e"), "invoked")
