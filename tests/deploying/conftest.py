"""Deploying into the stand-in workspace."""

from __future__ import annotations

from tests.databricks.bench import wheel
from tests.workspace.fixtures import honest, place, target, ws

__all__ = ["honest", "place", "target", "wheel", "ws"]
