"""One artifact run in the notebook's own process, because `spark` reaches no child of it."""

from __future__ import annotations

import builtins
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import Any

from agent.artifacts.notebook import Page, render
from agent.execution.inside.figures import ALBUM
from agent.execution.inside.harness import SHOWN, Job, Record, complete, execute, save_figures
from agent.execution.inside.namespace import Place, names
from agent.execution.job.courier import Courier, start_courier
from agent.execution.job.order import ORDER, STARTED, Order, read_order
from agent.execution.job.sql import JobLine
from agent.execution.job.watchdog import Watchdog
from agent.execution.preview import preview
from graph.types import ExecutionResult

RESULT, NOTEBOOK = "result.json", "notebook.ipynb"


@dataclass(frozen=True)
class Parameters:
    """The job's parameters."""

    artifact_path: str
    run_id: str
    iteration: int
    catalog: str | None
    schema: str | None

    @property
    def folder(self) -> Path:
        return Path(self.artifact_path).parent


def read_parameters(given: Mapping[str, str]) -> Parameters:
    return Parameters(
        given["ARTIFACT_PATH"],
        given["RUN_ID"],
        int(given["ITERATION"] or 0),
        given.get("catalog") or None,
        given.get("schema") or None,
    )


def run_artifact(given: Mapping[str, str], spark: Any) -> str:
    """Run the artifact that the parameters name and leave `result.json` beside it; what the notebook exits with.

    Code that fails is a result like any other. An artifact that was begun before is not run again.
    """
    parameters = read_parameters(given)
    folder = parameters.folder
    if not begin(folder, parameters.run_id):
        return json.dumps({"status": "refused", "reason": f"{STARTED} is there: this artifact was begun before"})
    mark(f"===RLM_EXEC_START artifact_id={folder.name}===")
    result = Executed(parameters, read_order((folder / ORDER).read_text("utf-8")), spark).run()
    mark(f"===RLM_EXEC_END artifact_id={folder.name} status={result.status}===")
    return json.dumps({"status": result.status, "run_id": result.run_id, "error": result.error})


def begin(folder: Path, run_id: str) -> bool:
    """Whether this is the first to begin."""
    started = {"run_id": run_id, "time": datetime.now(UTC).isoformat()}
    try:
        with (folder / STARTED).open("x") as file:
            json.dump(started, file)
    except FileExistsError:
        return False
    return True


def mark(marker: str) -> None:
    """For readers of the job's log; nothing is decided by it."""
    sys.stdout.write(f"{datetime.now(UTC).isoformat()} {marker}\n")


class Executed:
    """One run from its start to its result."""

    def __init__(self, parameters: Parameters, order: Order, spark: Any) -> None:
        self._parameters, self._order, self._spark = parameters, order, spark
        self._folder = parameters.folder
        self._scratch = Path(tempfile.mkdtemp(prefix="run-"))
        self._started = datetime.now(UTC)
        self._writing = threading.Lock()
        self._result: ExecutionResult | None = None
        self._sql = JobLine(spark, order.warehouse_id, (parameters.catalog, parameters.schema))
        self._watchdog = Watchdog(order.seconds, spark, self._leave)

    def run(self) -> ExecutionResult:
        """Output, time and names are the code's own; then everything is as it was before."""
        courier = start_courier(self._scratch, self._folder, self._order.output_bytes)
        module = ModuleType("__main__")
        module.__dict__.update(self._names())
        job = self._job()
        with speaking_to(courier), standing_in(self._scratch, module), guarded(self._spark):
            with self._watchdog:
                _, record = execute(job, module)
            save_figures()
            record = complete(record, module.__dict__, job.largest)
        courier.finish()
        return self._finish(record)

    def _names(self) -> dict[str, Any]:
        place = Place(
            self._parameters.run_id, self._parameters.iteration, self._parameters.catalog, self._parameters.schema
        )
        seen = names(place, str(self._folder / SHOWN), self._sql, self._context())
        return {**seen, "spark": self._spark}

    def _context(self) -> object:
        if not self._order.text:
            return None
        from agent.execution.inside.context import Text

        return Text(tuple(map(Path, self._order.text)))

    def _job(self) -> Job:
        code = (self._folder / SHOWN).read_text("utf-8")
        place = Place(self._parameters.run_id, self._parameters.iteration, None, None)
        return Job(code, str(self._folder), place, "", self._order.text, (), self._order.result_bytes)

    def _leave(self) -> None:
        """The code does not end: its result is written for it, and the process is left. From the watchdog's thread."""
        trace = f"Traceback (most recent call last):\n{self._watchdog.where}"
        threading.Thread(target=self._sql.cancel, daemon=True).start()
        self._finish(Record("", "failed", error_trace=trace))
        os._exit(1)

    def _finish(self, record: Record) -> ExecutionResult:
        with self._writing:
            if self._result is None:
                self._result = self._make(record)
                write(self._folder / RESULT, json.dumps(self._result.as_dict(), indent=2, ensure_ascii=False))
                self._bring_back(self._result)
            return self._result

    def _make(self, record: Record) -> ExecutionResult:
        ended = datetime.now(UTC)
        timed_out = self._watchdog.barked and record.status == "failed"
        limit = (
            f"the code ran longer than {self._order.seconds:g} s and was stopped; what it printed until then is kept"
        )
        return ExecutionResult(
            status="success" if record.status == "success" else "failed",
            artifact_path=self._parameters.artifact_path,
            run_id=self._parameters.run_id,
            iteration=self._parameters.iteration,
            start_time=self._started.isoformat(),
            end_time=ended.isoformat(),
            duration_seconds=round((ended - self._started).total_seconds(), 3),
            stdout=preview(self._scratch / "stdout.txt"),
            stderr=preview(self._scratch / "stderr.txt"),
            output=record.output,
            error=limit if timed_out else record.error,
            error_trace=record.error_trace,
            timed_out=timed_out,
        )

    def _bring_back(self, result: ExecutionResult) -> None:
        """The figures, and the executed notebook."""
        figures = sorted((self._scratch / "figures").glob("figure-*.png"))
        for figure in figures:
            (self._folder / "figures").mkdir(exist_ok=True)
            (self._folder / "figures" / figure.name).write_bytes(figure.read_bytes())
        meta = json.loads((self._folder / "meta.json").read_text("utf-8"))
        page = Page(
            instruction=meta["instruction"],
            code=(self._folder / SHOWN).read_text("utf-8"),
            iteration=self._parameters.iteration,
            artifact_id=self._folder.name,
            names=meta.get("names", {}),
            result=result,
            figures=tuple(figure.read_bytes() for figure in figures),
            digest=None,
        )
        write(self._folder / NOTEBOOK, json.dumps(render(page), indent=1, ensure_ascii=False) + "\n")


@contextmanager
def speaking_to(courier: Courier) -> Iterator[None]:
    """Both streams of the process, and of all that it starts, go to the courier; afterwards they are what they were."""
    before = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    kept = (os.dup(1), os.dup(2))
    flush(before[0], before[1])
    os.dup2(courier.out, 1)
    os.dup2(courier.err, 2)
    out, err = stream(1), stream(2)
    sys.stdout = sys.__stdout__ = out  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = err  # type: ignore[misc]
    try:
        yield
    finally:
        flush(sys.stdout, sys.stderr, out, err)
        sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__ = before  # type: ignore[misc]
        for descriptor, own in zip(kept, (1, 2), strict=True):
            os.dup2(descriptor, own)
            os.close(descriptor)


def stream(descriptor: int) -> TextIOWrapper:
    """By line, so that what was printed is outside when the process is left."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def flush(*streams: Any) -> None:
    """As far as the code has left anything to flush: it may have closed or replaced the streams."""
    for one in streams:
        try:
            one.flush()
        except (OSError, ValueError, AttributeError):
            continue


@contextmanager
def standing_in(scratch: Path, module: ModuleType) -> Iterator[None]:
    """A working folder, a `__main__` and the album of figures of the code's own."""
    work = scratch / "work"
    work.mkdir()
    before = (Path.cwd(), os.environ.get("MPLBACKEND", ""))
    replaced = (sys.modules["__main__"], sys.argv, builtins.exit, builtins.quit)
    os.chdir(work)
    sys.modules["__main__"] = module
    sys.argv = [SHOWN]
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
    ALBUM.open(scratch / "figures")
    os.environ["MPLBACKEND"] = "module://agent.execution.inside.matplotlib_backend"
    try:
        yield
    finally:
        os.chdir(before[0])
        os.environ["MPLBACKEND"] = before[1]
        sys.modules["__main__"], sys.argv, builtins.exit, builtins.quit = replaced


@contextmanager
def guarded(spark: Any) -> Iterator[None]:
    """`spark.stop()` is ignored with a warning: the session belongs to the whole run."""

    def stop(*args: Any, **kwargs: Any) -> None:
        sys.stderr.write("spark.stop() is ignored: the session belongs to the run\n")

    spark.stop = stop
    try:
        yield
    finally:
        del spark.stop


def write(path: Path, content: str) -> None:
    """Whole or not at all, also for a reader at the same moment."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(content, encoding="utf-8", errors="backslashreplace", newline="")
    draft.replace(path)
