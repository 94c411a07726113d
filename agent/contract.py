"""What a caller asks of an answer's form: a JSON schema, a check of its own, or both."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.artifacts.answers import fill
from agent.schema import check_schema
from graph.errors import InvalidRequest
from graph.events import Event, Token
from graph.reading.records import Check

if TYPE_CHECKING:
    from agent.artifacts.protocol import Artifacts
    from agent.request import Request
    from graph.types import ConversationResult

TELL = """\
The answer's form
Your final reply is one JSON value by this JSON schema and nothing else, without words around it. \
{art_….result} and {art_….result.field} in it become the JSON of that result.
"""
LONGEST = 6_000
NOTHING: Any = object()


@dataclass(frozen=True)
class Contract:
    """`fill` puts results where their names stand, as JSON. `fits` is the schema's, `check` the caller's own."""

    told: str
    fits: Check | None
    check: Callable[[str], str | None] | None
    fill: Callable[[str], str]

    def refuse(self, text: str) -> str | None:
        """Why a final reply is not taken; None when it is."""
        filled = self.fill(text)
        if self.fits is not None:
            value = parsed(filled)
            reason = "it is no JSON value: answer with the JSON alone" if value is NOTHING else self.fits(value)
            if reason is not None:
                return reason
        return self.check(filled) if self.check is not None else None

    def keep(self, result: ConversationResult) -> ConversationResult:
        """The result of a turn with its value, as JSON and parsed, when it came to a good end."""
        if self.fits is None or result.end != "answer":
            return result
        value = parsed(self.fill(result.response_text))
        return replace(result, response_text=json.dumps(value, ensure_ascii=False), parsed=value)


def contract_of(request: Request, artifacts: Artifacts) -> Contract | None:
    """None for a request that asks for no form. Raises InvalidRequest for what is no schema."""
    if request.schema is None and request.check is None:
        return None
    own = partial(fill, thread_id=request.thread_id or "", artifacts=artifacts, write=as_json)
    if request.schema is None:
        return Contract("", None, request.check, own)
    fits, told = check_schema(request.schema), TELL + json.dumps(request.schema, ensure_ascii=False)
    if len(told) > LONGEST:
        raise InvalidRequest(f"the schema is longer than {LONGEST:,} characters: the model has to keep it in mind")
    return Contract(told, fits, request.check, own)


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def holding(emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """Passes on all but the words: they are held until they pass."""

    def pass_on(event: Event) -> None:
        if not isinstance(event, Token):
            emit(event)

    return pass_on


def parsed(text: str) -> Any:
    """The JSON value of a reply, also in a fenced block; NOTHING when there is none."""
    fenced = text.partition("```")[2].partition("```")[0].removeprefix("json")
    for candidate in (text, fenced):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    return NOTHING
