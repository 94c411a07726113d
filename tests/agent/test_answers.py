"""Values go from code to the person: nothing is typed again, nothing is clipped, and the form is the one asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest

from agent.core import Request
from agent.models.scripted import ScriptedModel, delegates, fails, says
from graph.errors import InvalidRequest, ModelUnavailable
from graph.events import CallAnswered, ChunkRead, Token, TurnEnded

SCHEMA = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}


def test_the_person_gets_the_value_under_the_closing_words_and_the_analyst_never_sees_it(opened):
    code = "import pandas; answer(pandas.DataFrame({'id': range(267), 'label': 'x'}))"
    model = ScriptedModel(delegates(code), says("These are all labels."))
    agent = opened(model)
    result = agent.ask(Request("Label them."))
    assert result.response_text.startswith("These are all labels.\n\n```csv\nid,label\n0,x\n")
    assert "266,x" in result.response_text
    (item,) = result.items
    assert (item.name, item.media_type) == ("answer.csv", "text/csv")
    assert len(pandas.read_csv(item.path)) == 267
    assert "266,x" not in model.shown[-1][-1].text
    assert "answer.csv (267 rows × 2 columns): the person gets it with your closing words" in model.shown[-1][-1].text
    assert agent.messages(result.thread_id)[-1].text == "These are all labels."


def test_a_value_too_long_for_the_response_is_whole_in_its_file_and_named(opened):
    result = opened(delegates("answer('x' * 500_000)"), says("Here.")).ask(Request("go"))
    assert result.response_text == f"Here.\n\nanswer.txt: 500,000 bytes ({result.items[0].path})"
    assert Path(result.items[0].path).read_text() == "x" * 500_000


def test_answers_of_code_that_failed_are_no_answers_and_of_two_with_one_name_the_later_counts(opened):
    model = ScriptedModel(
        delegates("answer('first')"), delegates("answer('second')"), delegates("answer('third'); 1 / 0"), says("Done.")
    )
    result = opened(model).ask(Request("go"))
    assert result.response_text == "Done.\n\nsecond"


def test_results_are_filled_into_the_closing_words_also_as_they_stream_and_history_keeps_their_names(opened):
    def close(messages):
        artifact_id = messages[-1].text.partition(":")[0]
        return says(
            f"In all {{{artifact_id}.result.total}}: {{{artifact_id}.result.rows}} and {{art_000000000000.result}}."
        )

    rows = [{"silo": "north", "n": 1}, {"silo": "a|b", "n": None}]
    agent = opened(delegates(f"result = {{'total': 1234567, 'rows': {rows!r}}}"), close)
    events = list(agent.run(Request("go", request_id="r")))
    result = events[-1].result
    table = "| silo | n |\n| --- | --- |\n| north | 1 |\n| a\\|b |  |"
    assert result.response_text == f"In all 1234567: {table} and {{art_000000000000.result}}."
    assert "".join(event.text for event in events if isinstance(event, Token)) == result.response_text
    assert ".result.total}" in agent.messages(result.thread_id)[-1].text
    again = agent.ask(Request("go", thread_id=result.thread_id, request_id="r"))
    assert again.response_text == result.response_text


def test_another_threads_results_are_not_filled_in(opened):
    agent = opened(delegates("result = 42"), says("done"), lambda messages: says(f"{{{first}.result}}"))
    first = agent.ask(Request("go")).artifact_ids[0]
    assert agent.ask(Request("and here?")).response_text == f"{{{first}.result}}"


def test_an_answer_by_a_schema_is_held_until_it_fits_and_comes_as_a_value(opened):
    model = ScriptedModel(says("The total is 4."), says('{"total": "4"}'), says('```json\n{"total": 4}\n```'))
    events = list(opened(model).run(Request("How many?", schema=SCHEMA)))
    result = events[-1].result
    assert (result.parsed, json.loads(result.response_text), result.end) == ({"total": 4}, {"total": 4}, "answer")
    assert not [event for event in events if isinstance(event, Token)]
    assert '"total"' in model.shown[0][0].text
    assert "it is no JSON value" in model.shown[1][-1].text
    assert "total: '4' is not of type 'integer'" in model.shown[2][-1].text


def test_an_answer_that_never_fits_is_a_forced_end_that_says_why(opened):
    result = opened(*[says("no")] * 3).ask(Request("How many?", schema=SCHEMA))
    assert (result.end, result.parsed) == ("unfit", None)
    assert "did not take the form that the request asks for" in result.missing
    assert "it is no JSON value" in result.missing


def test_results_in_an_answer_by_a_schema_are_json(opened):
    def close(messages):
        return says(f'{{"total": {{{messages[-1].text.partition(":")[0]}.result.n}}}}')

    events = list(opened(delegates("print('at work'); result = {'n': 5}"), close).run(Request("go", schema=SCHEMA)))
    assert events[-1].result.parsed == {"total": 5}
    assert [event for event in events if isinstance(event, CallAnswered)]


def test_a_check_of_the_callers_own_sends_an_answer_back_with_its_reason(opened):
    model = ScriptedModel(says("four"), says("The total is 4."))
    result = opened(model).ask(Request("go", check=lambda text: None if "4" in text else "name the figure"))
    assert result.response_text == "The total is 4."
    assert "name the figure" in model.shown[1][-1].text


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"type": "string", "pattern": "(a+)+$"}])
def test_a_schema_that_is_none_is_refused_before_anything_is_done(opened, schema):
    model = ScriptedModel()
    with pytest.raises(InvalidRequest, match="schema"):
        list(opened(model).run(Request("go", schema=schema)))
    assert model.shown == []


def test_saved_values_are_shown_to_the_analyst_in_the_next_turn_and_go_with_the_thread(opened):
    model = ScriptedModel(
        delegates("save('rates', [1, 2, 3])"), says("kept"), delegates("print(load('rates'))"), says("there")
    )
    agent = opened(model)
    thread = agent.ask(Request("keep it")).thread_id
    agent.ask(Request("and now?", thread_id=thread))
    assert "saved value rates: list, 3 elements, 9 bytes: load('rates')" in model.shown[2][0].text
    assert "[1, 2, 3]" in model.shown[3][-1].text
    copy = agent.threads().fork(thread)
    agent.threads().delete(thread)
    values = agent.settings.values_path
    assert len(list(values.iterdir())) == 1
    agent.threads().delete(copy)
    assert list(values.iterdir()) == []


def test_how_much_was_read_reaches_the_person(opened):
    def reader(messages):
        return fails(ModelUnavailable("out")) if "line 0 " in messages[-1].text else '{"note": "", "figures": []}'

    sub = ScriptedModel.by(reader)
    agent = opened(delegates("for n in range(3000): print('line', n, 'x' * 20)"), says("done"), sub_model=sub)
    events = list(agent.run(Request("go")))
    result = next(event.result for event in events if isinstance(event, TurnEnded))
    parts = [event.total for event in events if isinstance(event, ChunkRead)][-1]
    assert result.coverage == f"{result.artifact_ids[0]}: {parts - 1} of {parts} parts were read"
