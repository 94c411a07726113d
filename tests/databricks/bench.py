"""A workspace with our wheel and the executor's notebook in it, and a bench on which code is run there."""

from __future__ import annotations

import base64
import io
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import randrange
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import pytest
from databricks.sdk.service.workspace import ImportFormat, Language

from agent.artifacts.volume import VolumeArtifacts
from agent.execution import BACKENDS
from agent.execution.databricks_job import Compute, DatabricksJobBackend, Pace
from agent.execution.run import RunLimits
from agent.workspace.files import VolumeFiles
from checkpointers import Saver, open_checkpointer
from graph.types import Artifact, ExecutionResult
from tests.workspace.fixtures import Place, Target

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0
QUICK = Pace(0.2, 1.2, 0.5)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, as it is deployed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@dataclass(frozen=True)
class Deployed:
    """Where the executor lies in a workspace."""

    volume: str
    notebook: str
    wheel: str
    catalog: str
    schema: str


@pytest.fixture
def deployed(target: Target, place: Place, wheel: Path) -> Deployed:
    client = target.client()
    uploaded = f"{place.volume}/{wheel.name}"
    client.files.upload(uploaded, io.BytesIO(wheel.read_bytes()), overwrite=True)
    notebook = f"{place.directory}/executor"
    source = base64.b64encode((ROOT / "notebooks" / "executor.py").read_bytes()).decode()
    client.workspace.import_(
        notebook, content=source, format=ImportFormat.SOURCE, language=Language.PYTHON, overwrite=True
    )
    return Deployed(place.volume, notebook, uploaded, place.catalog, place.schema)


@dataclass
class Host:
    """A run's host that can't be reached from a workspace: only its setup counts."""

    catalog: str | None = None
    schema: str | None = None
    text: tuple[str, ...] = ()
    closed: bool = False

    @property
    def setup(self) -> dict[str, Any]:
        return {"catalog": self.catalog, "schema": self.schema, "text": list(self.text)}

    @property
    def handlers(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self.closed = True


@dataclass
class Bench:
    """Runs code through the Protocol only: submit, then poll until there is a result."""

    artifacts: VolumeArtifacts
    backend: DatabricksJobBackend
    host: Callable[[], Host]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(randrange(1 << 40)))

    def artifact(self, code: str) -> Artifact:
        artifact_id = f"art_{next(self.numbers):012x}"
        return Artifact(artifact_id, "thread", "invocation", 3, code, "Say it.", self.artifacts.folder(artifact_id))

    def start(self, code: str) -> tuple[Artifact, str]:
        artifact = self.artifact(code)
        return artifact, self.submit(artifact, f"token of {artifact.artifact_id}")

    def submit(self, artifact: Artifact, token: str) -> str:
        return self.backend.submit(artifact, token, self.host())

    def run(self, code: str) -> ExecutionResult:
        return self.result(self.start(code)[1])

    def result(self, run_id: str) -> ExecutionResult:
        until = monotonic() + PATIENCE
        while monotonic() < until:
            answer = self.backend.poll(run_id)
            if isinstance(answer, ExecutionResult):
                return answer
            sleep(0.05)
        raise AssertionError(f"{run_id} has not ended in {PATIENCE:.0f} s")

    def until_printed(self, artifact: Artifact, text: str) -> None:
        until = monotonic() + PATIENCE
        while text not in "".join(self.artifacts.text(artifact.artifact_id)):
            assert monotonic() < until, "nothing was printed"
            sleep(0.05)


OpenBench = Callable[..., Bench]


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[Saver]:
    with open_checkpointer("sqlite", path=tmp_path / "threads.sqlite") as opened:
        yield opened


@pytest.fixture
def open_remote(target: Target, deployed: Deployed, saver: Saver) -> OpenBench:
    root = f"{deployed.volume}/{uuid4().hex[:8]}"

    def opener(
        limits: RunLimits = RunLimits(seconds=60.0),  # noqa: B008 - frozen
        host: Callable[[], Host] = Host,
        **compute: Any,
    ) -> Bench:
        artifacts = VolumeArtifacts(VolumeFiles(target.client, root))
        chosen = replace(Compute(notebook=deployed.notebook, wheel=deployed.wheel), **compute)
        return Bench(
            artifacts, BACKENDS["databricks_job"](artifacts, limits, saver, target.client, chosen, pace=QUICK), host
        )

    return opener


@pytest.fixture
def open_bench(open_remote: OpenBench) -> OpenBench:
    return open_remote


@pytest.fixture
def bench(open_remote: OpenBench) -> Bench:
    return open_remote()
