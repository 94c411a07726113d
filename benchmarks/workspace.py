"""How quick the stand-in workspace is: `python benchmarks/workspace.py`.

Starts each engine, then reads the same table of 1,000,000 rows × 5 columns through the three clients. Times are of one
machine at one moment: read the ratios.
"""

import logging
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

from tests.workspace.workspace import Workspace  # noqa: E402

ROWS = 1_000_000
ROUNDS = 3
TABLE = "main.default.million"
QUERY = f"SELECT * FROM {TABLE}"


def timed(name: str, act: Callable[[], int]) -> None:
    """The median of a few rounds."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        rows = act()
        seconds.append(time.perf_counter() - started)
        assert rows == ROWS, rows
    print(f"{name:<58} {statistics.median(seconds):7.2f} s")


def by_links(ws: Workspace) -> int:
    """The SDK's external links, fetched by four threads."""
    import pyarrow as pa
    import requests
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.sql import Disposition, Format

    api = WorkspaceClient(host=ws.url, token=ws.token).statement_execution
    response = api.execute_statement(
        QUERY,
        ws.warehouse_id,
        wait_timeout="50s",
        disposition=Disposition.EXTERNAL_LINKS,
        format=Format.ARROW_STREAM,
    )

    def fetch(index: int) -> int:
        data = api.get_statement_result_chunk_n(response.statement_id, index)
        answer = requests.get(data.external_links[0].external_link, timeout=60)
        return int(pa.ipc.open_stream(answer.content).read_all().num_rows)

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(fetch, range(response.manifest.total_chunk_count)))


def by_connector(ws: Workspace, *, cloud_fetch: bool) -> int:
    """databricks-sql-connector, as one Arrow table."""
    from databricks import sql

    path = f"/sql/1.0/warehouses/{ws.warehouse_id}"
    with (
        sql.connect(
            server_hostname="127.0.0.1",
            http_path=path,
            access_token=ws.token,
            _connection_uri=ws.url + path,
            enable_telemetry=False,
            use_cloud_fetch=cloud_fetch,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(QUERY)
        return int(cursor.fetchall_arrow().num_rows)


def by_connect(ws: Workspace) -> int:
    """databricks-connect, as one Arrow table."""
    from databricks.connect import DatabricksSession

    return int(DatabricksSession.builder.remote(ws.spark_url).getOrCreate().sql(QUERY).toArrow().num_rows)


def task(ws: Workspace, cell: str) -> float:
    """From `runs/submit` to the end of a notebook of one cell."""
    import base64

    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import NotebookTask, SubmitTask
    from databricks.sdk.service.workspace import ImportFormat, Language

    client, path = WorkspaceClient(host=ws.url, token=ws.token), "/Users/benchmark"
    content = base64.b64encode(f"# Databricks notebook source\n{cell}".encode()).decode()
    client.workspace.mkdirs("/Users")
    client.workspace.import_(
        path, content=content, format=ImportFormat.SOURCE, language=Language.PYTHON, overwrite=True
    )
    started = time.perf_counter()
    run_id = client.jobs.submit(tasks=[SubmitTask("a", notebook_task=NotebookTask(path))]).run_id
    while not (run := client.jobs.get_run(run_id)).end_time:
        time.sleep(0.02)
    assert run.as_dict()["state"]["result_state"] == "SUCCESS", run.state
    return time.perf_counter() - started


def cold_start() -> float:
    """From the command line to the first answered request."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "tests.workspace", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert process.stdout
    while not process.stdout.readline().startswith("# ready"):
        pass
    seconds = time.perf_counter() - started
    process.terminate()
    process.communicate()
    return seconds


def main() -> None:
    """Print the figures."""
    print(f"{'command line to ready (a new interpreter)':<58} {cold_start():7.2f} s")
    with Workspace.start() as ws:
        print(f"{'server ready (imports done)':<58} {ws.seconds_to_start:7.2f} s")
        print(f"{'Sail ready':<58} {ws.sail.seconds_to_start:7.2f} s")
        print(f"{'PostgreSQL ready':<58} {ws.lakebase.postgres.seconds_to_start:7.2f} s")
        print(f"{'a task, and its environment for the first time':<58} {task(ws, 'print(1)'):7.2f} s")
        print(f"{'a task':<58} {task(ws, 'print(1)'):7.2f} s")
        print(f"{'a task that uses Spark':<58} {task(ws, 'spark.range(3).count()'):7.2f} s")
        text = f"id, id * 2 AS b, id * 0.5D AS c, concat('row ', id) AS d, id % 7 AS e FROM range({ROWS})"
        ws.engine.rows(f"CREATE TABLE {TABLE} AS SELECT {text}")
        timed("1M rows × 5: the SDK's external links, 4 threads", lambda: by_links(ws))
        timed("1M rows × 5: databricks-sql-connector, cloud fetch", lambda: by_connector(ws, cloud_fetch=True))
        timed("1M rows × 5: databricks-sql-connector, Arrow batches", lambda: by_connector(ws, cloud_fetch=False))
        timed("1M rows × 5: databricks-connect", lambda: by_connect(ws))


if __name__ == "__main__":
    main()
