"""Genie, with databricks-sdk and with databricks-ai-bridge."""

import time
from collections.abc import Iterator

import mlflow
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import BadRequest, OperationFailed, TooManyRequests
from databricks.sdk.service.dashboards import GenieMessage, MessageStatus
from databricks_ai_bridge.genie import Genie

from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.workspace,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def space(ws: Workspace, target: Target, place: Place) -> str:
    """A space over a table of two rows."""
    text = f"CREATE TABLE {place.table('orders')} AS SELECT * FROM VALUES (1, 'pen'), (2, 'cup') AS v(id, name)"
    target.client().statement_execution.execute_statement(text, target.warehouse_id, wait_timeout="30s")
    ws.genie.add_space(place.schema, "Orders", "All orders", catalog=place.catalog, schema=place.schema)
    ws.genie.answer(place.schema, "how many", sql="SELECT count(*) AS orders FROM orders", description="Counts orders")
    ws.genie.answer(place.schema, "which", sql="SELECT id, name FROM orders ORDER BY id", text="These:")
    ws.genie.answer(place.schema, "broken", error="the query could not be made")
    return place.schema


@pytest.fixture(autouse=True)
def traces(ws: Workspace) -> Iterator[None]:
    """The bridge makes an MLflow client: it gets a store of the workspace's."""
    mlflow.set_tracking_uri(ws.env["MLFLOW_TRACKING_URI"])
    yield
    mlflow.flush_trace_async_logging()


def test_a_question_goes_through_its_states(target: Target, space: str) -> None:
    genie = target.client().genie
    started = genie.start_conversation(space, "How many orders?")
    seen = [started.response.message.status]
    while seen[-1] not in (MessageStatus.COMPLETED, MessageStatus.FAILED):
        seen.append(genie.get_message(space, started.conversation_id, started.message_id).status)
    assert [state.value for state in dict.fromkeys(seen)] == [
        "SUBMITTED",
        "FETCHING_METADATA",
        "ASKING_AI",
        "PENDING_WAREHOUSE",
        "EXECUTING_QUERY",
        "COMPLETED",
    ]


def test_the_answer_has_sql_and_its_rows(target: Target, space: str) -> None:
    genie = target.client().genie
    message = genie.start_conversation_and_wait(space, "Which orders are there?")
    query = next(attachment for attachment in message.attachments if attachment.query)
    assert query.query.query == "SELECT id, name FROM orders ORDER BY id"
    result = genie.get_message_attachment_query_result(
        space, message.conversation_id, message.message_id, query.attachment_id
    )
    assert result.statement_response.result.data_array == [["1", "pen"], ["2", "cup"]]
    again = genie.execute_message_attachment_query(
        space, message.conversation_id, message.message_id, query.attachment_id
    )
    assert again.statement_response.result.data_array == [["1", "pen"], ["2", "cup"]]
    follow = genie.create_message_and_wait(space, message.conversation_id, "How many are that?")
    assert follow.conversation_id == message.conversation_id
    assert len(genie.list_conversation_messages(space, message.conversation_id).messages) == 2


def test_a_failed_message(target: Target, space: str) -> None:
    with pytest.raises(OperationFailed, match="FAILED"):
        target.client().genie.start_conversation_and_wait(space, "a broken one")


def asked(target: Target, space: str, question: str) -> GenieMessage:
    """A message when its state does not change any more (the SDK's own waiter knows of fewer ends)."""
    genie = target.client().genie
    started = genie.start_conversation(space, question)
    for _ in range(30):
        message = genie.get_message(space, started.conversation_id, started.message_id)
        if message.status.value in ("COMPLETED", "FAILED", "CANCELLED", "QUERY_RESULT_EXPIRED"):
            return message
        time.sleep(0.05)
    return message


def test_sql_that_fails_fails_the_message(ws: Workspace, target: Target, space: str) -> None:
    ws.genie.answer(space, "gone", sql="SELECT * FROM nowhere_at_all")
    message = asked(target, space, "What is gone?")
    assert message.status == MessageStatus.FAILED
    assert "TABLE_OR_VIEW_NOT_FOUND" in message.error.error


def test_a_message_is_cancelled_or_never_answered(ws: Workspace, target: Target, space: str) -> None:
    ws.genie.answer(space, "cancel", text="No.", ends="CANCELLED")
    ws.genie.answer(space, "stuck", text="No.", stuck="ASKING_AI")
    assert asked(target, space, "cancel it").status == MessageStatus.CANCELLED
    assert asked(target, space, "be stuck").status == MessageStatus.ASKING_AI


def test_an_expired_result_is_executed_again(ws: Workspace, target: Target, space: str) -> None:
    ws.genie.answer(space, "old", sql="SELECT count(*) AS n FROM orders", ends="QUERY_RESULT_EXPIRED")
    message, genie = asked(target, space, "the old one"), target.client().genie
    named = (space, message.conversation_id, message.message_id, message.attachments[0].attachment_id)
    assert message.status == MessageStatus.QUERY_RESULT_EXPIRED
    with pytest.raises(BadRequest, match="expired"):
        genie.get_message_attachment_query_result(*named)
    genie.execute_message_attachment_query(*named)
    assert genie.get_message_attachment_query_result(*named).statement_response.result.data_array == [["2"]]
    assert genie.get_message(*named[:3]).status == MessageStatus.COMPLETED


def test_questions_have_a_rate_limit(ws: Workspace, target: Target, space: str) -> None:
    ws.genie.limit(1)
    impatient = WorkspaceClient(config=Config(host=ws.url, token=ws.token, retry_timeout_seconds=1)).genie
    impatient.start_conversation(space, "How many?")
    with pytest.raises((TooManyRequests, TimeoutError)):
        impatient.start_conversation(space, "How many?")


def test_a_result_has_a_row_cap(ws: Workspace, target: Target, space: str) -> None:
    ws.genie.row_cap = 10
    ws.genie.answer(space, "all", sql="SELECT id FROM range(100)")
    message = asked(target, space, "all of them")
    got = target.client().genie.get_message_attachment_query_result(
        space, message.conversation_id, message.message_id, message.attachments[0].attachment_id
    )
    assert got.statement_response.manifest.truncated
    assert got.statement_response.manifest.total_row_count == 10


def test_the_bridge_asks_and_asks_again(ws: Workspace, target: Target, space: str) -> None:
    genie = Genie(space, client=target.client())
    answer = genie.ask_question("How many orders?")
    assert (answer.query, answer.description) == ("SELECT count(*) AS orders FROM orders", "Counts orders")
    assert "2" in answer.result
    more = genie.ask_question("Which orders?", conversation_id=answer.conversation_id)
    assert "pen" in more.result
    assert more.conversation_id == answer.conversation_id
    assert ws.journal.count("genie_asked", space=space) == 2


def test_spaces_are_listed(target: Target, space: str) -> None:
    genie = target.client().genie
    assert genie.get_space(space).title == "Orders"
    assert space in {known.space_id for known in genie.list_spaces().spaces}
