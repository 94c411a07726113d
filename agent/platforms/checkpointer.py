"""Where threads are saved: chosen by `checkpointer.kind`, in every mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.platforms.parts import Given
    from checkpointers import Saver

NEEDS = {
    "postgres": "checkpointer.dsn_env, the name of a variable that holds the connection string",
    "lakebase": "lakebase_endpoint_name or lakebase_instance_name",
}


def open_saver(settings: Settings, given: Given) -> Saver:
    """The threads' memory: a file below home, or a server. Raises InvalidRequest for what is missing, StoreError."""
    from checkpointers import open_checkpointer
    from graph.types import CHECKPOINTED

    chosen = settings.checkpointer
    allowed = [(kind.__module__, kind.__name__) for kind in CHECKPOINTED]
    options: dict[str, dict[str, Any]] = {
        "sqlite": {"path": settings.threads_path("sqlite")},
        "duckdb": {"path": settings.threads_path("duckdb")},
        "postgres": {"conninfo": given.secrets(chosen.dsn_env) if chosen.dsn_env else None},
        "lakebase": name_lakebase(settings),
    }
    own = options[chosen.kind]
    if None in own.values():
        raise InvalidRequest(f"checkpointer.kind is {chosen.kind} and needs {NEEDS[chosen.kind]}.")
    if chosen.kind == "lakebase" and given.workspace is not None:
        own["workspace_client"] = given.workspace()
    return open_checkpointer(chosen.kind, allowed_types=allowed, **own)


def name_lakebase(settings: Settings) -> dict[str, Any]:
    """The autoscaling endpoint first, then the provisioned instance; as arguments of LakebaseSaver."""
    if settings.lakebase_endpoint_name:
        return {"autoscaling_endpoint": settings.lakebase_endpoint_name}
    return {"instance_name": settings.lakebase_instance_name}
