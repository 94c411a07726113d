"""The process of one local job: a notebook run from top to bottom, detached from whoever started it.

Run by path as `python -I job_process.py FOLDER`; it needs the standard library only. The folder's `job.json` says what
to run. The process holds a lock on `lock` as long as it lives, and keeps `state.json` true: RUNNING, then TERMINATED
with SUCCESS or FAILED and the result.
"""

from __future__ import annotations

import ast
import fcntl
import json
import linecache
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HEADER = "# Databricks notebook source"
SEPARATOR = re.compile(r"^# COMMAND -{10}\s*$", re.M)
MAGIC = re.compile(r"^# MAGIC ?", re.M)
LOCK_SECONDS = 5.0
RESULT_CHARS = 1_000_000
SKIPPED = ("md", "pip", "sh", "fs", "scala", "r")


class NotebookExit(BaseException):
    """Raised by dbutils.notebook.exit; no `except Exception` of the notebook catches it."""


def cells(source: str, is_ipynb: bool) -> list[str]:
    """The code of a notebook, cell by cell; Markdown cells of a source notebook come as `%md`."""
    if is_ipynb:
        found = (cell for cell in json.loads(source)["cells"] if cell["cell_type"] in ("code", "markdown"))
        return [("%md\n" if cell["cell_type"] == "markdown" else "") + "".join(cell["source"]) for cell in found]
    parts = SEPARATOR.split(source.removeprefix(HEADER))
    return [uncomment(part.strip("\n")) for part in parts if part.strip()]


def uncomment(cell: str) -> str:
    """`# MAGIC %sql` is how source notebooks write `%sql`."""
    lines = [line for line in cell.split("\n") if not line.startswith("# DBTITLE")]
    text = "\n".join(lines).strip("\n")
    return MAGIC.sub("", text) if text.startswith("# MAGIC") else text


def magic(cell: str) -> tuple[str, str] | None:
    """The magic's name and what follows it; None for Python."""
    found = re.match(r"\s*%(\w+)[ \t]*", cell)
    return (found.group(1), cell[found.end() :].strip()) if found else None


class Widgets:
    """`dbutils.widgets`: what the job was given, else the notebook's defaults."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = dict(given)
        self._defaults: dict[str, str] = {}

    def text(self, name: str, defaultValue: str = "", label: str | None = None) -> None:  # noqa: N803
        self._defaults.setdefault(name, defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: Any = (), label: str | None = None) -> None:  # noqa: N803
        self.text(name, defaultValue)

    combobox = multiselect = dropdown

    def get(self, name: str) -> str:
        if name in self._given or name in self._defaults:
            return self._given.get(name, self._defaults.get(name, ""))
        raise ValueError(f"InputWidgetNotDefined: no input widget named {name} is defined")

    def getAll(self) -> dict[str, str]:  # noqa: N802
        return {**self._defaults, **self._given}

    def remove(self, name: str) -> None:
        self._defaults.pop(name, None)

    def removeAll(self) -> None:  # noqa: N802
        self._defaults.clear()


def leave(value: Any = "") -> None:
    raise NotebookExit(str(value))


def opener(job: Mapping[str, Any]) -> Callable[..., Any]:
    """`execute_sql` over the warehouse of whoever started the job, opened when it is first asked."""
    opened: list[Any] = []

    def execute_sql(sql: str, as_pandas: bool = False, preview_rows: int = 20, **place: Any) -> Any:
        if not opened:
            sys.path.insert(0, job["root"])
            from agent.data.warehouse import open_warehouse

            data = job["data"]
            paths = [Path(path) for path in data["paths"]]
            opened.append(open_warehouse(Path(data["home"]), data["sample"], paths))
        return preview(opened[0].query(sql, **place), as_pandas, preview_rows)

    return execute_sql


def preview(table: Any, as_pandas: bool, preview_rows: int) -> Any:
    rows = list(zip(*(column.to_pylist() for column in table.slice(0, preview_rows).columns), strict=True))
    return SimpleNamespace(
        columns=list(table.column_names),
        rows=rows,
        df=table.to_pandas(date_as_object=False) if as_pandas else None,
        truncated=table.num_rows > len(rows),
        row_count=table.num_rows,
        statement_id=None,
    )


def run(job: Mapping[str, Any]) -> str | None:
    """Run every cell; the value is what the notebook exits with, else its last expression's."""
    path = Path(job["notebook"])
    names = namespace(job)
    value: Any = None
    try:
        for number, cell in enumerate(cells(path.read_text(encoding="utf-8"), path.suffix == ".ipynb"), 1):
            value = run_cell(cell, f"<cell {number}>", names, value)
    except NotebookExit as exited:
        return str(exited)
    return None if value is None else str(value)


def namespace(job: Mapping[str, Any]) -> dict[str, Any]:
    notebook = SimpleNamespace(exit=leave)
    dbutils = SimpleNamespace(widgets=Widgets(job["parameters"]), notebook=notebook)
    names = {"__name__": "__main__", "dbutils": dbutils, "display": print}
    return names | {"run_id": job["run_id"], "execute_sql": opener(job)}


def run_cell(cell: str, name: str, names: dict[str, Any], before: Any) -> Any:
    special = magic(cell)
    if special is None:
        return run_python(cell, name, names, before)
    kind, body = special
    if kind == "sql":
        found = names["execute_sql"](body.rstrip("; \n"), as_pandas=True).df
        sys.stdout.write(f"{found.to_string()}\n")
        return found
    if kind == "python":
        return run_python(body, name, names, before)
    if kind not in SKIPPED:
        raise NotImplementedError(f"%{kind} is not known here")
    return before


def run_python(code: str, name: str, names: dict[str, Any], before: Any) -> Any:
    """Run statements, and give the value of a last expression."""
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)
    tree = ast.parse(code, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)  # noqa: S102
    if not isinstance(last, ast.Expr):
        return before
    value = eval(compile(ast.Expression(last.value), name, "eval"), names)  # noqa: S307
    return before if value is None else value


def write_state(folder: Path, **state: Any) -> None:
    """Replace the state in one step, so that a reader sees the old or the new."""
    written = folder / f".state-{os.getpid()}"
    written.write_text(json.dumps(state), encoding="utf-8")
    written.replace(folder / "state.json")


def outcome(job: Mapping[str, Any]) -> dict[str, Any]:
    try:
        result = run(job)
    except SystemExit as left:
        ended = left.code in (None, 0)
        return {
            "result_state": "SUCCESS" if ended else "FAILED",
            "error": None if ended else f"SystemExit: {left.code}",
        }
    except BaseException as error:  # noqa: BLE001 - the edge of the job: whatever the notebook raises is its outcome
        traceback.print_exc()
        return {"result_state": "FAILED", "error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    cut = result is not None and len(result) > RESULT_CHARS
    return {"result_state": "SUCCESS", "result": result and result[:RESULT_CHARS], "result_truncated": cut}


def work(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    started = {"pid": os.getpid(), "start_time": int(time.time() * 1000)}
    write_state(folder, life_cycle_state="RUNNING", **started)
    ended = outcome(job)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    write_state(folder, life_cycle_state="TERMINATED", **started, **ended, end_time=int(time.time() * 1000))


def try_lock(folder: Path) -> bool:
    """Hold the lock for the rest of this process; False when another process runs the job, or has run it.

    Who only looks whether the job is alive holds the lock for a moment, too.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < until and not (folder / "state.json").exists():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        return not (folder / "state.json").exists()
    return False


def detach(folder: Path) -> None:
    """Go on in a session of its own, with output in files. The parent, which has the lock already, returns at once."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir(folder)
    for name, number in (("stdout.txt", 1), ("stderr.txt", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)


def main(folder: Path) -> None:
    """A job is run once: when it runs already, or has run, nothing is done."""
    if try_lock(folder):
        detach(folder)
        work(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
