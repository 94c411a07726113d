"""What stands on the command line for all commands, and the settings that follow from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.settings.error import SettingsError

if TYPE_CHECKING:
    from agent.config import Loaded
    from agent.settings.keys import Given

ROOT = Path(__file__).parents[2]
PACKAGED = Path(__file__).parents[1] / "config.yaml"
"""The default settings that the wheel carries; a checkout has them at its root."""


@dataclass(frozen=True)
class Options:
    """The options that may stand before or after any command."""

    thread: str | None = None
    last: bool = False
    data: tuple[Path, ...] = ()
    text: Path | None = None
    model: str | None = None
    config: Path | None = None
    env_file: Path | None = None
    set: tuple[str, ...] = ()
    json: bool = False
    json_events: bool = False
    quiet: bool = False
    schema: Path | None = None


def load(options: Options) -> Loaded:
    """The settings in force; what `.env` says is put into the environment, where libraries look for keys.

    Raises SettingsError.
    """
    from dotenv import dotenv_values

    from agent.config import load_settings

    default = ROOT / "config.yaml"
    file = options.config or (default if default.exists() else PACKAGED)
    env_file = options.env_file or (ROOT if default.exists() else Path.cwd()) / ".env"
    if options.env_file is not None and not env_file.exists():
        raise SettingsError(f"{env_file}: there is no such file; check --env-file")
    dotenv = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    environment = dict(os.environ)
    loaded = load_settings(
        file if options.config or file.exists() else None, environment, overrides(options), dotenv=dotenv
    )
    for name, value in dotenv.items():
        os.environ.setdefault(name, value)
    return loaded


def overrides(options: Options) -> dict[str, Any]:
    """The options as keys. Your own data stands instead of the sample."""
    from agent.settings.keys import Given

    given = [pair(text) for text in options.set]
    if options.model:
        given.append(Given("base_model.name", options.model, "--model"))
    if options.data or options.text:
        given.append(Given("data.sample", False, "--data" if options.data else "--text"))
    if options.data:
        given.append(Given("data.paths", options.data, "--data"))
    if options.text:
        given.append(Given("data.text", options.text, "--text"))
    return {one.key: one for one in given}


def pair(text: str) -> Given:
    from agent.config import settings_keys
    from agent.settings.keys import Given, suggestion

    key, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: write it as KEY=VALUE, such as limits.max_iterations=3")
    if key not in settings_keys():
        raise SettingsError(f"--set {key}: there is no such setting; {suggestion(key, settings_keys())}")
    return Given(key, value, f"--set {key}")
