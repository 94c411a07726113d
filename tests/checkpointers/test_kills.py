"""kill -9 while writing: every acknowledged write is there afterwards. The thousand rounds are in the benchmark."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROUNDS = 20
_SCRIPT = """
import sys
from pathlib import Path
from checkpointers import open_checkpointer
from benchmarks.checkpointers.kills import preload, run
preload()
kind, path, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
print(*run(lambda: open_checkpointer(kind, path=path, durability="normal"), rounds)[:4])
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_no_acknowledged_write_is_lost(kind: str, tmp_path: Path):
    """In a process of its own, which forks the writers: no thread of pytest is forked along."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, kind, str(tmp_path / "state"), str(_ROUNDS)],
        capture_output=True,
        text=True,
        cwd=Path.cwd(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rounds, acknowledged, lost, wrong = map(int, done.stdout.split())
    assert (rounds, lost, wrong) == (_ROUNDS, 0, 0)
    assert acknowledged > _ROUNDS
