"""What is saved can be loaded by an older and by a newer version of its class."""

from __future__ import annotations

import importlib
from dataclasses import MISSING, fields, replace

import ormsgpack
import pytest
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_KW_ARGS

from checkpointers import open_checkpointer
from checkpointers.encoding import strict_serializer
from graph.types import CHECKPOINTED, Capsule, Turn, Usage

NAMES = ["Artifact", "Delegation", "Turn", "Usage", "Capsule"]
REQUIRED = {
    "Artifact": {"artifact_id", "thread_id", "invocation_id", "iteration", "code", "instruction", "path"},
    "Delegation": {"call_id", "artifact_id", "request_id", "round", "iteration", "stage", "status"},
    "Turn": {"request_id", "user_id", "started_at"},
    "Usage": set(),
    "Capsule": set(),
}
"""What every home has saved from the first one on. Nothing may be added here."""


@pytest.mark.parametrize("name", NAMES)
def test_every_name_under_which_something_was_ever_saved_still_leads_to_its_class(name: str) -> None:
    kind = getattr(importlib.import_module("graph.types"), name)
    assert (kind.__module__, kind.__name__) == ("graph.types", name)
    assert kind in CHECKPOINTED


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_only_added_with_a_default(name: str) -> None:
    kind = getattr(importlib.import_module("graph.types"), name)
    needed = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
    assert needed == REQUIRED[name]


def test_a_field_that_a_newer_version_saved_does_not_brick_a_thread() -> None:
    newer = ("graph.types", "Turn", {"request_id": "r", "user_id": "me", "started_at": 1.0, "mood": "new", "rounds": 2})
    packed = ormsgpack.packb(ormsgpack.Ext(EXT_CONSTRUCTOR_KW_ARGS, ormsgpack.packb(newer)))
    serializer = strict_serializer([(kind.__module__, kind.__name__) for kind in CHECKPOINTED])
    assert serializer.loads_typed(("msgpack", packed)) == Turn("r", "me", 1.0, rounds=2)


def test_they_are_saved_and_loaded_as_they_are() -> None:
    allowed = [(kind.__module__, kind.__name__) for kind in CHECKPOINTED]
    turn = replace(Turn("r", "me", 1.0), usage=Usage(1, 2, 0.5, 3))
    with open_checkpointer("sqlite", path=":memory:", allowed_types=allowed) as saver:
        found = saver._codec.loads(saver._codec.dumps([turn, Capsule(intent="a")]))
    assert (found[0].usage, found[0].started_at, found[1].intent) == (turn.usage, 1.0, "a")
