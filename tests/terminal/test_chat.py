"""The chat, typed at through a pipe: what a line does, what a key does, what is said."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import to_plain_text
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from agent.config import load_settings
from agent.core import Agent, open_agent
from agent.models.scripted import ScriptedModel, delegates, says
from agent.terminal.chat import Chat, Commands, converse, session_for
from agent.terminal.slash import SLASH
from graph.errors import ModelUnavailable

CTRL_C, CTRL_D, ALT_ENTER = "\x03", "\x04", "\x1b\r"


def opened(folder: Path, *steps: object) -> tuple[Chat, io.StringIO]:
    loaded = load_settings(None, {}, {"home": folder / "home", "tracing.enabled": False, "data.sample": False})
    agent = open_agent(loaded.settings, base_model=ScriptedModel(*steps))  # type: ignore[arg-type]
    future: Future[Agent] = Future()
    future.set_result(agent)
    shown = io.StringIO()
    return Chat(loaded, future, Console(file=shown, force_terminal=True, color_system=None, width=120)), shown


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[tuple[Chat, io.StringIO]]:
    sitting, shown = opened(tmp_path, says("Hello to you."), says("And again."), says("Thrice."))
    yield sitting, shown
    sitting.agent.close()


def typed(sitting: Chat, keys: str) -> None:
    with create_pipe_input() as pipe:
        pipe.send_text(keys)
        converse(sitting, session_for(sitting, input=pipe, output=DummyOutput()))


def asked(sitting: Chat) -> list[str]:
    return [message.text for message in sitting.agent.messages(sitting.thread_id) if message.type == "human"]


def test_a_line_is_a_question_its_answer_is_shown_and_ctrl_d_leaves(chat: tuple[Chat, io.StringIO]) -> None:
    sitting, shown = chat
    typed(sitting, f"hello\rand?\r{CTRL_D}")
    assert asked(sitting) == ["hello", "and?"]
    assert "Hello to you." in shown.getvalue()
    assert "And again." in shown.getvalue()
    assert sitting.turns == 2


def test_ctrl_c_clears_the_line_and_stays(chat: tuple[Chat, io.StringIO]) -> None:
    typed(chat[0], f"never mind{CTRL_C}hello\r{CTRL_C}/quit\r")
    assert asked(chat[0]) == ["hello"]


def test_a_question_may_have_many_lines_typed_or_pasted(chat: tuple[Chat, io.StringIO]) -> None:
    typed(chat[0], f"one{ALT_ENTER}two\r\x1b[200~three\nfour\x1b[201~\r{CTRL_D}")
    assert asked(chat[0]) == ["one\ntwo", "three\nfour"]


def test_lines_are_remembered_for_the_next_time(chat: tuple[Chat, io.StringIO]) -> None:
    typed(chat[0], f"/cost\r{CTRL_D}")
    typed(chat[0], f"\x1b[A\r{CTRL_D}")
    assert chat[1].getvalue().count("0 turns · 0 model calls") == 2


def test_blank_lines_ask_nothing(chat: tuple[Chat, io.StringIO]) -> None:
    typed(chat[0], f"\r  \r{CTRL_D}")
    assert asked(chat[0]) == []


def test_state_that_is_set_goes_with_the_next_question_and_is_kept_by_its_scope(
    chat: tuple[Chat, io.StringIO],
) -> None:
    sitting, shown = chat
    typed(sitting, "/set user:currency EUR\r/set limit 3\r/set temp:x [1]\r/state\r/quit\r")
    assert sitting.pending == {"user:currency": "EUR", "limit": 3, "temp:x": [1]}
    assert "with the next question" in shown.getvalue()
    sitting.leaving = False
    typed(sitting, f"hello\r/state\r{CTRL_D}")
    assert sitting.pending == {}
    rows = [line.split() for line in shown.getvalue().splitlines() if line.strip().endswith("kept")]
    assert sorted(row[0] for row in rows) == ["limit", "user:currency"]


def test_a_delegations_artifact_is_listed_and_shown(tmp_path: Path) -> None:
    sitting, shown = opened(tmp_path, delegates("print(6 * 7)", instruction="Quote it"), says("It is 42."))
    typed(sitting, f"six times seven?\r/artifacts\r{CTRL_D}")
    (artifact,) = sitting.agent.artifacts.list()
    typed(sitting, f"/show {artifact.artifact_id}\r{CTRL_D}")
    sitting.agent.close()
    text = shown.getvalue()
    assert f"✓ {artifact.artifact_id}" in text
    assert "Quote it" in text
    assert "print(6 * 7)" in text
    assert "It is 42." in text


def test_threads_are_listed_left_and_gone_back_to(chat: tuple[Chat, io.StringIO]) -> None:
    sitting, shown = chat
    typed(sitting, f"hello\r{CTRL_D}")
    first = sitting.thread_id
    typed(sitting, f"/new\rother\r/threads\r/thread {first}\r{CTRL_D}")
    assert sitting.thread_id == first
    assert shown.getvalue().count(f"thread {first}") >= 2
    typed(sitting, f"more\r{CTRL_D}")
    assert asked(sitting) == ["hello", "more"]


WRONG = [
    ("/shwo", "did you mean /show?"),
    ("/xyzzy", "/help shows which there are"),
    ("/show", "needs an artifact id"),
    ("/show art_000000000000", "there is no artifact"),
    ("/set", "needs a key and a value"),
    ("/thread nobody", "There is no thread nobody"),
]


@pytest.mark.parametrize(("line", "says"), WRONG)
def test_a_wrong_command_is_said_in_one_line_and_the_chat_goes_on(
    line: str, says: str, chat: tuple[Chat, io.StringIO]
) -> None:
    typed(chat[0], f"{line}\r/cost\r{CTRL_D}")
    text = chat[1].getvalue()
    assert says in text.replace("\n", " ")
    assert "0 turns" in text


@pytest.mark.parametrize("name", sorted(set(SLASH) - {"quit", "show", "set", "thread"}))
def test_every_command_runs_without_arguments(name: str, chat: tuple[Chat, io.StringIO]) -> None:
    typed(chat[0], f"/{name}\r{CTRL_D}")
    assert "no command" not in chat[1].getvalue()


def test_commands_are_completed_and_questions_are_not() -> None:
    def completed(text: str) -> list[str]:
        return [one.text for one in Commands().get_completions(Document(text), CompleteEvent())]

    assert completed("/th") == ["/threads", "/thread"]
    assert completed("/thread a") == completed("what") == completed("") == []


def test_an_agent_that_can_not_be_opened_ends_the_chat_with_its_reason(tmp_path: Path) -> None:
    loaded = load_settings(None, {}, {"home": tmp_path})
    failed: Future[Agent] = Future()
    sitting = Chat(loaded, failed, Console(file=io.StringIO()))
    assert "opening …" in to_plain_text(sitting.status())
    failed.set_exception(ModelUnavailable("no key for <m>"))
    assert to_plain_text(sitting.status()) == "can't open: no key for <m>"
    with pytest.raises(ModelUnavailable):
        typed(sitting, "hello\r")


def test_json_values_and_texts_can_be_set() -> None:
    from agent.terminal.slash import parse_value

    assert [parse_value(text) for text in ("3", "true", '{"a": 1}', "EUR", "3 pounds")] == [
        3,
        True,
        json.loads('{"a": 1}'),
        "EUR",
        "3 pounds",
    ]
