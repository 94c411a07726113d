"""Texts of any size whose questions have exact answers: each line means what it was made to mean, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.longcontext.bank import Bank
from benchmarks.longcontext.corpus import CHARS_PER_TOKEN, Line, Task, filled, write
from benchmarks.longcontext.tasks import TASKS
from benchmarks.longcontext.tasks.asked import QUESTIONS
from benchmarks.longcontext.tasks.comparing import REMARKS
from benchmarks.longcontext.tasks.joins import LETTERS
from benchmarks.longcontext.tasks.logs import read_from
from benchmarks.longcontext.tasks.needles import NOTES
from benchmarks.longcontext.words import SUPPLIERS

ROOT = Path(__file__).parents[2]
SIZES = (8_000, 50_000)
BANKS = {"questions": QUESTIONS, "remarks": REMARKS, "letters": LETTERS, "notes": NOTES}
LOG = """\
Dec 10 07:00:00 h sshd[1]: Failed password for root from 10.0.0.1 port 22 ssh2
Dec 10 07:00:01 h sshd[1]: message repeated 3 times: [ Failed password for root from 10.0.0.2 port 22 ssh2]
Dec 10 07:00:02 h sshd[1]: Connection closed by 10.0.0.1 [preauth]
"""

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


@every_task
@pytest.mark.parametrize("tokens", SIZES)
def test_the_answer_is_what_one_who_understands_every_line_would_say(task: Task, tokens: int, tmp_path: Path) -> None:
    corpus = write(task, tokens, 7, tmp_path / "text")
    lines = corpus.path.read_text().splitlines()
    assert len(lines) == corpus.lines
    assert task.solve(task.understand(line) for line in lines) == corpus.answer
    assert task.score(corpus.answer, corpus.answer) == 1.0
    assert corpus.answer


@pytest.mark.parametrize("bank", BANKS.values(), ids=BANKS)
@given(seed=st.integers(0, 10**9))
def test_a_sentence_means_what_it_was_made_to_mean_and_fits_one_template(bank: Bank, seed: int) -> None:
    random = Random(seed)
    for kind in bank.kinds:
        sentence = bank.sentence(kind, random, supplier=random.choice(SUPPLIERS))
        meaning = bank.understand(sentence)
        assert meaning is not None
        assert meaning.kind == kind
        assert bank.meanings(sentence) == [kind]
        assert all(value in sentence for value in meaning.slots.values())


def test_what_no_template_says_is_not_understood() -> None:
    assert QUESTIONS.understand("Well?") is None
    assert TASKS["counting"].understand("no columns at all") == {"user": "no columns at all", "kind": None}


@every_task
@given(tokens=st.integers(1_000, 20_000), seed=st.integers(0, 10**6))
def test_a_text_has_the_size_that_was_asked_for(task: Task, tokens: int, seed: int) -> None:
    lines = [line.text for line in task.lines(tokens, Random(seed))]
    longest = max(len(line) for line in lines) + 1
    room = 2 * longest  # the line that did not fit may have been longer than those that did
    asked = tokens * CHARS_PER_TOKEN
    written = sum(len(line) + 1 for line in lines)
    assert asked - room <= written <= asked


@every_task
def test_a_seed_makes_the_same_text_and_another_seed_another(task: Task, tmp_path: Path) -> None:
    texts = [write(task, 8_000, seed, tmp_path / "text").path.read_bytes() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_the_text_is_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from benchmarks.longcontext.corpus import write; from benchmarks.longcontext.tasks import TASKS\n"
        "for name, task in TASKS.items(): write(task, 4_000, 1, Path(sys.argv[1]) / name)"
    )
    digests = set()
    for number in ("1", "2"):
        folder = tmp_path / number
        folder.mkdir()
        env = {**os.environ, "PYTHONHASHSEED": number, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code, str(folder)], env=env, cwd=tmp_path, check=True)
        digests.add(sha256(b"".join((folder / name).read_bytes() for name in TASKS)).hexdigest())
    assert len(digests) == 1


@every_task
def test_the_beginning_of_ten_million_tokens_is_there_at_once_and_lines_are_not_kept(task: Task) -> None:
    lines = task.lines(10_000_000, Random(1))
    next(lines)
    tracemalloc.start()
    try:
        task.solve(line.record for line in islice(lines, 20_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20, "20,000 lines are several megabytes with their records"


@pytest.mark.slow
def test_ten_million_tokens_are_written_in_little_memory(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from benchmarks.longcontext.corpus import write; from benchmarks.longcontext.tasks import TASKS\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "corpus = write(TASKS['joins'], 10_000_000, 1, Path(sys.argv[1]))\n"
        "print(corpus.tokens, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "text")], env=env, check=True, capture_output=True, text=True
    )
    tokens, kilobytes = map(int, done.stdout.split())
    assert tokens == pytest.approx(10_000_000, rel=1e-4)
    assert kilobytes < 20_000


@given(places=st.integers(0, 50), seed=st.integers(0, 10**6))
def test_what_is_scattered_is_all_there_in_its_order(places: int, seed: int) -> None:
    filler = iter(lambda: Line("hay", {"n": None}), None)
    needles = [Line(f"needle {number}", {"n": number}) for number in range(places)]
    texts = [line.text for line in filled(1_000, Random(seed), filler, needles)]
    assert [text for text in texts if text != "hay"] == [needle.text for needle in needles]


def test_a_search_for_the_needle_leaves_little_to_read_at_any_size() -> None:
    task = TASKS["needle"]
    for tokens in (8_000, 500_000):
        hits = [line for line in task.lines(tokens, Random(3)) if "Lisbon" in line.text]
        assert 2 <= len(hits) <= 4
        assert sum(line.record["number"] is not None for line in hits) == 1


def test_no_word_tells_the_kind_of_a_question() -> None:
    """A search for words can't count what was asked for: no kind is alone with the beginning of its questions."""
    random = Random(1)
    kinds: dict[str, set[str]] = {}
    for kind in QUESTIONS.kinds:
        for _ in range(200):
            kinds.setdefault(QUESTIONS.sentence(kind, random).split()[0], set()).add(kind)
    assert kinds["How"] == {"number", "date", "reason", "method"}
    assert kinds["What"] == {"place", "number", "date", "reason", "method"}
    assert kinds["By"] == {"person", "method"}
    assert kinds["On"] == {"place", "date"}


def test_a_log_of_ones_own_is_repeated_to_any_size_with_an_exact_answer(tmp_path: Path) -> None:
    (tmp_path / "own.log").write_text(LOG)
    task = read_from([tmp_path / "own.log"])
    corpus = write(task, 4_000, 1, tmp_path / "text")
    lines = corpus.path.read_text().splitlines()
    whole, rest = divmod(len(lines), 3)
    first, second = whole + (rest > 0), 3 * (whole + (rest > 1))
    assert corpus.answer["refused"] == first + second
    assert (corpus.answer["from 10.0.0.1"], corpus.answer["from 10.0.0.2"]) == (first, second)
    (tmp_path / "empty.log").write_text("\n\n")
    with pytest.raises(ValueError, match="no lines"):
        read_from([tmp_path / "empty.log"])
