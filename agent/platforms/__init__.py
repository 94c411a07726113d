"""All that a mode chooses: one package a mode, with `open_stores` and `open_parts` of the same shape."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.platforms.checks import Check
    from agent.platforms.parts import Given, Parts, Stores

PLATFORMS = {"local": "agent.platforms.local", "databricks": "agent.platforms.databricks"}


def platform_of(settings: Settings) -> Any:
    """The mode's package. Raises InvalidRequest for a mode that is not built."""
    if settings.mode not in PLATFORMS:
        raise InvalidRequest(f"mode is {settings.mode}, and running there is not built yet: set mode to local.")
    return import_module(PLATFORMS[settings.mode])


def checks_of(settings: Settings) -> tuple[Check, ...]:
    """What `doctor` looks at: the CHECKS of the mode's module `checks`. Raises InvalidRequest for an unknown mode."""
    checks: tuple[Check, ...] = import_module(f"{platform_of(settings).__name__}.checks").CHECKS
    return checks


def open_stores(settings: Settings, given: Given, stack: ExitStack) -> Stores:
    """What survives, without a model or data; `stack` closes it. Raises AgentError or StoreError."""
    stores: Stores = platform_of(settings).open_stores(settings, given, stack)
    return stores


def open_parts(settings: Settings, given: Given, stack: ExitStack) -> Parts:
    """Every part; `stack` closes them in reverse. Raises AgentError or StoreError, which name what to change."""
    parts: Parts = platform_of(settings).open_parts(settings, given, stack)
    return parts
