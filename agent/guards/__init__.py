"""What a delegation has to pass before it runs, in order: safety, format, syntax.

A guard reads the program and says no (Rejection), that a person has to agree (Approval), or nothing. Guards are
feedback for the model; what SQL may do is decided again where it runs (`agent.guards.sql.check_sql`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.guards.format import check_format, check_instruction
from agent.guards.literals import check_literals
from agent.guards.python import check_python
from agent.guards.sql import SqlRules
from agent.guards.syntax import check_syntax

if TYPE_CHECKING:
    from graph.context import Guard


@dataclass(frozen=True)
class GuardRules:
    strict_instruction: bool = False
    sql: SqlRules = field(default_factory=SqlRules)


def safe_sql(rules: GuardRules) -> Guard:
    return lambda program: check_literals(program, rules.sql)


def safe_python(rules: GuardRules) -> Guard:
    return check_python


def well_formed(rules: GuardRules) -> Guard:
    return check_format


def instructed(rules: GuardRules) -> Guard:
    return check_instruction if rules.strict_instruction else lambda program: None


def valid_python(rules: GuardRules) -> Guard:
    return check_syntax


GUARDS: tuple[Callable[[GuardRules], Guard], ...] = (safe_sql, safe_python, well_formed, instructed, valid_python)


def build_guards(rules: GuardRules = GuardRules()) -> tuple[Guard, ...]:
    return tuple(build(rules) for build in GUARDS)
