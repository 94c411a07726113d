"""A warehouse over the sample, and a bench on which code is run and its result awaited."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, sleep

import pytest

from agent.artifacts.folder import FolderArtifacts
from agent.artifacts.readings import FolderReadings
from agent.artifacts.values import FolderValues
from agent.data.warehouse import Warehouse, open_warehouse
from agent.execution import BACKENDS
from agent.execution.host import Data, Kept, LocalHost
from agent.execution.run import RunLimits
from agent.models.scripted import ScriptedModel
from graph.context import ExecutionBackend
from graph.types import Artifact, ExecutionResult, Rejection
from tests.databricks.bench import deployed, open_remote, saver, wheel
from tests.graph.world import World
from tests.workspace.fixtures import Target, place, target

__all__ = ["deployed", "open_remote", "place", "saver", "target", "wheel"]

PATIENCE = 60.0


def everything_goes(sql: str) -> Rejection | None:
    return None


@dataclass
class Bench:
    """Runs code through the Protocol only: submit, then poll until there is a result."""

    artifacts: FolderArtifacts
    backend: ExecutionBackend
    data: Data
    world: World = field(default_factory=lambda: World(ScriptedModel()))
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    thread_id: str = "thread"

    @property
    def values(self) -> FolderValues:
        return FolderValues(self.artifacts.root.parent / "values")

    def artifact(self, code: str, instruction: str | None = "Say what came out.") -> Artifact:
        number = next(self.numbers)
        artifact_id = f"art_{number:012x}"
        folder = self.artifacts.folder(artifact_id)
        return Artifact(artifact_id, self.thread_id, "invocation", number + 2, code, instruction, folder, "call")

    def host(self, artifact: Artifact) -> LocalHost:
        readings = FolderReadings(self.artifacts.root.parent / "values")
        ctx = replace(self.world.context(), artifacts=self.artifacts, recall=readings.of, thread_id=artifact.thread_id)
        return LocalHost(self.data, Kept(self.artifacts, self.values), ctx, artifact)

    def start(self, code: str) -> tuple[Artifact, str]:
        artifact = self.artifact(code)
        return artifact, self.submit(artifact, f"token of {artifact.artifact_id}")

    def submit(self, artifact: Artifact, token: str) -> str:
        return self.backend.submit(artifact, token, self.host(artifact))

    def run(self, code: str) -> ExecutionResult:
        return self.result(self.start(code)[1])

    def result(self, run_id: str) -> ExecutionResult:
        until = monotonic() + PATIENCE
        while monotonic() < until:
            answer = self.backend.poll(run_id)
            if isinstance(answer, ExecutionResult):
                return answer
            sleep(0.01)
        raise AssertionError(f"{run_id} has not ended in {PATIENCE:.0f} s")

    def until_printed(self, artifact: Artifact, text: str) -> None:
        until = monotonic() + PATIENCE
        while text not in "".join(self.artifacts.text(artifact.artifact_id)):
            assert monotonic() < until, "nothing was printed"
            sleep(0.02)

    def folder(self, result: ExecutionResult) -> Path:
        return Path(result.artifact_path).parent


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def warehouse(home: Path) -> Iterator[Warehouse]:
    with open_warehouse(home, sample=True) as opened:
        yield opened


OpenBench = Callable[..., Bench]


@pytest.fixture
def open_bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenBench]:
    """Open a bench of a backend by name, with limits and data of the test's choice; all are closed after the test.

    A backend of a workspace is opened in the stand-in, with tables of the sample's names and numbers of rows.
    """
    opened = []

    def opener(
        name: str = "local",
        limits: RunLimits = RunLimits(seconds=30.0),  # noqa: B008 - frozen
        data: Data | None = None,
        world: World | None = None,
    ) -> Bench:
        if name == "databricks_job":
            request.getfixturevalue("sampled")
            return request.getfixturevalue("open_remote")(limits)
        warehouse = request.getfixturevalue("warehouse")
        artifacts = FolderArtifacts(tmp_path / "artifacts")
        backend = BACKENDS[name](artifacts, limits)
        opened.append(backend)
        return Bench(
            artifacts, backend, data or Data(warehouse.session, everything_goes), world or World(ScriptedModel())
        )

    yield opener
    for backend in opened:
        backend.close()


@pytest.fixture
def bench(open_bench: OpenBench) -> Bench:
    return open_bench()


INSIDE = (
    "test_output_is_captured",
    "test_code_with_a_syntax_error",
    "test_exits_mean",
    "test_run_ids_are_safe",
)
"""What is in a run's process is the same code for every backend: one of them shows it."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    again = [item for item in items if item.name.startswith(INSIDE) and "databricks_job" in item.name]
    config.hook.pytest_deselected(items=again)
    items[:] = [item for item in items if item not in again]


@pytest.fixture(scope="session")
def sampled(target: Target) -> None:
    """The sample's vendors and invoices, as far as tests count them, where a job looks names up first."""
    silo = "CASE WHEN id < 420 THEN 'north' WHEN id < 780 THEN 'lakeside' ELSE 'valley' END"
    for statement in (
        f"CREATE OR REPLACE TABLE main.default.vendors AS SELECT id, {silo} AS silo FROM range(1080)",
        "CREATE OR REPLACE TABLE main.default.invoices AS SELECT id, id * 2 AS amount FROM range(96189)",
    ):
        client = target.client()
        client.statement_execution.execute_statement(statement, target.warehouse_id, wait_timeout="50s")
