"""State by how long it lives: a turn, a thread, a person, everyone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.memory import InMemoryStore

from agent.records.scopes import Scopes, apply, open_scopes, split
from graph.errors import InvalidRequest


@pytest.fixture(params=["memory", "sqlite"])
def scopes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scopes]:
    if request.param == "memory":
        yield Scopes(InMemoryStore())
    else:
        with open_scopes(tmp_path / "state.sqlite") as opened:
            yield opened


def test_keys_are_sorted_by_their_prefix_and_keep_it() -> None:
    scoped = split({"temp:a": 1, "user:b": 2, "app:c": None, "d": 4, "rlm:iteration": 5})
    assert scoped.temp == {"temp:a": 1}
    assert scoped.user == {"user:b": 2}
    assert scoped.app == {"app:c": None}
    assert scoped.session == {"d": 4, "rlm:iteration": 5}


@pytest.mark.parametrize("key", ["", "temp:", "user:", "app:"])
def test_a_key_without_a_name_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest, match="has no name"):
        split({key: 1})


def test_none_deletes() -> None:
    assert apply({"a": 1, "b": 2}, {"a": None, "c": 3, "never": None}) == {"b": 2, "c": 3}


def test_what_is_the_threads_and_the_turns_is_handed_back_and_not_kept(scopes: Scopes) -> None:
    session, temp = scopes.take({"temp:draft": "x", "temp:gone": None, "topic": "y", "old": None}, "ann")
    assert (session, temp) == ({"topic": "y", "old": None}, {"temp:draft": "x"})
    assert scopes.shared("ann") == {}


def test_a_users_state_is_theirs_and_the_apps_is_everyones(scopes: Scopes) -> None:
    scopes.take({"user:region": "EU", "app:motd": ["hello", {"n": 1}]}, "ann@example.com")
    assert scopes.shared("ann@example.com") == {"user:region": "EU", "app:motd": ["hello", {"n": 1}]}
    assert scopes.shared("bob") == {"app:motd": ["hello", {"n": 1}]}


def test_none_deletes_for_users_and_the_app_too(scopes: Scopes) -> None:
    scopes.take({"user:region": "EU", "app:motd": "x"}, "ann")
    scopes.take({"user:region": None, "app:motd": None, "user:never": None}, "ann")
    assert scopes.shared("ann") == {}


@pytest.mark.parametrize(
    ("one", "other"), [("jo", "joan"), ("a_b", "axb"), ("a.b", "a"), ("a%2Eb", "a.b"), ("x%", "xy")]
)
def test_users_with_similar_names_do_not_see_each_others_state(scopes: Scopes, one: str, other: str) -> None:
    scopes.take({"user:secret": "mine"}, other)
    assert scopes.shared(one) == {}
    scopes.take({"user:secret": "hers"}, one)
    assert (scopes.shared(one), scopes.shared(other)) == ({"user:secret": "hers"}, {"user:secret": "mine"})


def test_hundreds_of_keys_all_come_back(scopes: Scopes) -> None:
    scopes.take({f"user:{number}": number for number in range(450)}, "ann")
    assert len(scopes.shared("ann")) == 450


def test_it_survives_a_restart(tmp_path: Path) -> None:
    with open_scopes(tmp_path / "state.sqlite") as scopes:
        scopes.take({"user:region": "EU"}, "ann")
    with open_scopes(tmp_path / "state.sqlite") as scopes:
        assert scopes.shared("ann") == {"user:region": "EU"}


values = st.none() | st.integers() | st.text()


@given(st.lists(st.dictionaries(st.sampled_from(["user:a", "user:b", "app:a", "app:b"]), values), max_size=6))
def test_the_store_ends_where_applying_the_deltas_in_order_ends(deltas: list[dict[str, object]]) -> None:
    scopes, expected = Scopes(InMemoryStore()), {}
    for delta in deltas:
        scopes.take(delta, "ann")
        expected = apply(expected, delta)
    assert scopes.shared("ann") == expected
