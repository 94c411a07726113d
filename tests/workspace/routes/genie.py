"""Genie (`/api/2.0/genie`)."""

from typing import Any

from fastapi import APIRouter

from tests.workspace.errors import ApiError, bad_request
from tests.workspace.genie import Conversation, Message, Space
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only, required
from tests.workspace.routes.statements import describe

api = APIRouter(prefix="/api/2.0/genie/spaces", dependencies=SIGNED_IN)
_MESSAGE = "/{space}/conversations/{conversation}/messages/{message}"
_FIELDS = ("content", "enable_visualization", "agent_type")


@api.get("")
def list_spaces(ws: Ws, user: Me) -> dict[str, Any]:
    """The spaces that one may see."""
    seen = [known for known in ws.genie.spaces.values() if ws.grants.holds(user, "CAN_READ", "genie", known.id)]
    return {"spaces": [_space(ws, space) for space in seen]}


@api.get("/{space}")
def get_space(space: str, ws: Ws, user: Me) -> dict[str, Any]:
    """One space."""
    return _space(ws, _allowed(ws, space, user, "CAN_READ"))


@api.post("/{space}/start-conversation")
def start_conversation(space: str, given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A first question."""
    _allowed(ws, space, user, "CAN_RUN")
    message = ws.genie.start(space, required(only(given, *_FIELDS), "content"), user)
    return {
        "conversation_id": message.conversation,
        "message_id": message.id,
        "conversation": _conversation(ws.genie.conversation(space, message.conversation)),
        "message": _describe(message),
    }


@api.get("/{space}/conversations")
def list_conversations(space: str, ws: Ws, user: Me) -> dict[str, Any]:
    """One's conversations in a space."""
    _allowed(ws, space, user, "CAN_RUN")
    found = [known for known in ws.genie.conversations.values() if (known.space, known.user) == (space, user)]
    return {
        "conversations": [
            {"conversation_id": known.id, "title": known.title, "created_timestamp": known.created_at}
            for known in found
        ]
    }


@api.delete("/{space}/conversations/{conversation}")
def delete_conversation(space: str, conversation: str, ws: Ws, user: Me) -> dict[str, Any]:
    """A conversation goes."""
    del ws.genie.conversations[_own(ws, space, conversation, user).id]
    return {}


@api.get("/{space}/conversations/{conversation}/messages")
def list_messages(space: str, conversation: str, ws: Ws, user: Me) -> dict[str, Any]:
    """The messages of a conversation."""
    return {"messages": [_describe(message) for message in _own(ws, space, conversation, user).messages]}


@api.post("/{space}/conversations/{conversation}/messages")
def create_message(space: str, conversation: str, given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A further question."""
    _own(ws, space, conversation, user)
    return _describe(ws.genie.ask(space, conversation, required(only(given, *_FIELDS), "content")))


@api.get(_MESSAGE)
def get_message(space: str, conversation: str, message: str, ws: Ws, user: Me) -> dict[str, Any]:
    """A message, one step further than at the last look."""
    _own(ws, space, conversation, user)
    found = ws.genie.message(space, conversation, message)
    found.looks += 1
    return _describe(found)


@api.get(_MESSAGE + "/query-result")
@api.get(_MESSAGE + "/query-result/{attachment}")
@api.get(_MESSAGE + "/attachments/{attachment}/query-result")
def query_result(space: str, conversation: str, message: str, ws: Ws, user: Me, attachment: str = "") -> dict[str, Any]:
    """The rows of a message's query."""
    _own(ws, space, conversation, user)
    found = ws.genie.message(space, conversation, message)
    if found.statement is None or attachment not in ("", found.attachment):
        raise bad_request("the message has no such query attachment")
    if found.status == "QUERY_RESULT_EXPIRED":
        raise bad_request("The query result has expired. Execute the query again.", "BAD_REQUEST")
    return {"statement_response": describe(found.statement, ws)}


@api.post(_MESSAGE + "/execute-query")
@api.post(_MESSAGE + "/attachments/{attachment}/execute-query")
def execute_query(
    space: str, conversation: str, message: str, ws: Ws, user: Me, attachment: str = ""
) -> dict[str, Any]:
    """Run a message's query again."""
    _own(ws, space, conversation, user)
    found = ws.genie.message(space, conversation, message)
    if found.statement is None or attachment not in ("", found.attachment):
        raise bad_request("the message has no such query attachment")
    statement = ws.genie.run(found)
    found.executed_again = True
    statement.wait(10)
    return {"statement_response": describe(statement, ws)}


def _allowed(ws: Any, space_id: str, user: str, level: str) -> Space:
    """A space that one may read or ask."""
    space: Space = ws.genie.space(space_id)
    ws.grants.check(user, level, "genie", space.id)
    return space


def _own(ws: Any, space: str, conversation: str, user: str) -> Conversation:
    """A conversation of one's own, in a space that one may ask."""
    _allowed(ws, space, user, "CAN_RUN")
    found: Conversation = ws.genie.conversation(space, conversation)
    if found.user != user and not ws.principals.is_admin(user):
        raise ApiError(403, "PERMISSION_DENIED", f"User {user} does not own the conversation {conversation}.")
    return found


def _space(ws: Any, space: Space) -> dict[str, Any]:
    return {
        "space_id": space.id,
        "title": space.title,
        "description": space.description,
        "warehouse_id": ws.warehouse_id,
    }


def _conversation(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "conversation_id": conversation.id,
        "space_id": conversation.space,
        "title": conversation.title,
        "created_timestamp": conversation.created_at,
        "last_updated_timestamp": conversation.created_at,
        "user_id": 1,
    }


def _describe(message: Message) -> dict[str, Any]:
    status = message.status
    about: dict[str, Any] = {
        "id": message.id,
        "message_id": message.id,
        "space_id": message.space,
        "conversation_id": message.conversation,
        "content": message.content,
        "status": status,
        "created_timestamp": message.created_at,
        "last_updated_timestamp": message.created_at,
        "user_id": 1,
    }
    if status == "FAILED":
        about["error"] = {"error": message.error, "type": "SQL_EXECUTION_EXCEPTION"}
    elif status in ("COMPLETED", "QUERY_RESULT_EXPIRED"):
        about["attachments"] = _attachments(message)
    return about


def _attachments(message: Message) -> list[dict[str, Any]]:
    answer, made = message.answer, []
    if answer.sql and message.statement:
        table = message.statement.table
        query: dict[str, Any] = {
            "query": answer.sql,
            "description": answer.description,
            "statement_id": message.statement.id,
        }
        if table is not None:
            query["query_result_metadata"] = {"row_count": table.num_rows}
        made.append({"attachment_id": message.attachment, "query": query})
    if answer.text:
        made.append({"attachment_id": f"{message.attachment}t", "text": {"content": answer.text}})
    if answer.suggestions:
        questions = {"questions": list(answer.suggestions)}
        made.append({"attachment_id": f"{message.attachment}s", "suggested_questions": questions})
    return made
