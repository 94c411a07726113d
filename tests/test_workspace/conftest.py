"""The stand-in's own tests drive it through its fixtures."""

from tests.workspace.fixtures import honest, place, target, ws

__all__ = ["honest", "place", "target", "ws"]
