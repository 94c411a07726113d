"""`dbutils` in a job: widgets, notebooks, task values are here; secrets and files are the SDK's, that is by REST."""

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

VALUE_LIMIT = 48 * 1024


class NotebookExit(Exception):
    """`dbutils.notebook.exit(value)`."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


class InputWidgetNotDefined(ValueError):
    """A widget that nobody made and that no parameter names."""


class Widgets:
    """A job's parameters win over a widget's default."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = dict(parameters)
        self._defaults: dict[str, str] = {}

    def text(self, name: str, defaultValue: str = "", label: str | None = None) -> None:  # noqa: N803
        """A text box."""
        self._defaults.setdefault(name, defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: list[str], label: str | None = None) -> None:  # noqa: N803
        """A choice."""
        self._defaults.setdefault(name, defaultValue)

    combobox = dropdown
    multiselect = dropdown

    def get(self, name: str) -> str:
        """A value: the parameter, else the default."""
        if name in self._parameters:
            return self._parameters[name]
        if name in self._defaults:
            return self._defaults[name]
        raise InputWidgetNotDefined(f"No input widget named {name} is defined")

    def getArgument(self, name: str, defaultValue: str = "") -> str:  # noqa: N802, N803
        """A value, or a default."""
        return self.getAll().get(name, defaultValue)

    def getAll(self) -> dict[str, str]:  # noqa: N802
        """All values."""
        return {**self._defaults, **self._parameters}

    def remove(self, name: str) -> None:
        """A widget goes."""
        self._defaults.pop(name, None)

    def removeAll(self) -> None:  # noqa: N802
        """All widgets go."""
        self._defaults.clear()


class Notebooks:
    """`dbutils.notebook`."""

    def __init__(self, run: Callable[[str, dict[str, str]], str]) -> None:
        self._run = run

    def exit(self, value: object = "") -> None:
        """End the notebook with a value."""
        raise NotebookExit(str(value))

    def run(self, path: str, timeout_seconds: int = 0, arguments: dict[str, str] | None = None) -> str:
        """Run another notebook with names of its own; what it exits with. The time limit is not enforced."""
        return self._run(path, arguments or {})


class TaskValues:
    """`dbutils.jobs.taskValues`: what tasks of one run leave for each other, in a file each."""

    def __init__(self, directory: Path, task: str) -> None:
        self._directory = directory
        self._task = task

    def set(self, key: str, value: Any) -> None:
        """Leave a value, of at most 48 KiB as JSON."""
        if len(json.dumps(value)) > VALUE_LIMIT:
            raise ValueError(f"The task value {key} exceeds the limit of 48 KiB.")
        file = self._directory / f"{_checked(self._task)}.json"
        known = {**self._read(self._task), key: value}
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(known))
        fresh.replace(file)

    def get(self, taskKey: str, key: str, default: Any = None, debugValue: Any = None) -> Any:  # noqa: N803
        """A value that a task before this one left."""
        found = self._read(taskKey)
        if key in found:
            return found[key]
        if default is None:
            raise ValueError(f"Task value with task key {taskKey} and key {key} is not found, and there is no default.")
        return default

    def _read(self, task: str) -> dict[str, Any]:
        file = self._directory / f"{_checked(task)}.json"
        return json.loads(file.read_text()) if file.exists() else {}


def _checked(task: str) -> str:
    if not re.fullmatch(r"[\w-]{1,100}", task):
        raise ValueError(f"{task!r} is not a task key")
    return task


class JobUtils:
    """`dbutils.jobs`."""

    def __init__(self, values: TaskValues) -> None:
        self.taskValues = values


class DbUtils:
    """The object of that name in a notebook."""

    def __init__(
        self, parameters: Mapping[str, str], run: Callable[[str, dict[str, str]], str], values: TaskValues
    ) -> None:
        self.widgets = Widgets(parameters)
        self.notebook = Notebooks(run)
        self.jobs = JobUtils(values)

    @cached_property
    def _remote(self) -> Any:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.dbutils import RemoteDbUtils

        return RemoteDbUtils(WorkspaceClient().config)

    @property
    def secrets(self) -> Any:
        """`dbutils.secrets`."""
        return self._remote.secrets

    @property
    def fs(self) -> Any:
        """`dbutils.fs`."""
        return self._remote.fs
