"""What models are asked with: that what they need is in it, and that nothing makes it grow without bound."""

from __future__ import annotations

import re
from functools import partial

import pytest

from agent.data.catalogue import catalogue
from agent.data.warehouse import Column, Table
from agent.platforms.local.genie import Exchange
from agent.prompts import DELEGATING, AgentPrompts, genie_sql
from graph.blob import parse_blob
from graph.types import DELEGATE, Capsule


def table(name: str, columns: int = 3) -> Table:
    return Table(
        "sample", "silo_north", name, tuple(Column(f"c{n}", "VARCHAR") for n in range(columns)), 36_000, "sample"
    )


def test_the_analyst_is_told_how_to_delegate_by_an_example_that_parses():
    prompt = AgentPrompts().analyst(Capsule(), {})
    assert DELEGATE in prompt
    example = DELEGATING[DELEGATING.index("'''") : DELEGATING.index("The reader sees")]
    blob = parse_blob(example)
    assert blob.instruction.startswith("Report the five departments")
    compile(blob.code, "example", "exec")


@pytest.mark.parametrize(
    ("mode", "has", "has_not"), [("local", "no pyspark", "spark, the"), ("databricks", "spark, the", "no pyspark")]
)
def test_the_names_in_code_are_those_of_the_mode(mode, has, has_not):
    prompt = AgentPrompts(mode=mode).analyst(Capsule(), {})
    assert has in prompt
    assert has_not not in prompt
    assert "execute_sql(" in prompt


def test_context_is_named_only_when_there_is_a_text():
    assert "context.search" in AgentPrompts(text="context is the file a.log").analyst(Capsule(), {})
    assert "context is the file a.log" in AgentPrompts(text="context is the file a.log").analyst(Capsule(), {})
    assert "context.search" not in AgentPrompts().analyst(Capsule(), {})


def test_an_own_system_prompt_replaces_the_role_and_keeps_what_is_needed_to_work():
    prompts = AgentPrompts(system_prompt="You are Ada.", tables=partial(catalogue, [table("vendors")]))
    prompt = prompts.analyst(Capsule(), {})
    assert prompt.startswith("You are Ada.")
    assert "You are the analyst" not in prompt
    assert "in sample.silo_north:\n- vendors [36,000 rows]: c0 text" in prompt


def test_the_catalog_stays_short_and_says_how_to_find_the_rest():
    prompt = AgentPrompts(tables=partial(catalogue, [table(f"t{n}", 300) for n in range(500)])).analyst(Capsule(), {})
    assert 100 < prompt.count("\n- t") < 500
    assert re.search(r"… and \d+ more: metadata_keyword_search finds them", prompt)
    assert len(prompt) < 16_000


def test_what_the_question_names_is_told_in_detail_though_there_are_many_tables():
    tables = [table(f"t{n}", 300) for n in range(200)]
    prompt = AgentPrompts(tables=partial(catalogue, tables)).analyst(Capsule(), {}, "What is in c299 of t77?")
    assert "- t77 [36,000 rows]: c0 text" in prompt
    assert "c299 text" in prompt


def test_the_capsule_and_the_state_are_shown_and_bounded():
    capsule = Capsule(
        intent="find duplicates",
        constraints=("only 2024",),
        tried=("art_1 (consumed): counted",),
        findings=("x" * 10_000,),
        open_questions=("which silo leads?",),
        artifact_ids=("art_1",),
    )
    scoped = {f"key{n:03}": {"deep": "y" * 1_000} for n in range(200)} | {"app:unit": "EUR"}
    prompt = AgentPrompts().analyst(capsule, scoped)
    for shown in ("find duplicates", "only 2024", "art_1", "which silo leads?", "app:unit: EUR", "more keys"):
        assert shown in prompt
    assert len(prompt) < 20_000
    assert "This conversation so far" not in AgentPrompts().analyst(Capsule(), {})


def test_a_reader_is_told_its_part_and_the_whole_instruction_but_no_endless_one():
    prompt = AgentPrompts().chunk("List the errors")
    assert prompt.endswith("List the errors")
    assert len(AgentPrompts().chunk("x" * 100_000)) < 6_000
    assert "List the errors" in AgentPrompts().reduce("List the errors")
    leaf = AgentPrompts().leaf("Which kind is it?", {"type": "object"}, "EUR means euro")
    assert all(told in leaf for told in ("Which kind is it?", '{"type": "object"}', "EUR means euro"))


def test_genie_is_shown_what_was_asked_before_and_what_failed():
    conversation = [Exchange("how many?", "SELECT 1"), Exchange("and now?", "SELECT nope", "no column nope")]
    prompt = genie_sql("by city?", catalogue([table("vendors")]), conversation)
    assert prompt.endswith("Question: by city?")
    assert "which failed: no column nope" in prompt
    assert "vendors" in prompt


def test_no_prompt_leaves_a_placeholder_unfilled():
    prompts = AgentPrompts(genie="Genie of sales", text="context is")
    asked = (prompts.analyst(Capsule(), {}), prompts.chunk("x"), prompts.reduce("x"), genie_sql("q", "Tables"))
    for text in asked:
        assert not re.search(r"\{\w+\}", text)
