"""Output on disk: whole up to the limit, then head and tail, and nothing worse when the disk is full."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.execution.capture import Capture


def captured(path: Path, parts: list[bytes], limit: int) -> bytes:
    capture = Capture(path, limit)
    for part in parts:
        capture.write(part)
    capture.close()
    return path.read_bytes()


@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(1, 400))
def test_what_fits_is_whole_and_what_does_not_has_its_head_its_tail_and_a_count(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], limit: int
):
    written, text = captured(tmp_path_factory.mktemp("out") / "out", parts, limit), b"".join(parts)
    if len(text) <= limit:
        assert written == text
        return
    keep = limit // 2
    head, tail = text[: limit - keep], text[len(text) - keep :]
    assert written == head + b"\n... (%d bytes omitted) ...\n" % (len(text) - limit) + tail


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_reported_and_stops_nothing(capsys: pytest.CaptureFixture[str]):
    capture = Capture(Path("/dev/full"), 1000)
    for _ in range(100):
        capture.write(b"x" * 100)
    capture.close()
    assert "No space left" in capsys.readouterr().err
