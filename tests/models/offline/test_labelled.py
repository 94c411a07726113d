"""Each labelled question gets its truth or a refusal that names what it could not use; a wrong figure fails."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.data.sample import fill
from agent.execution.inside.context import Text
from agent.models.offline.model import UNANSWERED
from tests.models.offline.labelled import ANSWERED, BEYOND, FOLLOWED, HELD_OUT, LOG, OWN, SALES, TEXT
from tests.models.offline.world import World, same

SAMPLE = {"v": "vendors", "o": "purchase_orders", "i": "invoices"}


@pytest.fixture(scope="module")
def database():
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS sample; ATTACH ':memory:' AS files; USE sample")
        fill(connection)
        connection.execute(f"CREATE SCHEMA files.data; {SALES}")
        for short, name in SAMPLE.items():
            connection.execute(f"CREATE TEMP VIEW {short} AS FROM sample.all_silos.{name}")
        connection.execute("CREATE TEMP VIEW sales AS FROM files.data.sales")
        yield connection


@pytest.fixture(scope="module")
def sample(database):
    return World(database, catalogs=("sample",))


@pytest.fixture(scope="module")
def own(database):
    return World(database, catalogs=("sample", "files"))


@pytest.fixture(scope="module")
def log(database, tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("text") / "auth.log"
    path.write_text(LOG)
    return World(database, Text((path,)), catalogs=("sample",))


def is_right(world, truth, *questions):
    reply = world.ask(*questions)
    if truth is None or UNANSWERED in reply.response_metadata:
        return truth is None and UNANSWERED in reply.response_metadata and "base_model.name" in reply.text
    rows = truth if isinstance(truth, list) else world.connection.execute(truth).fetchall()
    return same(world.figures(), rows, "LIMIT" in str(truth)) and UNANSWERED not in reply.response_metadata


@pytest.mark.parametrize("question", ANSWERED)
def test_what_it_can_do_it_does_right(sample, question):
    assert is_right(sample, ANSWERED[question], question)


@pytest.mark.parametrize("question", BEYOND)
def test_what_is_beyond_it_is_refused_with_the_words(sample, question):
    reply = sample.ask(question)
    assert UNANSWERED in reply.response_metadata
    listed = reply.text.partition("words that")[2].partition("\n\n")[0]
    assert [word for word in BEYOND[question] if word not in listed] == []
    assert "base_model.name" in reply.text


@pytest.mark.parametrize(("questions", "truth"), FOLLOWED, ids=[" ".join(asked) for asked, _ in FOLLOWED])
def test_a_follow_up_keeps_the_table_or_is_refused(sample, questions, truth):
    assert is_right(sample, truth, *questions)


@pytest.mark.parametrize("question", OWN)
def test_a_file_of_ones_own_needs_no_name(own, question):
    assert is_right(own, OWN[question], question)


@pytest.mark.parametrize("question", TEXT)
def test_a_text_is_counted_by_words_that_it_has(log, question):
    assert is_right(log, TEXT[question], question)


@pytest.mark.parametrize("question", HELD_OUT)
def test_questions_that_the_rules_were_not_made_for_are_never_answered_wrong(sample, question):
    assert UNANSWERED in sample.ask(question).response_metadata or is_right(sample, HELD_OUT[question], question)


def test_a_third_of_the_questions_is_beyond_it():
    assert len(ANSWERED) + len(BEYOND) >= 60
    assert 3 * len(BEYOND) >= len(ANSWERED) + len(BEYOND)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(ANSWERED)),
    st.sampled_from(["purple", "not", "except", "employees", "only", "than", "$", "never", "or"]),
    st.integers(0, 20),
)
def test_one_more_word_that_means_something_and_there_is_no_figure(sample, question, word, at):
    words = question.split()
    reply = sample.ask(" ".join([*words[:at], word, *words[at:]]))
    assert UNANSWERED in reply.response_metadata


VOCABULARY = """how many which what top 3 most highest average total by per each invoices vendors vendor amount status
silo city duplicates missing months over time in 2024 open 'paid' " ' the it terms and last year name id > 50k"""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.lists(st.sampled_from(VOCABULARY.split()), max_size=9).map(" ".join), st.text(max_size=60)))
def test_whatever_is_asked_its_code_runs(sample, question):
    sample.ask(question)
    assert [result.status for result in sample.results if result.status != "success"] == []


def test_what_it_offers_instead_it_can_do(sample):
    offers = sample.ask("How many invoices are overdue?").text.partition("What I could answer: ")[2].partition("\n")[0]
    for question in offers.split("; "):
        assert UNANSWERED not in sample.ask(question).response_metadata
