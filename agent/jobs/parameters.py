"""A job's parameters: widgets of a notebook, or flags and variables of a command; the same names in both."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.config import Settings

PACKAGED = Path(__file__).parents[1] / "config.yaml"
CHECKOUT = Path(__file__).parents[2] / "config.yaml"


@dataclass(frozen=True)
class Parameter:
    """`name` is the widget's and the variable's, `default` what the job has when nobody says otherwise."""

    name: str
    meaning: str
    default: str = ""
    flag: str | None = None
    switch: bool = False


CONFIG = Parameter("CONFIG", "file of settings, such as /Volumes/main/agent/files/config.yaml", flag="--config")

Values = Mapping[str, str]


def read_command(program: str, parameters: Sequence[Parameter], arguments: Sequence[str] | None = None) -> Values:
    """Flags before variables before defaults; ends the process on a flag that there is not, as argparse does."""
    parser = argparse.ArgumentParser(program)
    for one in parameters:
        if one.switch:
            parser.add_argument(str(one.flag), dest=one.name, action="store_const", const="true", help=one.meaning)
        elif one.flag:
            parser.add_argument(one.flag, dest=one.name, metavar=one.name, help=one.meaning)
    said = vars(parser.parse_args(arguments))
    return {one.name: said.get(one.name) or os.environ.get(one.name, "") for one in parameters}


def complete(parameters: Sequence[Parameter], given: Values) -> dict[str, str]:
    """Every parameter's value without blanks around it. Raises InvalidRequest for one that there is not."""
    known = {one.name: one for one in parameters}
    if strange := sorted(given.keys() - known.keys()):
        raise InvalidRequest(f"there is no parameter {strange[0]}; there are {', '.join(known)}.")
    return {name: (given.get(name) or "").strip() or one.default for name, one in known.items()}


def load(given: Values) -> Settings:
    """The settings in force for a job: its ADK_… parameters stand above its variables, and those above its file.

    Raises SettingsError.
    """
    from agent.config import load_settings

    adk = {name: value for name, value in given.items() if name.startswith("ADK_") and value}
    return load_settings(find_config(given.get("CONFIG")), {**os.environ, **adk}, {}).settings


def find_config(named: str | None) -> Path | None:
    """The file that is named, else the checkout's or the wheel's. Raises InvalidRequest when it is not there."""
    if named:
        file = Path(named)
        if not file.is_file():
            raise InvalidRequest(f"CONFIG names {named}, and there is no such file that this job may read.")
        return file
    return next((file for file in (CHECKOUT, PACKAGED) if file.exists()), None)
