"""What the cache counts is what it holds: its cap is what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.checkpointers.memory import held_by
from checkpointers import open_checkpointer
from checkpointers.tips import Tips


@pytest.mark.parametrize(("count", "size"), [(100, 400), (3, 30), (10, 10_000)])
def test_the_caps_is_what_a_long_lived_process_pays(count: int, size: int, tmp_path: Path):
    most = 1 << 20
    with open_checkpointer("sqlite", path=tmp_path / "a", durability="normal") as saver:
        saver._tips = Tips(most)
        held, counted = held_by(saver, threads=30, count=count, size=size)
    assert held <= counted <= most
