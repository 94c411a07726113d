"""The stand-in's own tests drive it through its fixtures."""

from pathlib import Path

import pytest

from tests.workspace.fixtures import honest, place, target, ws

__all__ = ["honest", "place", "target", "ws"]

# The SDK's clients leave their connections to the garbage collector, which may come in any test.
_UNCLOSED = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and no others."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(_UNCLOSED)
