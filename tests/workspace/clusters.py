"""Clusters by name only: a job that names one runs if it is there and starts.

ws.clusters.add("0101-cluster")                          # a cluster that jobs may name
ws.clusters.break_start("0101-cluster", "no capacity")   # the next starts fail
"""

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.workspace.errors import bad_request

State = Literal["RUNNING", "TERMINATED", "PENDING"]
SPARK_VERSION = "16.4.x-scala2.12"


@dataclass
class Cluster:
    """One cluster. `broken` is why it does not start."""

    id: str
    name: str
    creator: str
    state: State = "RUNNING"
    settings: dict[str, Any] = field(default_factory=dict)
    broken: str | None = None


class Clusters:
    """All clusters."""

    def __init__(self) -> None:
        self._known: dict[str, Cluster] = {}

    def add(self, cluster_id: str = "", *, name: str = "", creator: str = "", **settings: Any) -> Cluster:
        """A new cluster, running."""
        chosen = cluster_id or uuid.uuid4().hex[:16]
        self._known[chosen] = Cluster(chosen, name or chosen, creator, settings=settings)
        return self._known[chosen]

    def get(self, cluster_id: str) -> Cluster:
        """One of them; Databricks answers 400 for one that is not there."""
        if cluster_id not in self._known:
            raise bad_request(f"Cluster {cluster_id} does not exist")
        return self._known[cluster_id]

    def list(self) -> list[Cluster]:
        """All of them."""
        return list(self._known.values())

    def remove(self, cluster_id: str) -> None:
        """Delete one for good."""
        del self._known[self.get(cluster_id).id]

    def break_start(self, cluster_id: str, why: str = "the cloud provider has no capacity") -> None:
        """From now on it does not start."""
        cluster = self.get(cluster_id)
        cluster.broken, cluster.state = why, "TERMINATED"
