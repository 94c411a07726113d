"""What went wrong with a statement, with the error class and the SQLSTATE that Databricks would give."""

import re
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tests.workspace.spark_error import SparkError


class SqlProblem(Exception):
    """A statement failed: an error class, a message, a SQLSTATE."""

    def __init__(self, error_class: str, message: str, state: str) -> None:
        super().__init__(f"[{error_class}] {message} SQLSTATE: {state}")
        self.error_class = error_class
        self.state = state


@dataclass(frozen=True)
class _Known:
    pattern: str
    error_class: str
    state: str


_KNOWN = (
    _Known(r"TABLE_OR_VIEW_NOT_FOUND|[Tt]able not found|View not found", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
    _Known(r"[Tt]able already exists|View already exists", "TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"),
    _Known(r"[Dd]atabase not found", "SCHEMA_NOT_FOUND", "42704"),
    _Known(r"[Dd]atabase already exists", "SCHEMA_ALREADY_EXISTS", "42P06"),
    _Known(r"non-empty database", "SCHEMA_NOT_EMPTY", "2BP01"),
    _Known(r"cannot resolve attribute|No field named", "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703"),
    _Known(r"unknown (table )?function", "UNRESOLVED_ROUTINE", "42883"),
    _Known(r"divide by zero|Divide by zero", "DIVIDE_BY_ZERO", "22012"),
    _Known(r"CAST_INVALID_INPUT|Cannot cast string|Cannot parse", "CAST_INVALID_INPUT", "22018"),
    _Known(r"placeholder|Placeholder", "UNBOUND_SQL_PARAMETER", "42P02"),
    _Known(r"input schema for INSERT has", "INSERT_COLUMN_ARITY_MISMATCH", "21S01"),
)

_STATEMENTS = (exp.Query, exp.DML, exp.DDL, exp.Command, exp.Describe, exp.Drop, exp.Alter, exp.Grant, exp.Use)


def problem(error: SparkError, text: str) -> SqlProblem:
    """Sail's error in Databricks's terms."""
    message = error.message
    for known in _KNOWN:
        if re.search(known.pattern, message):
            return SqlProblem(known.error_class, re.sub(r"^.*?\[\w+\] ", "", message), known.state)
    if "expected" in message and "found" in message and error.kind == "IllegalArgumentException":
        if is_databricks_sql(text):
            return not_covered(f"this statement ({message})")
        return SqlProblem("PARSE_SYNTAX_ERROR", f"Syntax error: {message}", "42601")
    if error.kind == "UnsupportedOperationException":
        return not_covered(message)
    return SqlProblem("INTERNAL_ERROR", message, "XX000")


def not_covered(what: str) -> SqlProblem:
    """Databricks has it, the engine of the stand-in has not."""
    return SqlProblem("UNSUPPORTED_FEATURE.STAND_IN", f"the stand-in's engine does not cover {what}", "0A000")


def is_databricks_sql(text: str) -> bool:
    """Whether Databricks would take the text, as far as sqlglot knows: then it is the engine that refuses it."""
    try:
        tree = sqlglot.parse_one(text, read="databricks")
    except SqlglotError:
        return False
    return isinstance(tree, _STATEMENTS)
