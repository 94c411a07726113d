"""A warehouse over the sample, and one over files that a test writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.data.warehouse import Warehouse, open_warehouse

OpenFiles = Callable[..., Warehouse]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def warehouse(home: Path) -> Iterator[Warehouse]:
    with open_warehouse(home, sample=True) as opened:
        yield opened


@pytest.fixture
def open_files(tmp_path: Path) -> Iterator[OpenFiles]:
    """Write files (name to text or bytes) into a folder and open a warehouse of them, with everything loaded."""
    with ExitStack() as stack:

        def opener(files: dict[str, str | bytes], wait: float = 60.0) -> Warehouse:
            folder = tmp_path / "data"
            for name, content in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            return stack.enter_context(open_warehouse(tmp_path / "home", sample=False, paths=[folder], wait=wait))

        yield opener
