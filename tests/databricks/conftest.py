"""The whole product against the stand-in workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databricks.bench import bench, deployed, open_bench, open_remote, saver, wheel
from tests.workspace.fixtures import honest, place, target, ws

__all__ = ["bench", "deployed", "honest", "open_bench", "open_remote", "place", "saver", "target", "wheel", "ws"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.workspace)
