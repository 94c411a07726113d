"""Where SQL may write, and how a refusal is said."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.guards.engines import Dialect
from graph.types import Rejection


@dataclass(frozen=True)
class SqlRules:
    """`scratch` names schemas (`schema` or `catalog.schema`) where tables and views may be made, filled and dropped.

    Temporary tables and views count as schema `temp`, and names without a schema as the empty one.
    """

    dialect: Dialect = "duckdb"
    scratch: tuple[str, ...] = ()

    def is_scratch(self, catalog: str, schema: str) -> bool:
        if not schema:
            return "" in self.scratch
        names = {schema.lower(), f"{catalog}.{schema}".lower()}
        return any(scratch.lower() in names for scratch in self.scratch)


READ_ONLY = SqlRules()

SESSION = ("", "temp")
"""The scratch of a local warehouse's session: what it creates without a schema is its own and goes with it."""


def block(what: str, why: str, rules: SqlRules | None = None) -> Rejection:
    """With `rules`, the refusal says where one may write instead."""
    advice = f" {advise(rules)}" if rules is not None else ""
    return Rejection("SAFETY_BLOCK", f"{what} is not allowed: {why}.{advice}", {"matched": what, "reason": why})


def advise(rules: SqlRules) -> str:
    where = " or ".join(schema for schema in rules.scratch if schema)
    if "" in rules.scratch:
        return "Create tables of your own under plain names, without catalog and schema."
    return f"Write to the scratch schema ({where}) instead." if where else "Compute new tables in Python instead."


def unreadable(reason: object) -> Rejection:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(reason)).strip()[:600]
    return Rejection("SYNTAX_ERROR", f"The SQL can't be read as one statement: {plain}", {"reason": plain})
