"""A warehouse over the sample, and a bench on which code is run and its result awaited."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import pytest

from agent.artifacts.folder import FolderArtifacts
from agent.data.warehouse import Warehouse, open_warehouse
from agent.execution import BACKENDS
from agent.execution.host import Data, LocalHost
from agent.execution.run import RunLimits
from graph.context import ExecutionBackend
from graph.types import Artifact, ExecutionResult, Rejection

PATIENCE = 60.0


def everything_goes(sql: str) -> Rejection | None:
    return None


@dataclass
class Bench:
    """Runs code through the Protocol only: submit, then poll until there is a result."""

    artifacts: FolderArtifacts
    backend: ExecutionBackend
    data: Data
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def artifact(self, code: str, instruction: str | None = "Say what came out.") -> Artifact:
        artifact_id = f"art_{next(self.numbers):012x}"
        return Artifact(artifact_id, "thread", "invocation", 3, code, instruction, self.artifacts.folder(artifact_id))

    def start(self, code: str) -> tuple[Artifact, str]:
        artifact = self.artifact(code)
        return artifact, self.submit(artifact, f"token of {artifact.artifact_id}")

    def submit(self, artifact: Artifact, token: str) -> str:
        return self.backend.submit(artifact, token, LocalHost(self.data, artifact.artifact_id))

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
    ) -> Bench:
        artifacts = FolderArtifacts(tmp_path / "artifacts")
        backend = BACKENDS[name](artifacts, limits)
        opened.append(backend)
        return Bench(artifacts, backend, data or Data(warehouse.session, everything_goes))

    yield opener
    for backend in opened:
        backend.close()


@pytest.fixture
def bench(open_bench: OpenBench) -> Bench:
    return open_bench()
