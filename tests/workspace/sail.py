"""Sail: the engine of SQL and Spark, a process that speaks Spark Connect over real Delta tables.

Its catalogs live in one Spark session, so everybody uses the same session id: the SQL of the warehouses, the jobs'
`spark`, a test's databricks-connect. Catalogs are named when the process starts; a new one restarts it on its port and
registers the tables again (temporary views are lost, and so are statements that are just running).
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.workspace.mounts import as_on_databricks
from tests.workspace.spark import Spark

SESSION = "00000000-0000-4000-8000-000000000001"
START_TIMEOUT = 20.0
PROJECT = Path(__file__).parents[2]

# Delta is Databricks's default format, ANSI its dialect. The two "infer" settings are asked for by pandas conversion.
SETTINGS = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.sources.default": "delta",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.pandas.inferPandasDictAsMap": "false",
    "spark.sql.pyspark.legacy.inferMapTypeFromFirstPair.enabled": "false",
    "spark.sql.pyspark.legacy.inferArrayTypeFromFirstElement.enabled": "false",
}


class SailFailed(RuntimeError):
    """Sail did not start; the message has its log."""


class Sail:
    """A running Sail. `directory` is the workspace's."""

    def __init__(self, directory: Path, catalogs: tuple[str, ...], *, port: int = 0) -> None:
        started = time.perf_counter()
        self.tables = directory / "tables"
        self.tables.mkdir(exist_ok=True)
        log_file = directory / "sail.log"
        command = as_on_databricks([sys.executable, "-m", "tests.workspace.sail_main", str(port)], directory)
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=PROJECT,
                env={**os.environ, **_environment(catalogs), "PYTHONPATH": str(PROJECT)},
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip().isdigit():
            self._process.wait(5)
            raise SailFailed(log_file.read_text(errors="replace"))
        self.port = int(line)
        self.seconds_to_start = time.perf_counter() - started
        self.spark = Spark(self.port, SESSION)
        self.spark.configure({**SETTINGS, "spark.sql.warehouse.dir": str(self.tables)})

    def stop(self) -> None:
        """End the process."""
        self.spark.close()
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        if self._process.stdout:
            self._process.stdout.close()


def _environment(catalogs: tuple[str, ...]) -> dict[str, str]:
    entries = ",".join(f'{{name="{name}", type="memory", initial_database=["default"]}}' for name in catalogs)
    return {
        "SAIL_CATALOG__LIST": f"[{entries}]",
        "SAIL_CATALOG__DEFAULT_CATALOG": catalogs[0],
        "SAIL_CATALOG__DEFAULT_DATABASE": '["default"]',
        "SAIL_SPARK__SESSION_TIMEOUT_SECS": str(7 * 24 * 3600),
        "RUST_LOG": "error",
    }
