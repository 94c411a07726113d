"""Parameters of a statement."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """A parameter as both protocols carry it: a name (None: positional), a type, a value (None: null)."""

    name: str | None
    type: str
    value: str | None
