"""The process of a task: reads its order from standard input, runs a notebook, a script or a wheel, writes a verdict.

Run as `python -m dbruntime.task` in the task's environment.
"""

import ast
import importlib
import importlib.metadata
import json
import linecache
import os
import runpy
import shlex
import sys
import traceback
from pathlib import Path
from typing import Any

from . import UserNamespaceInitializer, sdk_credential_provider, spark
from .dbutils import DbUtils, NotebookExit, TaskValues
from .notebook import Cell, cells


class Names(dict[str, Any]):
    """A notebook's globals; the first use of `spark` connects it."""

    def __missing__(self, name: str) -> Any:
        if name != "spark":
            raise KeyError(name)
        self["spark"] = spark.session()
        return self["spark"]


class Runner:
    """Runs the cells of one notebook, and of those that it calls."""

    def __init__(self, place: Path, path: str, parameters: dict[str, str], order: dict[str, Any]) -> None:
        self._place = place
        self._path = path
        self._order = order
        self.names = Names(__name__="__main__", display=display, displayHTML=print)
        self.names["dbutils"] = dbutils(order, parameters, self._call)
        self.names["getArgument"] = self.names["dbutils"].widgets.getArgument

    def run(self) -> str | None:
        """Run all cells; what the notebook exits with, if it does."""
        try:
            self._cells(self._place, self._path)
        except NotebookExit as end:
            return end.value
        return None

    def _cells(self, place: Path, path: str) -> None:
        source = place.read_text()
        default = "sql" if source.startswith("-- ") else "python"
        for cell in cells(source, default=default):
            self._cell(cell, path)

    def _cell(self, cell: Cell, path: str) -> None:
        if cell.kind == "python":
            self._python(cell, path)
        elif cell.kind == "sql":
            self._sql(cell.text)
        elif cell.kind == "run":
            target = cell.text.split()[0].strip("\"'")
            place, name = self._find(target)
            self._cells(place, name)
        elif cell.kind == "pip":
            self._pip(cell)
        elif cell.kind not in ("md", "restart_python"):
            raise NotImplementedError(f"the stand-in workspace does not cover %{cell.kind} (cell {cell.number})")

    def _pip(self, cell: Cell) -> None:
        """`%pip install`: what is installed already is, anything else fails. Wheels belong into the environment."""
        words = shlex.split(cell.text)
        for wanted in (word for word in words[1:] if not word.startswith("-")):
            name = wanted.split("[")[0].split("=")[0].split("<")[0].split(">")[0].split("~")[0].strip()
            try:
                print(f"Requirement already satisfied: {wanted} ({importlib.metadata.version(name)})")
            except importlib.metadata.PackageNotFoundError:
                message = f"the stand-in workspace does not cover %pip install of what the environment lacks: {wanted}"
                raise NotImplementedError(message) from None

    def _python(self, cell: Cell, path: str) -> None:
        name = f"<{path} cell {cell.number}>"
        linecache.cache[name] = (len(cell.text), None, cell.text.splitlines(keepends=True), name)
        tree = ast.parse(cell.text, name)
        exec(compile(tree, name, "exec"), self.names)

    def _sql(self, text: str) -> None:
        frame = None
        for statement in (part.strip() for part in text.split(";\n")):
            if statement:
                frame = self.names["spark"].sql(statement.rstrip(";"))
        if frame is not None:
            self.names["_sqldf"] = frame
            display(frame)

    def _call(self, target: str, arguments: dict[str, str]) -> str:
        place, path = self._find(target)
        return Runner(place, path, arguments, self._order).run() or ""

    def _find(self, target: str) -> tuple[Path, str]:
        """A notebook named by an absolute path or relative to this one."""
        path = target if target.startswith("/") else os.path.normpath(f"{Path(self._path).parent}/{target}")
        root = self._place.parents[len(Path(self._path.removeprefix("/Workspace")).parts) - 2]
        place = root / path.removeprefix("/Workspace").lstrip("/")
        if not place.is_file():
            raise FileNotFoundError(f"Notebook not found: {path}")
        return place, path


def display(value: object = None, *_: object, **__: object) -> None:
    """Show a frame's first rows, or anything else as it prints."""
    if hasattr(value, "toPandas"):
        value = value.limit(1000).toPandas()  # type: ignore[attr-defined]
    print(value)


def dbutils(order: dict[str, Any], parameters: dict[str, str], call: Any) -> DbUtils:
    """A task's `dbutils`."""
    return DbUtils(parameters, call, TaskValues(Path(order["values"]), order["task_key"]))


def carry_out(order: dict[str, Any]) -> str | None:
    """Do what the order says; a notebook's exit value."""
    if "notebook" in order:
        sys.path.insert(0, str(Path(order["notebook"]).parent))
        runner = Runner(Path(order["notebook"]), order["path"], order["widgets"], order)
        offer(runner.names["dbutils"])
        return runner.run()
    offer(dbutils(order, order.get("named") or {}, None))
    if "wheel" in order:
        sys.argv = [order["wheel"], *order["arguments"], *(f"--{key}={value}" for key, value in order["named"].items())]
        returned = entry_point(order["wheel"], order["entry_point"])()
        return sys.exit(returned) if isinstance(returned, int) and returned else None
    sys.argv = [order["script"], *order["arguments"]]
    sys.path.insert(0, str(Path(order["script"]).parent))
    runpy.run_path(order["script"], run_name="__main__")
    return None


def offer(utilities: DbUtils) -> None:
    """What `from databricks.sdk.runtime import …` finds."""
    UserNamespaceInitializer.names |= {
        "dbutils": utilities,
        "spark": spark.Spark(),
        "display": display,
        "displayHTML": print,
        "getArgument": utilities.widgets.getArgument,
    }


def entry_point(package: str, name: str) -> Any:
    """A wheel's entry point by its name, else the package's function of that name."""
    found = importlib.metadata.distribution(package).entry_points
    named = [
        point for point in found if point.name == name and point.group in ("console_scripts", "group_1", "packages")
    ]
    if named:
        return named[0].load()
    return getattr(importlib.import_module(package.replace("-", "_")), name)


def verdict(order: dict[str, Any]) -> dict[str, str | None]:
    """How it ended. `sys.exit(0)` is success."""
    try:
        return {"result": carry_out(order)}
    except SystemExit as end:
        if end.code in (None, 0):
            return {"result": None}
        return {"error": f"SystemExit: {end.code}", "trace": traceback.format_exc()}
    except BaseException as error:  # noqa: BLE001 - the edge: whatever the user's code raises is its result
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}


def main() -> int:
    """The entry."""
    order = json.load(sys.stdin)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sdk_credential_provider.sign_in = sdk_credential_provider.SignIn(order["host"], order["token"])
    spark.connect_to(order["spark"])
    done = verdict(order)
    Path(order["verdict"]).write_text(json.dumps(done))
    sys.stdout.flush()
    return 1 if done.get("error") else 0


if __name__ == "__main__":
    sys.exit(main())
