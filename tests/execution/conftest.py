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
from tests.graph.world import World

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
def open_bench(warehouse: Warehouse, tmp_path: Path) -> Iterator[OpenBench]:
    """Open a bench of a backend by name, with limits and data of the test's choice; all are closed after the test."""
    opened = []

    def opener(
        name: str = "local",
        limits: RunLimits = RunLimits(seconds=30.0),  # noqa: B008 - frozen
        data: Data | None = None,
        world: World | None = None,
    ) -> Bench:
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
