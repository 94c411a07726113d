"""SQL warehouses: list, get, start, stop."""

from typing import Any

from fastapi import APIRouter

from tests.workspace.routes.request import SIGNED_IN, Me, Ws
from tests.workspace.warehouses import Warehouse

api = APIRouter(prefix="/api/2.0/sql/warehouses", dependencies=SIGNED_IN)


@api.get("")
def index(ws: Ws) -> dict[str, Any]:
    """All warehouses."""
    return {"warehouses": [_describe(warehouse) for warehouse in ws.warehouses.list()]}


@api.get("/{warehouse_id}")
def get(warehouse_id: str, ws: Ws) -> dict[str, Any]:
    """One warehouse."""
    return _describe(ws.warehouses.get(warehouse_id))


@api.post("/{warehouse_id}/start")
def start(warehouse_id: str, ws: Ws, user: Me) -> dict[str, Any]:
    """Begin to start it."""
    ws.warehouses.get(warehouse_id)
    ws.grants.check(user, "CAN_USE", "warehouses", warehouse_id)
    ws.warehouses.start(warehouse_id)
    return {}


@api.post("/{warehouse_id}/stop")
def stop(warehouse_id: str, ws: Ws, user: Me) -> dict[str, Any]:
    """Stop it."""
    ws.warehouses.get(warehouse_id)
    ws.grants.check(user, "CAN_MANAGE", "warehouses", warehouse_id)
    ws.warehouses.stop(warehouse_id)
    return {}


def _describe(warehouse: Warehouse) -> dict[str, Any]:
    return {
        "id": warehouse.id,
        "name": warehouse.name,
        "state": warehouse.state,
        "cluster_size": "Small",
        "min_num_clusters": 1,
        "max_num_clusters": 1,
        "auto_stop_mins": 10,
        "enable_photon": True,
        "enable_serverless_compute": True,
        "warehouse_type": "PRO",
        "num_clusters": 1 if warehouse.state == "RUNNING" else 0,
        "odbc_params": {
            "hostname": "127.0.0.1",
            "path": f"/sql/1.0/warehouses/{warehouse.id}",
            "port": 443,
            "protocol": "https",
        },
    }
