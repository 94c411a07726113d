"""What fits a JSON schema, and in which words it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from graph.errors import InvalidRequest
from graph.reading.records import Check

MOST_CHARS = 20_000
REASON_CHARS = 300
UNSAFE = ("pattern", "patternProperties")
"""Regular expressions from outside can take for ever."""


def check_schema(schema: Mapping[str, Any]) -> Check:
    """From a JSON schema to what says why a value does not fit it. Raises InvalidRequest, with what to change.

    References go within the schema only: none is fetched.
    """
    from jsonschema import exceptions, validators
    from referencing import Registry

    if not isinstance(schema, Mapping):
        raise InvalidRequest(f"the schema is {type(schema).__name__}: give a JSON schema, an object")
    if len(written(schema)) > MOST_CHARS:
        raise InvalidRequest(f"the schema is longer than {MOST_CHARS:,} characters: ask for less at a time")
    if unsafe := sorted({key for key in keys_in(schema) if key in UNSAFE}):
        raise InvalidRequest(f"the schema has {' and '.join(unsafe)}: check texts in your code instead")
    kind = validators.validator_for(schema, default=validators.validator_for({}))
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        raise InvalidRequest(f"this is no JSON schema: {said(error)}") from error
    validator = kind(schema, registry=Registry())

    def check(value: Any) -> str | None:
        try:
            error = exceptions.best_match(validator.iter_errors(value))
        except (RecursionError, exceptions.UnknownType) as trouble:
            return f"it can't be checked: {type(trouble).__name__}"
        except Exception as trouble:  # noqa: BLE001 - a reference that leads nowhere has no class of its own
            return f"the schema can't be followed: {trouble}"[:REASON_CHARS]
        return None if error is None else said(error)

    return check


def said(error: Any) -> str:
    place = ".".join(map(str, error.absolute_path))
    return f"{f'{place}: ' if place else ''}{error.message}"[:REASON_CHARS]


def written(schema: Mapping[str, Any]) -> str:
    try:
        return json.dumps(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the schema is no JSON: {error}") from error


def keys_in(schema: Any) -> Iterator[str]:
    """The keys of all objects in it, in any depth, but for names of properties."""
    waiting = [(schema, True)]
    while waiting:
        value, keywords = waiting.pop()
        if isinstance(value, Mapping):
            yield from (str(key) for key in value if keywords)
            waiting += [(inner, not (keywords and key == "properties")) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(inner, True) for inner in value]
