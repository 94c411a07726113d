from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving.trace_view import CHROMIUM, traced_turn, view

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium: apt-get install chromium"),
    # MLflow's store uses what SQLAlchemy 2.1 deprecates
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def test_the_trace_of_a_turn_shows_its_stages_and_calls_in_a_browser(tmp_path: Path):
    text = view(tmp_path, *traced_turn(tmp_path), tmp_path / "traces.png")

    assert all(span in text for span in ("turn", "analyst", "delegation", "delegated", "executed", "processed"))
    assert 10_000 < (tmp_path / "traces.png").stat().st_size < 300_000
