"""SQL warehouses and their states. A stopped one starts by itself when a statement comes, as on Databricks."""

import threading
import time
from dataclasses import dataclass
from typing import Literal

from tests.workspace.errors import not_found

State = Literal["RUNNING", "STARTING", "STOPPED", "STOPPING"]


@dataclass
class Warehouse:
    """One warehouse."""

    id: str
    name: str
    state: State = "RUNNING"
    ready_at: float = 0.0


class Warehouses:
    """All warehouses; `start_seconds` is how long a stopped one takes to start."""

    def __init__(self) -> None:
        self._known = {"stand-in": Warehouse("stand-in", "Stand-in warehouse")}
        self._lock = threading.Lock()
        self.start_seconds = 0.0

    def add(self, warehouse_id: str, name: str = "") -> None:
        """Another warehouse, running."""
        self._known[warehouse_id] = Warehouse(warehouse_id, name or warehouse_id)

    def list(self) -> list[Warehouse]:
        """All of them, in their present states."""
        return [self.get(warehouse_id) for warehouse_id in list(self._known)]

    def get(self, warehouse_id: str) -> Warehouse:
        """One of them; 404 otherwise."""
        warehouse = self._known.get(warehouse_id)
        if warehouse is None:
            raise not_found(f"SQL warehouse {warehouse_id} does not exist.")
        if warehouse.state == "STARTING" and time.monotonic() >= warehouse.ready_at:
            warehouse.state = "RUNNING"
        return warehouse

    def start(self, warehouse_id: str) -> None:
        """Begin to start it."""
        with self._lock:
            warehouse = self.get(warehouse_id)
            if warehouse.state in ("STOPPED", "STOPPING"):
                warehouse.state = "STARTING"
                warehouse.ready_at = time.monotonic() + self.start_seconds

    def stop(self, warehouse_id: str) -> None:
        """Stop it."""
        self.get(warehouse_id).state = "STOPPED"

    def await_running(self, warehouse_id: str) -> None:
        """Start it if need be, and wait."""
        self.start(warehouse_id)
        while self.get(warehouse_id).state != "RUNNING":
            time.sleep(0.02)
