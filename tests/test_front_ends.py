"""Every event and every end is known to every front end: shown, or named as not shown."""

from __future__ import annotations

from typing import get_args

import pytest

from agent.serving import transcript
from agent.terminal import progress
from graph.endings import ENDS
from graph.events import Event
from graph.types import End

EVENTS = set(get_args(Event))


def test_every_end_has_its_line_in_the_table():
    assert set(ENDS) == set(get_args(End))


def test_forced_ends_say_what_is_missing():
    forced = {end for end, ending in ENDS.items() if ending.status == "incomplete"}
    assert all(ENDS[end].missing and ENDS[end].exit_code for end in forced)


@pytest.mark.parametrize("front_end", [transcript, progress], ids=["responses", "terminal"])
def test_every_event_is_shown_or_named_as_not_shown(front_end):
    assert set(front_end.SHOWN) | front_end.NOT_SHOWN == EVENTS
    assert not set(front_end.SHOWN) & front_end.NOT_SHOWN
