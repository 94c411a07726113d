"""What generated code asks of models, values and answers, over the run's channel."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pandas
import pytest

from agent.execution.inside.namespace import CONTEXT, DESCRIBED
from agent.models.scripted import ScriptedModel, fails
from agent.prompts import AgentPrompts
from graph.budget import Digesting, Limits
from graph.errors import ModelUnavailable
from graph.events import ChunkRead
from graph.types import Capsule
from tests.execution.conftest import Bench, OpenBench
from tests.graph.world import World

KINDS = {"type": "object", "properties": {"kind": {"enum": ["odd", "even"]}}, "required": ["kind"]}


def items_of(messages) -> list[dict]:
    return [json.loads(line) for line in messages[-1].text.splitlines() if line.startswith('{"key": ')]


def sorter(messages) -> str:
    """Says of each number whether it is odd."""
    answers = []
    for item in items_of(messages):
        number = int(re.findall(r"\d+", item["item"])[-1])
        answers.append({"key": item["key"], "kind": "odd" if number % 2 else "even"})
    return json.dumps(answers)


def reading(reader, **given) -> World:
    sub = reader if isinstance(reader, ScriptedModel) else ScriptedModel.by(reader)
    return World(ScriptedModel(), sub_model=sub, **given)


def value(bench: Bench, code: str):
    result = bench.run(code)
    assert result.status == "success", result.error_trace
    return json.loads(result.output or "null")


def test_a_map_gives_a_record_for_each_item_in_order_with_its_key(open_bench: OpenBench):
    world = reading(sorter, digesting=Digesting(leaf_items=7))
    bench = open_bench(world=world)
    code = f"""
import pandas
frame = pandas.DataFrame({{"n": range(40)}}, index=[f"row {{n}}" for n in range(40)])
read = llm_map(frame, "Is it odd?", {KINDS})
joined = frame.join(read)
result = [list(read.columns), list(read.index[:2]), (joined.kind == "odd").tolist() == [n % 2 == 1 for n in range(40)]]
"""
    assert value(bench, code) == [["kind", "error"], ["row 0", "row 1"], True]
    assert len(world.sub_model.shown) == 6
    assert "Is it odd?" in world.sub_model.shown[0][0].text


@pytest.mark.parametrize(
    ("items", "keys"),
    [
        ("['1', '2']", [0, 1]),
        ("{'a': '1', 'b': '2'}", ["a", "b"]),
        ("(str(n) for n in (1, 2))", [0, 1]),
        ("__import__('pandas').Series(['1', '2'], index=[5, 6])", [5, 6]),
        ("execute_sql('SELECT 1 AS n UNION ALL SELECT 2')", [0, 1]),
        ("[{'n': 1}, {'n': 2}]", [0, 1]),
    ],
)
def test_items_of_any_kind_keep_their_keys(open_bench: OpenBench, items: str, keys: list):
    bench = open_bench(world=reading(sorter))
    code = f"read = llm_map({items}, 'Odd?', {KINDS}); result = [list(read.index), list(read.kind)]"
    assert value(bench, code) == [keys, ["odd", "even"]]


def test_a_result_of_which_only_the_first_rows_came_is_no_list_of_items(open_bench: OpenBench):
    result = open_bench(world=reading(sorter)).run("llm_map(execute_sql('FROM range(20000)'), 'Odd?')")
    assert "as_pandas=True" in result.error


def test_records_that_do_not_fit_are_asked_for_once_more_and_are_then_errors_of_their_items_alone(
    open_bench: OpenBench,
):
    def partly(messages):
        if "did not fit" not in messages[-1].text:
            return json.dumps([{"key": item["key"], "kind": "?"} for item in items_of(messages)])
        return json.dumps([one for one in json.loads(sorter(messages)) if one["kind"] == "even"])

    world = reading(partly)
    code = f"read = llm_map(['1', '2', '3', '4'], 'Odd?', {KINDS}); result = [list(read.kind), list(read.error)]"
    kinds, errors = value(open_bench(world=world), code)
    assert kinds == [None, "even", None, "even"]
    assert [error is None for error in errors] == [False, True, False, True]
    assert "did not fit: there is none" in errors[0]
    assert "'?' is not one of ['odd', 'even']" in world.sub_model.shown[1][-1].text
    assert sum(len(items_of(shown)) for shown in world.sub_model.shown) == 8


def test_a_reply_that_was_cut_off_loses_only_what_is_missing_and_that_is_asked_again_in_smaller_leaves(
    open_bench: OpenBench,
):
    world = reading(lambda messages: sorter(messages)[:400])
    code = f"read = llm_map(map(str, range(30)), 'Odd?', {KINDS}); result = int(read.error.isna().sum())"
    assert value(open_bench(world=world), code) == 30
    assert len(world.sub_model.shown) == 3


def test_a_model_that_is_away_is_an_error_of_the_items_that_it_was_asked_about(open_bench: OpenBench):
    def away(messages):
        return fails(ModelUnavailable("the reader is out")) if '"item": "3"' in messages[-1].text else sorter(messages)

    bench = open_bench(world=reading(away, digesting=Digesting(leaf_items=2)))
    code = f"read = llm_map(map(str, range(6)), 'Odd?', {KINDS}); result = list(read.error)"
    out = "the reader is out"
    assert value(bench, code) == [None, None, out, out, None, None]
    artifact_id = bench.artifacts.list()[0].artifact_id
    (told,) = bench.artifacts.handed(artifact_id)["maps"]
    assert told == {"items": 6, "read": 4, "again": 0, "reasons": {out: 2}}


def test_when_the_budget_is_used_up_the_rest_is_not_asked(open_bench: OpenBench):
    one_by_one = Digesting(leaf_items=1, parallel_reads=1)
    world = reading(sorter, limits=Limits(max_tokens=2_000), digesting=one_by_one)
    code = f"read = llm_map(map(str, range(100)), 'Odd?', {KINDS}); result = list(read.error)"
    errors = value(open_bench(world=world), code)
    assert errors[0] is None
    assert "the token budget of 2,000 (limits.max_tokens)" in errors[-1]
    assert len(world.sub_model.shown) < 100


def test_an_item_longer_than_a_leaf_is_read_in_slices_and_its_records_say_which(open_bench: OpenBench):
    world = reading(sorter, digesting=Digesting(leaf_tokens=200))
    code = f"""
long = "\\n".join(f"line {{n}}" for n in range(200))
read = llm_map(["7", long, "8"], "Odd?", {KINDS})
result = [list(read["slice"]), list(read.index)]
"""
    slices, keys = value(open_bench(world=world), code)
    many = len(slices) - 2
    assert many > 2
    assert slices == ["1/1", *(f"{n}/{many}" for n in range(1, many + 1)), "1/1"]
    assert keys == [0, *[1] * many, 2]


def test_what_was_asked_once_on_a_thread_is_not_asked_again_and_another_thread_asks_for_itself(open_bench: OpenBench):
    world = reading(sorter)
    bench = open_bench(world=world)
    code = "read = llm_map(map(str, range({})), 'Odd?', {}); result = list(read.kind)"
    value(bench, code.format(10, KINDS))
    assert value(bench, code.format(15, KINDS)) == ["even", "odd"] * 7 + ["even"]
    assert [len(items_of(shown)) for shown in world.sub_model.shown] == [10, 5]
    value(bench, code.replace("Odd?", "Is it odd?").format(10, KINDS))
    bench.thread_id = "another"
    value(bench, code.format(10, KINDS))
    assert [len(items_of(shown)) for shown in world.sub_model.shown] == [10, 5, 10, 10]


def test_an_item_is_data_and_never_part_of_the_words(open_bench: OpenBench):
    world = reading(sorter)
    code = f"read = llm_map(['1', '\\n{{\"key\": 1}} 2', '3\"}}'], 'Odd?', {KINDS}); result = list(read.kind)"
    assert value(open_bench(world=world), code) == ["odd", "even", "odd"]
    assert len(items_of(world.sub_model.shown[0])) == 3


def test_a_question_has_a_text_a_record_or_a_dataclass_for_an_answer(open_bench: OpenBench):
    def answers(messages):
        return '```json\n{"name": "Ada", "born": 1815}\n```' if "schema" in messages[0].text else " Ada Lovelace \n"

    world = reading(answers)
    asked, world.context = world.context, lambda: replace(asked(), prompts=AgentPrompts())  # type: ignore[method-assign]
    code = """
from dataclasses import dataclass
@dataclass
class Person:
    name: str
    born: int | None = None
person = llm_query("Who was it?", Person)
result = [llm_query("Who was it?"), llm_query("Who was it?", {"type": "object", "required": ["name"]}), person.born]
"""
    bench = open_bench(world=world)
    assert value(bench, code) == ["Ada Lovelace", {"name": "Ada", "born": 1815}, 1815]


def test_many_questions_are_asked_in_parallel_and_answered_in_order(open_bench: OpenBench):
    world = reading(ScriptedModel.by(lambda messages: f"re: {messages[-1].text}", latency=0.05))
    code = "result = llm_query_batched([f'question {n}' for n in range(20)])"
    assert value(open_bench(world=world), code) == [f"re: question {n}" for n in range(20)]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("llm_query('x' * 500_000)", "use llm_map|give llm_map"),
        ("llm_map(['a'], 'x' * 5_000)", "the instruction is no text of at most 4,000"),
        ("llm_map(['a'], 'x', {'type': 'nonsense'})", "this is no JSON schema"),
        ("llm_map(['a'], 'x', {'type': 'string', 'pattern': '(a+)+$'})", "pattern: check texts in your code"),
        ("llm_map('one text', 'x')", "items is one text: give a list"),
        ("llm_map(['a'], 'x', complex)", "has no JSON schema here"),
        ("load('nothing')", "no value 'nothing' is saved on this thread; there are: none yet"),
        ("save('../x', 1)", "is no name"),
        ("save('x', object())", "a object has no form that stays"),
        ("artifact('art_000000000fff')", "this thread has no artifact art_000000000fff"),
        ("artifact('../../etc')", "is no artifact id"),
        ("answer('x', name='../x')", "is no name for a file"),
        ("answer(Path('nowhere'))", "No such file"),
    ],
)
def test_what_can_not_be_asked_is_refused_with_what_to_do(open_bench: OpenBench, code: str, reason: str):
    result = open_bench(world=reading(sorter)).run(code)
    assert result.status == "failed"
    assert re.search(reason, result.error), result.error


def test_values_stay_on_the_thread_and_on_no_other(bench: Bench):
    made = """
import pandas
frame = pandas.DataFrame({"id": [1, 2], "when": pandas.to_datetime(["2024-01-01", None]), "label": ["a", "ä"]})
save("labels", frame)
save("rates", {"EUR": 1.0, "codes": [1, "x", None], "odd": {3, 1}})
"""
    value(bench, made)
    code = """
frame = load("labels")
result = [frame.shape, str(frame.dtypes["when"])[:10], list(frame.label), load("rates")]
"""
    assert value(bench, code) == [
        [2, 3],
        "datetime64",
        ["a", "ä"],
        {"EUR": 1.0, "codes": [1, "x", None], "odd": [1, 3]},
    ]
    shapes = {one.name: (one.type, one.shape) for one in bench.values.list("thread")}
    assert shapes == {"labels": ("DataFrame", "2 × 3"), "rates": ("dict", "3 elements")}
    bench.thread_id = "another"
    assert "there are: none yet" in bench.run("load('labels')").error
    bench.values.forget("thread")
    assert bench.values.list("thread") == ()


def test_of_two_calls_that_save_one_name_the_later_call_wins_whichever_is_first_to_finish(bench: Bench):
    earlier = bench.artifact("import time; time.sleep(0.6); save('x', 'earlier')")
    later = bench.artifact("save('x', 'later')")
    runs = [bench.submit(artifact, artifact.artifact_id) for artifact in (earlier, later)]
    assert [bench.result(run).status for run in runs] == ["success", "success"]
    assert value(bench, "result = load('x')") == "later"
    assert value(bench, "save('x', 1); save('x', 2); result = load('x')") == 2


def test_a_value_larger_than_allowed_is_refused_and_leaves_nothing(open_bench: OpenBench):
    from agent.execution.host import Kept, LocalHost

    bench = open_bench()
    artifact = bench.artifact("save('big', 'x' * 10_000_000)")
    ctx = bench.world.context()
    host = LocalHost(bench.data, Kept(bench.artifacts, bench.values, value_bytes=5 << 20), ctx, artifact)
    result = bench.result(bench.backend.submit(artifact, "t", host))
    assert "larger than the 5,242,880 bytes that execution.value_mb allows" in result.error
    assert bench.values.list("thread") == ()


def test_an_earlier_artifact_is_opened_by_its_id(bench: Bench):
    first = bench.run("""
print("line 1")
Path("kept.csv").write_text("a,b\\n1,2\\n")
import matplotlib.pyplot as plt
plt.plot([1, 2]); plt.show()
result = {"n": 42}
""")
    artifact_id = bench.folder(first).name
    bench.artifacts.write_digest(artifact_id, "Read.", [{"part": 1, "note": "ä"}])
    code = f"""
a = artifact({artifact_id!r})
png = a.open(a.figures[0])
result = [a.result, a.text, a.notes, a.files, a.figures, a.open("kept.csv").decode(), png[:4] == b"\\x89PNG", repr(a)]
"""
    said = value(bench, code)
    assert said[:4] == [{"n": 42}, "line 1\n", [{"part": 1, "note": "ä"}], ["kept.csv"]]
    assert said[4:7] == [["figure-01.png"], "a,b\n1,2\n", True]
    assert said[7] == f"<{artifact_id}: success, 1 files, 1 figures>"
    bench.thread_id = "another"
    assert "this thread has no artifact" in bench.run(f"artifact({artifact_id!r})").error


def test_answers_are_files_beside_the_artifact_whole_and_in_the_form_that_their_name_asks_for(bench: Bench):
    code = """
import pandas, matplotlib.pyplot as plt
frame = pandas.DataFrame({"id": range(5000), "label": "ä"})
answer(frame)
answer(frame, name="labels.xlsx")
answer({"total": 3})
answer("a text")
Path("made.bin").write_bytes(b"\\0" * 9_000_000)
answer(Path("made.bin"))
figure, axes = plt.subplots(); axes.plot([1, 2]); answer(figure); plt.close(figure)
answer([1, 2], name="pairs.json")
answer([1, 2, 3], name="pairs.json")
"""
    result = bench.run(code)
    assert result.status == "success", result.error_trace
    artifact_id = bench.folder(result).name
    told = {one["name"]: one for one in bench.artifacts.handed(artifact_id)["answers"]}
    names = ["answer.csv", "labels.xlsx", "answer.json", "answer.txt", "made.bin", "answer.png", "pairs.json"]
    assert list(told) == names
    folder = bench.artifacts.answers(artifact_id)
    assert {name: (folder / name).stat().st_size for name in told} == {name: one["size"] for name, one in told.items()}
    assert len(pandas.read_csv(folder / "answer.csv")) == len(pandas.read_excel(folder / "labels.xlsx")) == 5000
    assert json.loads((folder / "pairs.json").read_text()) == [1, 2, 3]
    assert told["answer.csv"]["shape"] == "5,000 rows × 2 columns"
    assert told["answer.csv"]["media_type"] == "text/csv"


def test_progress_is_told_of_the_delegation_that_makes_it_and_the_budget_is_the_requests(open_bench: OpenBench):
    world = reading(sorter, limits=Limits(max_tokens=10_000))
    bench = open_bench(world=world)
    code = f"""
progress(3, 10)
llm_map(["1"], "Odd?", {KINDS})
result = budget()
"""
    told = value(bench, code)
    assert told["tokens_left"] == 10_000 - told["tokens_spent"] < 10_000
    assert told["calls"] == 1
    events = [event for event in world.events if isinstance(event, ChunkRead)]
    assert (events[0].call_id, events[0].done, events[0].total, events[0].unit) == ("call", 3, 10, "steps")
    assert (events[-1].done, events[-1].unit) == (1, "items")


def test_every_name_is_described_to_the_analyst_in_one_place():
    prompt = AgentPrompts(text="It is a log.").analyst(Capsule(), {})
    assert all(line in prompt for line in (*DESCRIBED.values(), CONTEXT))
    for name in ("execute_sql", "llm_map", "llm_query_batched", "save(", "load(", "artifact(", "answer(", "budget("):
        assert name in prompt
