from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.trace_view import CHROMIUM

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium: apt-get install chromium"),
]


def test_the_trace_of_a_turn_shows_its_stages_and_calls_in_a_browser(tmp_path: Path):
    """In a process of its own, as by hand: MLflow keeps one store for a whole process, and tells its children."""
    picture = tmp_path / "traces.png"
    command = [sys.executable, "-m", "tests.serving.trace_view", str(picture)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400, check=False)

    assert done.returncode == 0, done.stderr
    assert all(span in done.stdout for span in ("turn", "analyst", "delegation", "delegated", "executed", "processed"))
    assert 10_000 < picture.stat().st_size < 300_000
