"""A turn told to a client as it happens, and how it stands afterwards."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, HumanMessage

from agent.principal import Principal
from agent.records.index import Place, ThreadIndex
from agent.serving.errors import Refused, refuse, refuse_previous, refuse_result
from agent.serving.requests import Asked
from agent.serving.transcript import Fields, Transcript
from agent.snapshot import find_answer
from graph.errors import InvalidRequest, NotFound
from graph.events import Event, TurnEnded, TurnStarted

if TYPE_CHECKING:
    from agent.core import Agent


def tell(
    events: Generator[Event, None, None], asked: Asked, index: ThreadIndex | None = None
) -> Generator[Fields, None, None]:
    """The turn as Responses events. Closing it cancels the turn. Raises Refused for one that was not taken up.

    What was told is noted in the index, by which a client that sends it again finds the thread.
    """
    turn = Transcript(time.time(), asked.echo)
    try:
        with closing(events):
            for event in events:
                if isinstance(event, TurnEnded) and event.result.refusal and not turn.request_id:
                    raise refuse_result(event.result)
                told = list(turn.take(event))
                if isinstance(event, TurnEnded):
                    note(asked, turn, index)
                yield from told
    except GeneratorExit:
        note(asked, turn, index)
        raise
    except NotFound as error:
        raise (refuse_previous(str(error)) if asked.request.after else refuse(error)) from error
    except InvalidRequest as error:
        raise refuse(error) from error


def note(asked: Asked, turn: Transcript, index: ThreadIndex | None) -> None:
    """Before its last event is told: a client may answer to that at once."""
    if index is not None and turn.request_id:
        said = [*asked.request.history, HumanMessage(asked.request.text), AIMessage(turn.text)]
        index.note_transcript(asked.request.principal.name, said, Place(turn.thread_id, turn.request_id))


def recall(agent: Agent, principal: Principal, request_id: str) -> dict[str, Any]:
    """The response of an earlier request, or of one that goes on, as far as it is known. Raises Refused."""
    thread_id = find_thread(agent, principal, request_id)
    values = agent.threads(principal).state(thread_id)
    turn = Transcript(values["turn"].started_at if "turn" in values else time.time())
    list(turn.take(TurnStarted(thread_id, request_id)))
    if (result := find_answer(values, thread_id, request_id)) is not None:
        list(turn.take(TurnEnded(result)))
    elif not agent.runs(thread_id, request_id):
        error = {"code": "error", "message": "The turn was cut off; the next one on its thread goes on with it."}
        return turn.response() | {"status": "failed", "error": error}
    return turn.response()


def find_thread(agent: Agent, principal: Principal, request_id: str) -> str:
    """Where the principal asked it. Raises Refused."""
    thread_id = agent.index.thread_of(principal.name, request_id)
    if thread_id is None or not (agent.threads(principal).state(thread_id) or agent.runs(thread_id, request_id)):
        raise Refused(404, f"There is no response resp_{request_id}.")
    return thread_id
