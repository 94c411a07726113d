"""`dbutils` in a job: widgets and notebooks here, secrets and files through the SDK's own, that is by REST."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any


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


class DbUtils:
    """The object of that name in a notebook."""

    def __init__(self, parameters: Mapping[str, str], run: Callable[[str, dict[str, str]], str]) -> None:
        self.widgets = Widgets(parameters)
        self.notebook = Notebooks(run)

    @cached_property
    def _remote(self) -> Any:
        from databricks.sdk import WorkspaceClient

        return WorkspaceClient().dbutils

    @property
    def secrets(self) -> Any:
        """`dbutils.secrets`."""
        return self._remote.secrets

    @property
    def fs(self) -> Any:
        """`dbutils.fs`."""
        return self._remote.fs
