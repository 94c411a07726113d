"""Reading a YAML file of settings. Values stay texts, since the key's type says what they mean: `0123` may be an id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.settings.error import SettingsError
from agent.settings.keys import Given, Key, flatten

if TYPE_CHECKING:
    from yaml import Node

NULL = "tag:yaml.org,2002:null"
DEEPEST = 8


def read_file(path: Path, keys: Mapping[str, Key]) -> list[Given]:
    """What the file gives. Raises SettingsError with file and line for what can't be read."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: there is no such file; check --config") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not a text in UTF-8") from error
    except OSError as error:
        raise SettingsError(f"{path}: can't be read ({error.strerror})") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsError(f"{path} line {line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        raise SettingsError(f"{path} line {node.start_mark.line + 1}: must hold keys and values, as in `mode: local`")
    lines: dict[str, int] = {}
    values = dict(entries(node, "", path, lines))
    return list(flatten(values, keys, lambda key: f"{path.name} line {lines[key]}"))


def entries(node: Any, prefix: str, path: Path, lines: dict[str, int]) -> Iterator[tuple[str, Any]]:
    """A mapping's entries, noting the line of each. Raises SettingsError for a key that is there twice."""
    for name, value in node.value:
        key, line = f"{prefix}{name.value}", name.start_mark.line + 1
        if key in lines:
            raise SettingsError(f"{path.name} line {line}: {key} is there twice (first in line {lines[key]})")
        if key.count(".") > DEEPEST:
            raise SettingsError(f"{path.name} line {line}: nested too deeply")
        lines[key] = line
        if value.id == "mapping":
            yield str(name.value), dict(entries(value, f"{key}.", path, lines))
        elif value.id == "sequence":
            yield str(name.value), [text_of(item, key, f"{path.name} line {line}") for item in value.value]
        else:
            yield str(name.value), text_of(value, key, f"{path.name} line {line}")


def text_of(node: Node, key: str, where: str) -> str | None:
    if node.id != "scalar":  # type: ignore[attr-defined]
        raise SettingsError(f"{where}: {key} may be a list of plain values only")
    return None if node.tag == NULL else str(node.value)
