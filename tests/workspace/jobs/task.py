"""The process of a task: reads its order, runs a notebook or a script, writes a verdict.

Run as `python -m tests.workspace.jobs.task order.json`.
"""

import ast
import json
import linecache
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.workspace.jobs.dbutils import DbUtils, NotebookExit
from tests.workspace.jobs.notebook import Cell, cells

_IGNORED = {"pip": "packages are those of the stand-in's own environment", "md": "", "restart_python": ""}


class Names(dict[str, Any]):
    """A notebook's globals; the first use of `spark` connects it."""

    def __missing__(self, name: str) -> Any:
        if name != "spark":
            raise KeyError(name)
        from databricks.connect import DatabricksSession

        self["spark"] = DatabricksSession.builder.remote(os.environ["SPARK_REMOTE"]).getOrCreate()
        return self["spark"]


class Runner:
    """Runs the cells of one notebook, and of those that it calls."""

    def __init__(self, place: Path, path: str, parameters: dict[str, str]) -> None:
        self._place = place
        self._path = path
        self.names = Names(__name__="__main__", display=display, displayHTML=print)
        self.names["dbutils"] = DbUtils(parameters, self._call)
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
        elif cell.kind in _IGNORED:
            note = _IGNORED[cell.kind]
            if note:
                print(f"%{cell.kind} is ignored: {note}")
        else:
            raise NotImplementedError(f"the stand-in workspace does not cover %{cell.kind} (cell {cell.number})")

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
        return Runner(place, path, arguments).run() or ""

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


def carry_out(order: dict[str, Any]) -> str | None:
    """Do what the order says; a notebook's exit value."""
    if "notebook" in order:
        sys.path.insert(0, str(Path(order["notebook"]).parent))
        return Runner(Path(order["notebook"]), order["path"], order["widgets"]).run()
    sys.argv = [order["script"], *order["arguments"]]
    sys.path.insert(0, str(Path(order["script"]).parent))
    runpy.run_path(order["script"], run_name="__main__")
    return None


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
    order = json.loads(Path(sys.argv[1]).read_text())
    done = verdict(order)
    Path(order["verdict"]).write_text(json.dumps(done))
    sys.stdout.flush()
    return 1 if done.get("error") else 0


if __name__ == "__main__":
    sys.exit(main())
