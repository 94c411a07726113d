"""What comes back is what was saved: messages as LangGraph revives them, and no type in secret as a dict."""

from __future__ import annotations

import operator
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from checkpointers import BlockedType, Saver, SqliteSaver
from checkpointers.encoding import strict_serializer
from checkpointers.fingerprints import watched
from checkpointers.reviving import revived
from tests.checkpointers.conftest import Opener
from tests.checkpointers.making import config

_SERIALIZER = strict_serializer()
_names = st.sampled_from(["a", "name", "", "é\0", "type"])
_texts = st.text(max_size=20) | st.sampled_from(["", "\ud800", "x" * 300])
_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | _texts
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3) | st.tuples(inner),
    max_leaves=6,
)
_dicts = st.dictionaries(_names | st.just("tool_calls"), _data, max_size=3)
_contents = _texts | st.lists(_texts | st.dictionaries(_names, _texts, max_size=2), max_size=3)
_common = {
    "content": _contents,
    "additional_kwargs": st.just({}) | _dicts,
    "response_metadata": st.just({}) | _dicts,
    "name": st.none() | _texts,
    "id": st.none() | _texts,
}
_calls = st.lists(
    st.fixed_dictionaries(
        {"name": _names, "args": st.dictionaries(_names, _data, max_size=2), "id": st.none() | _names}
    ),
    max_size=2,
)
_count = st.integers(0, 2**40)
_usage = st.fixed_dictionaries(
    {"input_tokens": _count, "output_tokens": _count, "total_tokens": _count},
    optional={"input_token_details": st.dictionaries(st.sampled_from(["cache_read", "audio", "other"]), _count)},
)
_messages = st.one_of(
    st.builds(HumanMessage, **_common),
    st.builds(SystemMessage, **_common),
    st.builds(AIMessage, **_common, tool_calls=_calls, usage_metadata=st.none() | _usage),
    st.builds(
        ToolMessage,
        **_common,
        tool_call_id=_texts,
        artifact=st.none() | _data | st.builds(HumanMessage, content=_texts),
        status=st.sampled_from(["success", "error"]),
    ),
    st.builds(ChatMessage, **_common, role=_names),
    st.builds(FunctionMessage, content=_texts, name=_names),
    st.builds(AIMessageChunk, **_common),
    _names.map(lambda name: RemoveMessage(id=name)),
    st.builds(HumanMessage, **_common, example=st.booleans(), more=_data),
)


def _told(message: Any) -> Any:
    """Everything that tells two messages apart."""
    return (
        type(message),
        repr(message.__dict__),
        message.__pydantic_fields_set__,
        message.__pydantic_extra__,
        message.__pydantic_private__,
    )


@settings(deadline=None, max_examples=120)
@given(st.lists(_messages, max_size=3))
def test_messages_are_revived_as_by_langgraph(messages: list[Any]):
    kind, data = _SERIALIZER.dumps_typed(messages)
    assert kind == "msgpack"
    official = _SERIALIZER.loads_typed((kind, data))
    ours = revived(data, _SERIALIZER)
    assert list(map(_told, ours)) == list(map(_told, official))
    assert _SERIALIZER.dumps_typed(ours) == _SERIALIZER.dumps_typed(official)


@settings(deadline=None, max_examples=120)
@given(st.lists(_messages | _data, min_size=1, max_size=3))
def test_elements_are_packed_as_by_langgraph(values: list[Any]):
    """The bytes that a fingerprint stands for; a list that can't be watched has none."""
    found = watched(values)
    if found is not None:
        elements, mark = found
        assert elements == [_SERIALIZER.dumps_typed([value])[1][1:] for value in values]
        assert mark.begins(values)


def test_odd_messages_are_left_to_langgraph():
    """Fields in another order, of other types, or ones that the class would change."""
    odd = [
        AIMessage("x", additional_kwargs={"tool_calls": [{"function": {"name": "f", "arguments": "{}"}, "id": "1"}]}),
        AIMessage("x", tool_calls=[{"name": "f", "args": {}, "id": "1"}], invalid_tool_calls=[]),
        AIMessage.model_construct(content="x", tool_calls=[{"name": "f", "args": {1: 2}, "id": 5}]),
        ToolMessage.model_construct(content=5, tool_call_id=7, status="odd"),
        HumanMessage.model_construct(content=("a", "b"), id=9, type="other"),
    ]
    for message in odd:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydantic's, of a message that isn't as its class wants it
            _, data = _SERIALIZER.dumps_typed(message)
        assert repr(revived(data, _SERIALIZER)) == repr(_SERIALIZER.loads_typed(("msgpack", data)))


class Order(BaseModel):
    number: int


@dataclass
class Place:
    name: str


class _State(TypedDict):
    order: Order
    places: Annotated[list[Place], operator.add]


def _graph(saver: Saver) -> Any:
    def node(state: _State) -> dict[str, Any]:
        return {"order": Order(number=state["order"].number + 1), "places": [Place(f"{len(state['places'])}")]}

    builder = StateGraph(_State).add_node("node", node).add_edge(START, "node").add_edge("node", END)
    return builder.compile(checkpointer=saver)


def test_a_blocked_type_is_an_error_with_the_line_to_add(open_store: Opener):
    with open_store() as saver:
        _graph(saver).invoke({"order": Order(number=1), "places": []}, config("t"))
        with pytest.raises(BlockedType) as blocked:
            _graph(saver).invoke({"places": []}, config("t"))
    assert f"allowed_types=[('{__name__}', 'Order')" in str(blocked.value)
    kinds = [*blocked.value.kinds, (__name__, "Place")]
    with open_store(allowed_types=kinds) as saver:
        found = _graph(saver).invoke({"places": []}, config("t"))
    assert found == {"order": Order(number=3), "places": [Place("0"), Place("1")]}


_STRICT = """
from tests.checkpointers.test_types import Order, _graph
from tests.checkpointers.making import config
from checkpointers import SqliteSaver
with SqliteSaver(":memory:") as saver:
    graph = _graph(saver)
    graph.invoke({"order": Order(number=1), "places": []}, config("t"))
    print(graph.invoke({"places": []}, config("t"))["order"].number)
"""


def test_the_types_that_langgraph_hands_over_are_allowed():
    """With LANGGRAPH_STRICT_MSGPACK it gives the saver the types of the graph's schema."""
    environment = {"LANGGRAPH_STRICT_MSGPACK": "true", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", _STRICT], capture_output=True, text=True, cwd=Path.cwd(), env=environment, check=False
    )
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr


def test_a_serializer_of_ones_own_is_used_as_it_is():
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    with SqliteSaver(":memory:", serde=JsonPlusSerializer(allowed_msgpack_modules=True)) as saver:
        _graph(saver).invoke({"order": Order(number=1), "places": []}, config("t"))
        assert _graph(saver).invoke({"places": []}, config("t"))["order"] == Order(number=3)
