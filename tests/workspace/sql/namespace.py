"""The current catalog and schema of one session, put into the text of its statements.

Everybody shares one Spark session, so a session's USE must not reach the engine. Instead the names in a statement are
completed, at their places in the text; nothing else of the text changes.
"""

import logging
from dataclasses import dataclass, replace

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

logging.getLogger("sqlglot").setLevel(logging.ERROR)

_FILES = {"parquet", "csv", "json", "delta", "text", "orc", "avro", "binaryfile"}
_SCHEMA_KINDS = {"SCHEMA", "DATABASE", "NAMESPACE"}


@dataclass(frozen=True)
class Namespace:
    """Where an unqualified name is looked up."""

    catalog: str = "main"
    schema: str = "default"

    def with_schema(self, schema: str) -> "Namespace":
        """The same catalog, another schema."""
        return replace(self, schema=schema)


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def complete(text: str, namespace: Namespace, user: str, temporary: frozenset[str] = frozenset()) -> str:
    """The statement with full names, and with the functions that tell where one is answered here."""
    edits = [*_functions(text, namespace, user), *_names(text, namespace, temporary)]
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _names(text: str, namespace: Namespace, temporary: frozenset[str]) -> list[_Edit]:
    try:
        trees = [tree for tree in sqlglot.parse(text, read="databricks") if tree]
    except SqlglotError:
        return []
    edits = []
    for tree in trees:
        local = temporary | {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
        for table in tree.find_all(exp.Table):
            edit = _name(table, namespace, local)
            if edit:
                edits.append(edit)
    return edits


def _name(table: exp.Table, namespace: Namespace, local: frozenset[str]) -> _Edit | None:
    parts = [part for part in table.parts if isinstance(part, exp.Identifier) and "start" in part.meta]
    if len(parts) != len(table.parts) or not parts or table.catalog:
        return None
    start = parts[0].meta["start"]
    is_schema = not isinstance(table.this, exp.Identifier)
    if is_schema or table.db:
        named = table.db.lower()
        if (named in _FILES and not is_schema) or (named in ("information_schema",) and is_schema):
            return None
        return _Edit(start, start, f"`{namespace.catalog}`.")
    if table.name.lower() in local:
        return None
    return _Edit(start, start, f"`{namespace.catalog}`.`{namespace.schema}`.")


def _functions(text: str, namespace: Namespace, user: str) -> list[_Edit]:
    answers = {
        "current_catalog": namespace.catalog,
        "current_schema": namespace.schema,
        "current_database": namespace.schema,
        "current_user": user,
        "session_user": user,
        "user": user,
    }
    try:
        tokens = sqlglot.tokenize(text, read="databricks")
    except SqlglotError:
        return []
    edits = []
    for index in range(len(tokens) - 2):
        name = tokens[index].text.lower()
        if name in answers and _is_call(tokens, index):
            alias = f" AS `{name}()`" if _is_whole_column(tokens, index) else ""
            edits.append(_Edit(tokens[index].start, tokens[index + 2].end + 1, f"'{answers[name]}'{alias}"))
    return edits


def _is_call(tokens: list[Token], index: int) -> bool:
    following = [token.token_type for token in tokens[index + 1 : index + 3]]
    preceded = index > 0 and tokens[index - 1].token_type == TokenType.DOT
    return following == [TokenType.L_PAREN, TokenType.R_PAREN] and not preceded


def _is_whole_column(tokens: list[Token], index: int) -> bool:
    """Whether the call is a column of the outermost SELECT by itself, so that its name shows."""
    depth = sum(
        (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN) for token in tokens[:index]
    )
    before = tokens[index - 1].token_type if index else None
    after = tokens[index + 3].token_type if index + 3 < len(tokens) else None
    return (
        depth == 0
        and before in (TokenType.SELECT, TokenType.COMMA)
        and after in (None, TokenType.COMMA, TokenType.FROM, TokenType.SEMICOLON)
    )
