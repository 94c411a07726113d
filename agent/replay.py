"""The data that a delegation asked about, opened again outside of a run: for its notebook, in Jupyter or by nbclient.

from agent.replay import open_data
globals().update(open_data({...}))
"""

from __future__ import annotations

import atexit
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.data.source import DataSource, source_from_json
from graph.errors import HostError

if TYPE_CHECKING:
    from agent.data.warehouse import Warehouse
    from agent.execution.inside.line import HostLine
    from agent.execution.inside.namespace import Place
    from graph.context import Handler, ReadingAllowance

HIDDEN = ("__name__", "__file__", "exit", "quit")
"""A kernel has its own."""


def open_data(opening: Mapping[str, Any]) -> dict[str, Any]:
    """The names that the code knew, `execute_sql` and `context` among them, and `files`: those behind it, by name.

    `opening` is what the notebook's first cell holds: home, source, catalog, schema, run_id, iteration. Everything is
    opened read-only, and closed with the process. Raises InvalidRequest when the data is gone.
    """
    from agent.data.warehouse import open_warehouse
    from agent.execution.inside.namespace import Place, names

    source = source_from_json(opening["source"])
    source.check()
    warehouse = open_warehouse(Path(opening["home"]), source.sample, [Path(path) for path in source.paths])
    atexit.register(warehouse.close)
    place = Place(opening["run_id"], opening["iteration"], opening["catalog"], opening["schema"])
    found = names(place, "notebook.ipynb", open_line(warehouse, place), open_context(source))
    return {**{name: value for name, value in found.items() if name not in HIDDEN}, "files": warehouse.files()}


def open_context(source: DataSource) -> Any:
    from agent.data.text import open_text

    return open_text(Path(source.text)) if source.text else None


class ReadOnly:
    """Implements graph.context.RunHost for a run that was: SQL is answered, models and values are not."""

    def __init__(self, warehouse: Warehouse, place: Place) -> None:
        from agent.execution.host import Data
        from agent.execution.served.queries import Queries
        from agent.guards.sql import SESSION, SqlRules, check_sql

        rules = SqlRules(dialect="duckdb", scratch=SESSION)
        data = Data(warehouse.session, partial(check_sql, rules=rules), (), place.catalog, place.schema)
        self._queries = Queries(data, place.run_id)
        self.setup: Mapping[str, Any] = {}
        self.handlers: Mapping[str, Handler] = {"sql": self._queries.answer_sql}

    def allowance(self) -> ReadingAllowance:
        raise HostError("no model is asked when a notebook runs again")

    def settle(self, report: Mapping[str, Any] | None) -> None: ...

    def close(self) -> None:
        self._queries.close()


def open_line(warehouse: Warehouse, place: Place) -> HostLine:
    """A run's line to its host, with both ends in this process: the same code answers as it did then."""
    from agent.execution.channel import Channel
    from agent.execution.inside.framing import receive_json
    from agent.execution.inside.line import HostLine

    near, far = socket.socketpair()
    channel = Channel(place.run_id, near, ReadOnly(warehouse, place), {})
    channel.start()
    receive_json(far)
    atexit.register(far.close)
    atexit.register(channel.close)
    return HostLine(far)
