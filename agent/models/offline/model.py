"""The offline model: asked like any chat model, it answers by rules, says so, and does not guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from pydantic import Field

from agent.models.offline.catalog import date as date_of
from agent.models.offline.catalog import full, money, texts
from agent.models.offline.phrases import Ask
from agent.models.offline.questions import code, queries, understand
from agent.models.offline.reading import answer_of, merge_notes, not_found, read_part, table
from agent.models.offline.text import text_code
from agent.models.offline.words import tokens
from agent.prompts import ASKED, CHUNK_ROLE, GENIE_ROLE, QUESTION, REDUCE_ROLE
from agent.spoken import Reply, SpokenModel, call_prefix, delegates, says, together
from graph.blob import parse_blob
from graph.types import DELEGATE

PARTS = re.compile(r"\?\s+|;\s+|,?\s+and (?:also )?(?=what|how|which|who|where|list|show|describe)", re.IGNORECASE)
GREETING = re.compile(r"\W*(?:hi|hello|hey|good (?:morning|evening|day)|thanks?|thank you|bye)\b[\w ,]{0,20}\W*", re.I)
LISTING = re.compile(
    r"\W*(?:what|which|list|show)(?: me)?(?: all)?(?: the)? (?:tables|data(?: ?sets)?)\b[\w ]{0,20}\W*", re.I
)
MODEL = """\
For anything else set `base_model.name` to `openai:gpt-5` (with OPENAI_API_KEY), to another `provider:model` or \
`databricks:endpoint`, or `base_model.base_url` to any OpenAI-compatible server."""
HELP = f"""\
I am the offline model: a few rules, no language model. By your words I pick tables and columns and write code for
counts, sums and averages by group, the top N, trends over time, duplicates, missing months, descriptions and lists of
tables, and searches of a text. {MODEL}"""
NOTE = "_Offline model: rules chose table and columns by your words; the lines above say how they were read._"
UNANSWERED = "unanswered"
NAMES = {"id", "name", "number", "email", "code"}


class OfflineModel(SpokenModel):
    """`tables` are the warehouse's; `has_text` says whether code finds a `context`.

    A reply that leaves something of the question unanswered has `unanswered` in its response_metadata: the words.
    """

    tables: Callable[[], Sequence[Any]] = Field(default=tuple, exclude=True)
    today: Callable[[], date] = Field(default=date.today, exclude=True)
    has_text: bool = False

    @property
    def _llm_type(self) -> str:
        return "offline"

    def _reply(self, messages: Sequence[BaseMessage], offered: Sequence[str]) -> tuple[Reply, str]:
        role, last, reply = messages[0].text, messages[-1].text, None
        if role.startswith(CHUNK_ROLE):
            reply = says(read_part(role.partition(ASKED)[2], last))
        elif role.startswith(REDUCE_ROLE):
            reply = says(merge_notes(last))
        elif role.startswith(GENIE_ROLE):
            reply = says(self._genie(role.rpartition(QUESTION)[2].strip()))
        return reply or self._analyst(messages), call_prefix(0, messages)

    def _genie(self, question: str) -> str:
        ask = understand(question, self.tables(), None, self.today()) if self.tables() else None
        unused = (
            [*ask.unused, *(words for words, _ in sum(ask.values, ()))] if ask else ["any word: there are no tables"]
        )
        return f"{refusal(question, unused)} {HELP}" if unused else f"```sql\n{next(iter(queries(ask).values()))}\n```"

    def _analyst(self, messages: Sequence[BaseMessage]) -> Reply:
        """Delegates what it understands, then tells what came of it and what it did not understand."""
        at = [n for n, m in enumerate(messages) if isinstance(m, HumanMessage) and m.name is None]
        since = messages[at[-1] + 1 :] if at else messages
        question = messages[at[-1]].text if at else ""
        if plain := self._plainly(question):
            return says(plain)
        codes, refused, about = self._plan([messages[n].text for n in at])
        replies = [message for message in since if isinstance(message, AIMessage)]
        if not replies and codes:
            return together(*(delegates(code, instruction=title) for title, code in codes.items()))
        calls = [call for reply in replies for call in reply.tool_calls if call["name"] == DELEGATE]
        titles = {call["id"]: parse_blob(call["args"]["code"]).instruction for call in calls}
        told = []
        for message in (message for message in since if message not in replies):
            text = message.text.strip("[]")
            title = titles.get(getattr(message, "tool_call_id", "")) or text.partition("\n")[0]
            failed = isinstance(message, ToolMessage) and message.status == "error"
            if unknown := not_found(text):
                refused.append(f"{title}: the data has no {told_words(unknown)}, or more than one meaning for it.")
            elif failed:
                refused.append(f"**{title}**\n\nThat did not work: {text}")
            else:
                told.append(f"**{title}**\n\n{answer_of(text)}")
        if not refused:
            return says("\n\n".join([*told, NOTE]))
        return replace(says("\n\n".join([*told, *refused, *about, MODEL])), marks={UNANSWERED: True})

    def _plan(self, questions: Sequence[str]) -> tuple[dict[str, str], list[str], list[str]]:
        """For the last question: code by what it finds out, what is refused, and what could be asked instead."""
        before: Ask | None = None
        tables, codes, refused, about = self.tables(), {}, [], []
        for question in questions:
            codes, refused, about = {}, [], []
            for part in filter(None, [] if self._plainly(question) else PARTS.split(question)):
                ask = understand(part, tables, before, self.today()) if tables else None
                text, strange = text_code(part) if self.has_text else ("", ["any word: there are no tables"])
                if self.has_text and not strange and not (ask and ask.named and not ask.unused):
                    codes[part] = text
                elif ask and not ask.unused:
                    codes |= {title: code(ask, query) for title, query in queries(ask).items()}
                else:
                    refused.append(refusal(part, ask.unused if ask else strange))
                about = offers(ask.table) if ask else []
                before = ask if ask and (before is None or ask.unused or ask.kind in ("", "rows")) else before
        return codes, refused, about

    def _plainly(self, question: str) -> str:
        if LISTING.fullmatch(question) and (tables := self.tables()):
            return table([{"table": full(t), "rows": t.rows, "columns": len(t.columns)} for t in tables])
        return f"Hello. {HELP}" if GREETING.fullmatch(question) else ""


def refusal(question: str, unused: Sequence[str]) -> str:
    return f"I can't answer “{question.strip()}” and give no figure: I could not use {told_words(unused)}."


def told_words(words: Sequence[str]) -> str:
    return ", ".join(f"“{word}”" for word in dict.fromkeys(words))


def offers(table: Any) -> list[str]:
    """Questions about the table that are answered."""
    name, worth = " ".join(tokens(table.name)) + "s", money(table)
    group = next((c.name.replace("_", " ") for c in texts(table) if not NAMES & set(tokens(c.name))), "")
    asked = [f"How many {name} are there?", *([f"{name} by {group}"] if group else [])]
    asked += [f"Average {worth.name} of {name}"] if worth else []
    asked += [f"{name} by month"] if date_of(table) else []
    return [f"What I could answer instead: {'; '.join(asked)}."]
