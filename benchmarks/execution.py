"""What running generated code costs: `python -m benchmarks.execution` prints one table.

A run is cold each time: a new process, seen from submit to the result. Times are medians, and the slowest in twenty.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import duckdb
from rich.console import Console
from rich.table import Table

from agent.artifacts.folder import FolderArtifacts
from agent.artifacts.values import FolderValues
from agent.data.sample import fill
from agent.data.warehouse import open_warehouse
from agent.execution import BACKENDS
from agent.execution.host import Data, Kept, LocalHost
from agent.execution.local import LocalBackend
from agent.execution.run import RunLimits
from agent.models.scripted import ScriptedModel
from graph.types import Artifact, ExecutionResult
from tests.graph.world import World

REPEATS = 20
CODES = {
    "print and a result": "print('hello'); result = 1",
    "one small SQL statement": "result = execute_sql('SELECT count(*) FROM vendors').rows",
    "a frame of 36,071 rows (pandas)": "result = len(execute_sql('FROM silo_north.invoices', as_pandas=True).df)",
    "a figure (matplotlib)": "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()",
}
ROUND_TRIPS = """
from time import perf_counter
execute_sql("SELECT 1")
began = perf_counter()
for _ in range(200):
    execute_sql("SELECT 1")
result = (perf_counter() - began) / 200 * 1e3
"""
FRAME = """
from time import perf_counter
execute_sql("SELECT 1", as_pandas=True)
began = perf_counter()
columns = "range, range * 2 AS b, range / 3 AS c, range % 7 AS d, 'x' || range AS e"
execute_sql(f"SELECT {columns} FROM range(100000)", as_pandas=True)
result = (perf_counter() - began) * 1e3
"""
GIGABYTE = "piece = 'x' * (1 << 20) + '\\n'\nfor _ in range(1024):\n    sys.stdout.write(piece)\n"


class Bench:
    def __init__(self, artifacts: FolderArtifacts, backend: LocalBackend, data: Data) -> None:
        self._artifacts = artifacts
        self._backend = backend
        self._data = data

    def run(self, code: str) -> ExecutionResult:
        artifact_id = f"art_{uuid4().hex[:12]}"
        artifact = Artifact(artifact_id, "t", "i", 1, code, None, self._artifacts.folder(artifact_id))
        run_id = self._backend.submit(artifact, artifact_id, self._host(artifact))
        self._backend.wait(run_id, 120)
        result = self._backend.poll(run_id)
        assert isinstance(result, ExecutionResult), result
        assert result.status == "success", result.error
        return result

    def _host(self, artifact: Artifact) -> LocalHost:
        kept = Kept(self._artifacts, FolderValues(self._artifacts.root / "values"))
        return LocalHost(self._data, kept, World(ScriptedModel()).context(), artifact)

    def at_once(self, code: str, count: int) -> None:
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(self.run, [code] * count))


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def spread(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} ms (slowest of {len(times)}: {max(times):.0f})"


def data_rows(home: Path) -> list[tuple[str, str]]:
    def build() -> None:
        with duckdb.connect() as connection:
            fill(connection)

    open_warehouse(home).close()
    return [
        ("the sample, built in memory", spread([timed(build) for _ in range(5)])),
        ("a warehouse that is built, opened", spread([timed(lambda: open_warehouse(home).close()) for _ in range(10)])),
    ]


def run_rows(bench: Bench) -> list[tuple[str, str]]:
    rows = []
    for name, code in CODES.items():
        bench.run(code)
        rows.append((f"cold run: {name}", spread([timed(lambda code=code: bench.run(code)) for _ in range(REPEATS)])))
    first = CODES["print and a result"]
    rows.append(("16 runs at once, print and a result", f"{timed(lambda: bench.at_once(first, 16)):.0f} ms for all"))
    rows.append(("execute_sql, one round trip", f"{float(bench.run(ROUND_TRIPS).output or 0):.2f} ms"))
    rows.append(("execute_sql, 100,000 rows × 5 as a frame", f"{float(bench.run(FRAME).output or 0):.0f} ms"))
    rows.append(("1 GB printed, 64 MB kept", f"{timed(lambda: bench.run(GIGABYTE)) / 1e3:.1f} s"))
    return rows


def main() -> None:
    table = Table("what", "measured", title="Running generated code")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = data_rows(home)
        artifacts = FolderArtifacts(home / "artifacts")
        with open_warehouse(home) as warehouse:
            data = Data(warehouse.session, lambda sql: None)
            with BACKENDS["local"](artifacts, RunLimits(seconds=120)) as backend:
                rows += run_rows(Bench(artifacts, backend, data))
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
