"""The offline model: asked like any chat model, it answers by rules, says so, and does not guess."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import Field

from agent.models.local_chat import LocalChatModel, Reply, call_prefix, delegates, fails, says, together
from agent.models.offline import catalog
from agent.models.offline.phrases import Ask
from agent.models.offline.questions import code, queries, understand
from agent.models.offline.reading import answer_of, merge_notes, not_found, read_part, table
from agent.models.offline.text import text_code
from agent.prompts import ASKED, CHUNK_ROLE, GENIE_ROLE, LEAF_ROLE, QUERY_ROLE, QUESTION, REDUCE_ROLE
from graph.blob import parse_blob
from graph.errors import ModelUnavailable

UNANSWERED = "unanswered"
PARTS = re.compile(r"\?\s+|;\s+|,?\s+and (?:also )?(?=what|how|which|who|where|list|show)", re.IGNORECASE)
GREETING = re.compile(r"\W*(?:hi|hello|hey|good (?:morning|evening|day)|thanks?|bye)(?: there| you)?\W*", re.I)
LISTING = re.compile(r"(?:what|which|list|show)(?: me| all| the)* (?:tables|data)(?: (?:are|is) there)?\W*", re.I)
HELP = """\
I am the offline model: a few rules, no language model. By your words I pick a table and its columns and write code for
counts, sums and averages by group or time, the top N, duplicates, missing months, and searches of a text. For anything
else set `base_model.name` to `openai:gpt-5` (with OPENAI_API_KEY), another `provider:model` or `databricks:endpoint`,
or `base_model.base_url` to any OpenAI-compatible server."""
NOTE = "_Offline model: rules chose table and columns by your words; the titles say how the words were read._"


class OfflineModel(LocalChatModel):
    """`tables` are the warehouse's; `has_text` says whether code finds a `context`.

    A reply that leaves anything of the question unanswered has UNANSWERED in its response_metadata.
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
        elif role.startswith((LEAF_ROLE, QUERY_ROLE)):
            reply = fails(ModelUnavailable("the offline model understands no texts: set sub_model.name"))
        elif role.startswith(GENIE_ROLE):
            question = role.rpartition(QUESTION)[2].strip()
            codes, refused, _ = self._plan([question], lambda ask, query: "" if ask.values else query)
            query = "" if refused else next(iter(codes.values()), "")
            reply = says(f"```sql\n{query}\n```" if query else "\n\n".join([*refused, HELP]))
        return reply or self._analyst(messages), call_prefix(0, messages)

    def _analyst(self, messages: Sequence[BaseMessage]) -> Reply:
        """Delegates what it understands, then tells what came of it and what it did not understand."""
        asked = [n for n, message in enumerate(messages) if isinstance(message, HumanMessage) and message.name is None]
        since = messages[asked[-1] + 1 :] if asked else messages
        if asked and (plain := self._plainly(messages[asked[-1]].text)):
            return says(plain)
        codes, refused, instead = self._plan([messages[n].text for n in asked], code)
        replies = [message for message in since if isinstance(message, AIMessage)]
        if codes and not replies:
            return together(*(delegates(code, instruction=title) for title, code in codes.items()))
        titles = {call["id"]: parse_blob(call["args"]["code"]).instruction for m in replies for call in m.tool_calls}
        told = []
        for message in (message for message in since if message not in replies):
            text = message.text.strip("[]")
            title = titles.get(getattr(message, "tool_call_id", "")) or text.partition("\n")[0]
            if unknown := not_found(text):
                refused.append(refusal(title, unknown, "the data does not have, or has in several columns"))
            elif getattr(message, "status", "") == "error":
                refused.append(f"**{title}**\n\nThat did not work: {text}")
            else:
                told.append(f"**{title}**\n\n{answer_of(text)}")
        if told and not refused:
            return says("\n\n".join([*told, NOTE]))
        return replace(says("\n\n".join([*told, *refused, *instead, HELP])), marks={UNANSWERED: True})

    def _plan(
        self, questions: Sequence[str], make: Callable[[Ask, str], str]
    ) -> tuple[dict[str, str], list[str], list[str]]:
        """Of the last question, after those before: code by what it finds out, what is refused, what it can instead."""
        before: Ask | None = None
        codes, refused, instead = dict[str, str](), list[str](), list[str]()
        for question in questions:
            codes, refused, instead = {}, [], []
            for part in [] if self._plainly(question) else PARTS.split(question):
                ask = understand(part, self.tables(), before, self.today()) if self.tables() else None
                text, strange = text_code(part) if self.has_text else ("", [part])
                if not strange and not (ask and ask.named and not ask.unused):
                    codes[part] = text
                elif ask and not ask.unused:
                    codes |= {title: make(ask, query) for title, query in queries(ask).items()}
                elif part:
                    refused.append(refusal(part, ask.unused if ask else strange, "I could not use"))
                instead = offers(ask) if ask else []
                before = ask if ask and (before is None or not ask.kind or part == question) else before
        return codes, refused, instead

    def _plainly(self, question: str) -> str:
        if LISTING.fullmatch(question) and (tables := self.tables()):
            return table([{"table": catalog.full(t), "rows": t.rows, "columns": len(t.columns)} for t in tables])
        return f"Hello. {HELP}" if GREETING.fullmatch(question) else ""


def refusal(question: str, words: Sequence[str], why: str) -> str:
    listed = ", ".join(f"“{word}”" for word in dict.fromkeys(words))
    return f"I give no figure for “{question.strip()}”: there are words that {why}: {listed}."


def offers(ask: Ask) -> list[str]:
    """Questions about the table that are answered."""
    name, worth = ask.table.name.replace("_", " "), catalog.money(ask.table)
    asked = [f"How many {name} are there?", *([f"Average {worth.name} of {name}"] if worth else [])]
    return ["What I could answer: " + "; ".join([*asked, *([f"{name} by month"] if catalog.date(ask.table) else [])])]
