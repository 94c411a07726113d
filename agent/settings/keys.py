"""The keys of the settings by dotted name: what each takes, and what was given for it where."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from agent.settings.error import SettingsError

NEAR = 0.6
SHOWN_CHARS = 40
NOTHING = ("null", "none")

Count = Annotated[int, Field(ge=1, description="a whole number, at least 1")]
Number = Annotated[int, Field(ge=0, description="a whole number, at least 0")]
Port = Annotated[int, Field(ge=0, le=65535, description="a port, 0 to 65535 (0 takes a free one)")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, description="seconds, more than 0")]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False, description="US dollars, at least 0")]
Warmth = Annotated[float, Field(ge=0, le=2, description="a number from 0 to 2")]
VariableName = Annotated[
    str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$", description="the name of an environment variable in capitals")
]

PLAIN = {str: "text", bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}


@dataclass(frozen=True)
class Key:
    """One setting. `kind` is its type without None; `optional` keys may be None, said as null or none."""

    name: str
    kind: Any
    optional: bool
    default: Any

    def parse(self, given: Given) -> Any:
        """The value, typed. Raises SettingsError; the value is quoted only where it can't be a secret."""
        value = given.value
        if self.optional and (value is None or (isinstance(value, str) and value.strip().lower() in NOTHING)):
            return None
        try:
            return TypeAdapter(self.kind).validate_python(self._prepared(value))
        except (ValidationError, ValueError) as error:
            raise SettingsError(f"{given.where}: {self.name} must be {self.may_be}{self._quoted(value)}") from error

    @property
    def may_be(self) -> str:
        return describe_kind(self.kind) + (", or null" if self.optional else "")

    def _prepared(self, value: Any) -> Any:
        if isinstance(value, bool) and self._base is not bool:
            raise ValueError("a boolean is no number")
        if self._base is tuple and isinstance(value, str):
            return items(value)
        if self._base is str and isinstance(value, int | float):
            return str(value)
        return value

    @property
    def _base(self) -> Any:
        kind = get_args(self.kind)[0] if get_origin(self.kind) is Annotated else self.kind
        return get_origin(kind) or kind

    def _quoted(self, value: Any) -> str:
        return "" if self._base is str else f", not {str(value)[:SHOWN_CHARS]!r}"


@dataclass(frozen=True)
class Given:
    """What someone gave for a key; `where` says who, for people: `config.yaml line 3`, `RLM_MODE`, `--model`."""

    key: str
    value: Any
    where: str

    @property
    def empty(self) -> bool:
        return isinstance(self.value, str) and not self.value.strip()


def keys_of(model: type[BaseModel], kinds: Mapping[str, Any], prefix: str = "") -> Iterator[Key]:
    """All keys of a model and its sections. `kinds` narrows the types of keys whose class can't say so itself."""
    for name, annotation, default in members(model):
        kind, optional = without_none(annotation)
        if is_section(kind):
            yield from keys_of(kind, kinds, f"{prefix}{name}.")
        else:
            yield Key(f"{prefix}{name}", kinds.get(f"{prefix}{name}", kind), optional, default)


def members(section: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name (as it is written in files), type and default of a section's fields."""
    if is_dataclass(section):
        hints = get_type_hints(section)
        yield from ((one.name, hints[one.name], one.default) for one in fields(section))
    else:
        for name, one in section.model_fields.items():
            checks = (*one.metadata, Field(description=one.description))
            kind = Annotated[one.annotation, *checks] if one.metadata else one.annotation
            yield one.alias or name, kind, one.default


def is_section(kind: Any) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, BaseModel))


def without_none(annotation: Any) -> tuple[Any, bool]:
    kinds = get_args(annotation)
    if NoneType not in kinds or get_origin(annotation) is Annotated:
        return annotation, False
    (kind,) = (one for one in kinds if one is not NoneType)
    return kind, True


def describe_kind(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        base, *about = get_args(kind)
        return next((one.description for one in about if getattr(one, "description", None)), describe_kind(base))
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "a list (in variables: with commas between, or JSON)"
    return PLAIN[kind]


def items(text: str) -> list[Any]:
    """A list in a text: JSON when it starts with a bracket, else with commas between."""
    if not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError("no list")
    return found


def flatten(
    given: Mapping[str, Any], keys: Mapping[str, Key], where: Callable[[str], str], prefix: str = ""
) -> Iterator[Given]:
    """The given keys by dotted name, nested or already dotted. Empty texts and empty sections are not given.

    Raises SettingsError for a key that does not exist and for a section that is no mapping.
    """
    for name, value in given.items():
        key = f"{prefix}{name}"
        if key in keys:
            yield from flatten_value(Given(key, value, where(key)), keys[key])
        elif members := [known for known in keys if known.startswith(f"{key}.")]:
            if isinstance(value, Mapping):
                yield from flatten(value, keys, where, f"{key}.")
            elif value not in (None, ""):
                raise SettingsError(f"{where(key)}: {key} is a section; set {', '.join(members)}")
        else:
            raise SettingsError(f"{where(key)}: there is no setting {key}; {suggestion(key, keys)}")


def flatten_value(given: Given, key: Key) -> Iterator[Given]:
    if not given.empty and (given.value is not None or key.optional):
        yield given


def suggestion(key: str, known: Sequence[str] | Mapping[str, Any], shown: Callable[[str], str] = str) -> str:
    """The nearest known key, or the keys there are at the same place."""
    if near := nearest(key, list(known)):
        return f"did you mean {shown(near)}?"
    section = key.rpartition(".")[0]
    neighbours = [name for name in known if name.rpartition(".")[0] == section] or list(known)
    return "known are " + ", ".join(map(shown, neighbours))


def nearest(key: str, known: Sequence[str]) -> str | None:
    """By the whole name, or a little less by its last part: `max_iterations` is near `limits.max_iterations`."""

    def likeness(name: str) -> float:
        whole = SequenceMatcher(None, key, name).ratio()
        last = SequenceMatcher(None, key.rpartition(".")[2], name.rpartition(".")[2]).ratio()
        return max(whole, 0.95 * last)

    best = max(known, key=likeness, default=None)
    return best if best is not None and likeness(best) >= NEAR else None
