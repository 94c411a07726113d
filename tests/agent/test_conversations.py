"""Which conversation a request goes on with, what of it is new there, and whose it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.store.memory import InMemoryStore

from agent.core import Request
from agent.data.question import LONGEST_QUESTION
from agent.models.scripted import ScriptedModel, delegates, says
from agent.principal import Principal
from agent.records.index import Place, ThreadIndex
from graph.errors import InvalidRequest, NotFound
from graph.types import ConversationResult

ADA, BOB = Principal("ada@example.com"), Principal("bob@example.com")
QUESTION, ANSWER = HumanMessage("What is a vendor?"), AIMessage("Who sells.")


def texts(messages: Sequence[AnyMessage]) -> list[str]:
    return [message.text for message in messages]


def answers(agent: Any, text: str, **fields: Any) -> ConversationResult:
    result: ConversationResult = agent.ask(Request(text, **fields))
    if result.refusal is None:
        said = [*fields.get("history", ()), HumanMessage(text), AIMessage(result.response_text)]
        place = Place(result.thread_id, result.request_id)
        agent.index.note_transcript(fields.get("principal", Principal()).name, said, place)
    return result


def test_what_was_said_before_begins_a_new_thread_and_is_the_threads_afterwards(opened) -> None:
    model = ScriptedModel(says("Three."), says("Still three."))
    agent = opened(model)

    first = agent.ask(Request("How many?", history=[QUESTION, ANSWER]))
    agent.ask(Request("Sure?", thread_id=first.thread_id, history=[HumanMessage("something else")]))

    assert texts(model.shown[0][1:]) == ["What is a vendor?", "Who sells.", "How many?"]
    assert texts(model.shown[1][1:]) == ["What is a vendor?", "Who sells.", "How many?", "Three.", "Sure?"]


def test_instructions_reach_the_model_for_their_turn_only(opened) -> None:
    model = ScriptedModel(says("Aye."), says("Yes."))
    agent = opened(model)

    thread = agent.ask(Request("Ready?", instructions="Talk like a pirate.")).thread_id
    agent.ask(Request("Ready?", thread_id=thread))

    assert "Talk like a pirate." in model.shown[0][0].text
    assert "pirate" not in model.shown[1][0].text


def test_a_request_follows_another_by_its_id_also_after_a_restart(opened) -> None:
    opened(says("one")).ask(Request("First", thread_id="t", request_id="r1"))
    model = ScriptedModel(says("two"))

    second = opened(model).ask(Request("Second", after="r1"))

    assert second.thread_id == "t"
    assert texts(model.shown[0][1:]) == ["First", "one", "Second"]


def test_a_thread_that_has_gone_on_is_copied_as_it_was(opened) -> None:
    model = ScriptedModel(says("one"), says("two"), says("other two"))
    agent = opened(model)
    agent.ask(Request("First", thread_id="t", request_id="r1"))
    agent.ask(Request("Second", thread_id="t", request_id="r2"))

    again = agent.ask(Request("Another second", after="r1", request_id="r3"))
    retried = agent.ask(Request("Another second", after="r1", request_id="r3"))

    assert again.thread_id != "t"
    assert (retried.thread_id, retried.response_text) == (again.thread_id, "other two")
    assert texts(agent.messages("t")) == ["First", "one", "Second", "two"]
    assert texts(agent.messages(again.thread_id)) == ["First", "one", "Another second", "other two"]


def test_a_turn_that_is_not_there_can_not_be_followed(opened) -> None:
    agent = opened(says("one"), says("two"))
    agent.ask(Request("First", thread_id="t", request_id="r1"))
    agent.ask(Request("Else", thread_id="other", request_id="r2"))

    with pytest.raises(NotFound, match="resp_r9"):
        agent.ask(Request("And?", after="r9"))
    assert agent.ask(Request("And?", thread_id="t", after="r2")).refusal == "not_found"


def test_who_sends_the_transcript_of_a_thread_again_goes_on_with_it_also_after_a_restart(opened) -> None:
    first = answers(opened(says("one")), "First")
    history = [HumanMessage(" First\n"), AIMessage("one ")]

    model = ScriptedModel(says("two"), says("three"))
    agent = opened(model)
    second = answers(agent, "Second", history=history)
    third = answers(agent, "Third", history=[*history, HumanMessage("Second"), AIMessage("two")])

    assert first.thread_id == second.thread_id == third.thread_id
    assert texts(model.shown[1][1:]) == ["First", "one", "Second", "two", "Third"]


def test_an_edited_question_goes_on_from_where_it_was_asked_on_a_copy(opened) -> None:
    agent = opened(says("one"), says("two"), says("new two"))
    first = answers(agent, "First")
    said = [HumanMessage("First"), AIMessage("one")]
    answers(agent, "Second", history=said)

    edited = answers(agent, "Second, edited", history=said)

    assert edited.thread_id != first.thread_id
    assert texts(agent.messages(edited.thread_id)) == ["First", "one", "Second, edited", "new two"]
    assert len(agent.messages(first.thread_id)) == 4


def test_a_transcript_that_nobody_told_is_a_new_thread(opened) -> None:
    agent = opened(says("one"), says("two"), says("three"))
    first = answers(agent, "First")

    changed = answers(agent, "Second", history=[HumanMessage("First"), AIMessage("one, no, two")])
    greeted = answers(agent, "First")

    assert len({first.thread_id, changed.thread_id, greeted.thread_id}) == 3


def test_of_two_threads_with_the_same_transcript_one_that_still_stands_there_goes_on(opened) -> None:
    agent = opened(ScriptedModel.by(lambda messages: "Hello!"))
    older, newer = answers(agent, "Hi"), answers(agent, "Hi")
    said = [HumanMessage("Hi"), AIMessage("Hello!")]

    went_on = [answers(agent, f"Question {number}", history=said).thread_id for number in range(2)]

    assert set(went_on) == {older.thread_id, newer.thread_id}


def test_a_deleted_thread_is_found_by_nobody(opened) -> None:
    agent = opened(says("one"), says("two"))
    first = answers(agent, "First", request_id="r1")
    agent.threads().delete(first.thread_id)

    again = answers(agent, "Second", history=[HumanMessage("First"), AIMessage("one")])

    assert again.thread_id != first.thread_id
    with pytest.raises(NotFound):
        agent.ask(Request("And?", after="r1"))


@given(
    st.lists(st.tuples(st.booleans(), st.text(st.characters(codec="utf-8"), max_size=20)), min_size=1, max_size=8),
    st.sampled_from([" ", "\n", "\t\n"]),
)
def test_spaces_and_the_cut_into_messages_make_no_other_transcript(said: list[tuple[bool, str]], blank: str) -> None:
    index, place = ThreadIndex(InMemoryStore()), Place("t", "r")
    told = [HumanMessage(text) if human else AIMessage(text) for human, text in said]
    resent = []
    for message in told:
        kind = type(message)
        middle = len(message.text) // 2
        resent += [kind(f"{blank}{message.text[:middle]}"), kind(f"{message.text[middle:]}{blank}")]

    index.note_transcript("ada", told, place)

    assert index.places("ada", resent) == [place]
    assert index.places("bob", told) == []
    if any(message.text.split() for message in told):
        assert index.places("ada", [*told, HumanMessage("x"), AIMessage("y")]) == []


def test_another_principal_is_told_that_nothing_is_there(opened) -> None:
    agent = opened(delegates("print(1)"), says("one"), says("two"))
    mine = answers(agent, "First", thread_id="t", request_id="r1", principal=ADA)
    said = [HumanMessage("First"), AIMessage("one")]

    for principal in (BOB, Principal()):
        theirs = agent.threads(principal)
        with pytest.raises(NotFound):
            theirs.messages("t")
        with pytest.raises(NotFound):
            agent.cancel("t", principal)
        with pytest.raises(NotFound):
            agent.ask(Request("And?", after="r1", principal=principal))
        assert theirs.latest(10) == []
        assert agent.index.thread_of(principal.name, "r1") is None
    with pytest.raises(NotFound):
        agent.ask(Request("And?", thread_id="t", request_id="r1", principal=BOB))
    assert agent.ask(Request("And?", thread_id="t", request_id="r1")).refusal == "not_found"
    assert answers(agent, "Second", history=said, principal=BOB).thread_id != mine.thread_id
    assert len(agent.messages("t", ADA)) == 4


def test_another_principal_is_not_told_either_while_the_first_turn_runs(opened) -> None:
    agent = opened(ScriptedModel.by(lambda messages: "slow", latency=1.5))
    asking = threading.Thread(target=agent.ask, args=(Request("First", thread_id="t", principal=ADA),))
    asking.start()
    while not agent.runs("t", next((turn.request_id for turn in agent._running()), "")):
        time.sleep(0.01)

    with pytest.raises(NotFound):
        agent.ask(Request("Me too", thread_id="t", principal=BOB))
    with suppress(NotFound):
        assert not agent.cancel("t", BOB)
    asking.join()
    assert agent.threads(ADA).exchanges("t")[0].answer == "slow"


def test_who_is_not_at_this_machine_is_who_they_are_whatever_their_request_says(opened) -> None:
    agent = opened(ScriptedModel.by(lambda messages: "ok"))
    agent.ask(Request("Remember", user_id="ada", state={"user:region": "EU"}))
    agent.ask(Request("Remember", user_id="ada", state={"user:region": "US"}, principal=BOB))

    assert agent.scopes.shared("ada") == {"user:region": "EU"}
    assert agent.scopes.shared(BOB.name) == {"user:region": "US"}


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({f"k{number}": 1 for number in range(65)}, "at most 64|may have 64"),
        ({"k" * 201: 1}, "key of state"),
        ({"a\nb": 1}, "key of state"),
        ({"big": "x" * 70_000}, "64,000"),
        ({"odd": {1, 2}}, "JSON"),
        ({"odd": float("nan")}, "JSON"),
    ],
)
def test_state_has_limits(opened, state: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        opened().ask(Request("Remember", state=state))


def test_state_does_not_grow_without_end_over_many_requests(opened) -> None:
    agent = opened(ScriptedModel.by(lambda messages: "ok"))
    results = [
        agent.ask(Request("Remember", thread_id="t", state={f"user:k{part}-{n}": n for n in range(60)}))
        for part in range(5)
    ]

    assert [result.refusal for result in results] == [None, None, None, None, "invalid"]
    assert "may have 256" in (results[-1].fatal_error_msg or "")


def test_an_error_is_told_without_the_secrets_in_it(opened) -> None:
    def broken(messages: Any) -> str:
        raise RuntimeError("can't connect to postgresql://ada:hunter2secret@db/x")

    result = opened(ScriptedModel.by(broken)).ask(Request("go"))

    assert result.status == "fatal_error"
    assert "hunter2secret" not in (result.fatal_error_msg or "")
    assert "[redacted]" in (result.fatal_error_msg or "")


def test_a_question_too_long_to_be_read_becomes_the_context_and_is_shown_by_its_ends(opened, home: Path) -> None:
    log = "".join(f"10.0.0.{number % 7} GET /{number}\n" for number in range(20_000))
    code = "print(len(context), sum('10.0.0.3 ' in line for line in context))"
    model = ScriptedModel(delegates(code), says("many"), delegates(code), says("as many"))
    agent = opened(model, data={"sample": True})

    thread = agent.ask(Request(f"{log}\nHow often is 10.0.0.3 in it?")).thread_id
    agent.ask(Request("Look again", thread_id=thread))

    asked = model.shown[0][-1].text
    assert len(log) > 15 * LONGEST_QUESTION
    assert len(asked) < 5_000
    assert asked.startswith("10.0.0.0 GET /0\n")
    assert asked.endswith("How often is 10.0.0.3 in it?")
    assert f"{len(log) + 29:,} characters" in asked
    assert "20002 2858" in model.shown[1][-1].text
    assert "20002 2858" in model.shown[3][-1].text
    agent.threads().delete(thread)
    assert list((home / "questions").iterdir()) == []


def test_later_long_messages_join_the_earlier_ones_and_the_text_that_was_given(opened, tmp_path: Path) -> None:
    (tmp_path / "given.txt").write_text("c" * 10)
    model = ScriptedModel(says("one"), delegates("print(len(context.paths), context.text[::30_000])"), says("two"))
    agent = opened(model, data={"sample": False, "text": tmp_path / "given.txt"})

    thread = agent.ask(Request("a" * 30_000)).thread_id
    agent.ask(Request("b" * 30_000, thread_id=thread))

    assert "3 cab" in model.shown[2][-1].text


def test_at_most_so_many_tokens_are_asked_for(opened) -> None:
    seen: list[dict[str, Any]] = []

    class Counting(ScriptedModel):
        def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(kwargs)
            return super()._stream(messages, *args, **kwargs)

    agent = opened(Counting(says("short"), says("long")))
    agent.ask(Request("Briefly", max_output_tokens=17))
    agent.ask(Request("At length"))

    assert [options.get("max_tokens") for options in seen] == [17, None]
