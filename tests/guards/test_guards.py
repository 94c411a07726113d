"""What a delegation has to pass, guard by guard and all in order."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.guards import GUARDS, GuardRules, build_guards
from agent.guards.sql import SESSION, SqlRules
from graph.program import Program
from graph.types import Rejection
from tests.guards.cases import DANGEROUS_PYTHON, DANGEROUS_SQL_IN_PYTHON, HARMLESS, listed

RULES = GuardRules(sql=SqlRules(scratch=SESSION))
CODES = {"SAFETY_BLOCK", "FORMAT_VALIDATION_ERROR", "EMPTY_CODE", "MISSING_INSTRUCTION", "SYNTAX_ERROR"}


def verdict(text: str, rules: GuardRules = RULES) -> Rejection | None:
    return next((rejection for guard in build_guards(rules) if (rejection := guard(Program(text)))), None)


@pytest.mark.parametrize("code", listed(DANGEROUS_PYTHON))
def test_python_that_reaches_out_or_destroys_is_sent_back(code: str) -> None:
    rejection = verdict(f"'''read it'''\n{code}")
    assert rejection is not None
    assert rejection.code == "SAFETY_BLOCK"
    assert rejection.details["matched"] in rejection.message
    assert rejection.details["reason"] in rejection.message
    assert 1 <= rejection.details["lineno"] <= code.count("\n") + 1


@pytest.mark.parametrize("code", listed(DANGEROUS_SQL_IN_PYTHON))
def test_destructive_sql_in_texts_is_sent_back(code: str) -> None:
    rejection = verdict(code)
    assert rejection is not None
    assert rejection.code == "SAFETY_BLOCK"
    assert rejection.details["sql"]
    assert rejection.details["reason"] in rejection.message


@pytest.mark.parametrize("code", listed(HARMLESS))
def test_ordinary_analysis_code_passes(code: str) -> None:
    assert verdict(f"'''read it'''\n{code}") is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "EMPTY_CODE"),
        ("  \n ", "EMPTY_CODE"),
        ("'''only words'''", "EMPTY_CODE"),
        ("'''never closed\nprint(1)", "FORMAT_VALIDATION_ERROR"),
        ("x = (", "SYNTAX_ERROR"),
        ("print('a\x00b')", "SYNTAX_ERROR"),
        ("return 1", "SYNTAX_ERROR"),
        ("x = " + "(" * 300 + ")" * 300, "SYNTAX_ERROR"),
    ],
)
def test_texts_that_are_no_delegation_get_their_own_code(text: str, code: str) -> None:
    rejection = verdict(text)
    assert rejection is not None
    assert rejection.code == code


def test_safety_comes_before_form_and_form_before_syntax() -> None:
    strict = GuardRules(strict_instruction=True)
    assert verdict("import subprocess", strict).code == "SAFETY_BLOCK"
    assert verdict("x = (", strict).code == "MISSING_INSTRUCTION"
    assert verdict("'''read'''\nx = (", strict).code == "SYNTAX_ERROR"


def test_an_instruction_is_required_only_in_strict_mode() -> None:
    assert verdict("print(1)") is None
    assert verdict("print(1)", GuardRules(strict_instruction=True)).code == "MISSING_INSTRUCTION"
    assert verdict("'''read'''\nprint(1)", GuardRules(strict_instruction=True)) is None


def test_a_syntax_error_shows_three_lines_on_either_side_and_marks_its_own() -> None:
    code = "a = 1\nb = 2\nc = 3\nd = 4\ne = = 5\nf = 6\ng = 7\nh = 8\ni = 9"
    rejection = verdict(f"'''look'''\n{code}")
    assert rejection.details["lineno"] == 5
    assert rejection.details["offset"] == 5
    assert rejection.details["text"] == "e = = 5"
    assert rejection.details["message"] == "invalid syntax"
    assert rejection.details["context"].split("\n") == [
        "       2 | b = 2",
        "       3 | c = 3",
        "       4 | d = 4",
        ">>>    5 | e = = 5",
        "       6 | f = 6",
        "       7 | g = 7",
        "       8 | h = 8",
    ]
    assert rejection.details["context"] in rejection.message


def test_the_first_and_the_last_line_have_the_context_that_there_is() -> None:
    assert verdict("x = = 1").details["context"] == ">>>    1 | x = = 1"
    assert ">>>    3 | z = = 1" in verdict("x = 1\ny = 1\nz = = 1").details["context"]


def test_the_refused_sql_is_quoted_with_its_line() -> None:
    rejection = verdict("x = 1\nexecute_sql('DROP TABLE sales.orders')", GuardRules(sql=SqlRules(scratch=("scratch",))))
    assert rejection.message == (
        "Line 2: the SQL 'DROP TABLE sales.orders': DROP TABLE sales.orders is not allowed: it destroys data. "
        "Write to the scratch schema (scratch) instead."
    )


# The contract of every guard.

each_guard = pytest.mark.parametrize("build", GUARDS, ids=lambda build: build.__name__)
SOME_TEXTS = [
    "",
    "print(1)",
    "'''x'''\nprint(1)",
    "'''",
    "x = (",
    "\x00",
    "\ud800",
    "'" * 7,
    "def f(:\n",
    "# only a comment",
]


@each_guard
@pytest.mark.parametrize("text", SOME_TEXTS)
def test_a_guard_answers_every_text_with_a_rejection_or_nothing(build: Callable, text: str) -> None:
    answer = build(GuardRules(strict_instruction=True))(Program(text))
    assert answer is None or (answer.code in CODES and answer.message)


@each_guard
@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet="'\"\n ()=.:x1os,import[]{}f\\#", max_size=60))
def test_a_guard_never_breaks(build: Callable, text: str) -> None:
    answer = build(RULES)(Program(text))
    assert answer is None or answer.code in CODES


@each_guard
def test_a_guard_gives_the_same_answer_again(build: Callable) -> None:
    guard = build(RULES)
    text = "import subprocess\nexecute_sql('drop table a.b')\nx = ("
    assert guard(Program(text)) == guard(Program(text))


@each_guard
@pytest.mark.parametrize(
    "code",
    [
        "p = '/'\n" + "p = p / 'a'\n" * 300 + "import os\nos.remove(p)",
        "x0 = 'a'\n" + "".join(f"x{n} = x{n - 1} + x{n - 1}\n" for n in range(1, 60)) + "open(x59, 'w')",
        "a = b\nb = a\nopen(a)",
        "c = con.cursor()\n" * 100 + "c = c.cursor()\n" * 100 + "c.execute('x')\n" * 100,
        "x = 1\n" * 20_000,
        "execute_sql('select 1')\n" * 200,
    ],
)
def test_no_code_makes_a_guard_slow(build: Callable, code: str) -> None:
    began = time.process_time()
    build(RULES)(Program(code))
    assert time.process_time() - began < 5
