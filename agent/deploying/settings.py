"""The settings of what is deployed: the person's own, with what the variables say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.config import Settings, load_settings

SCRATCH = Path("/tmp/rlm")  # noqa: S108 - of a job's or a replica's own machine; nothing that lasts is kept there


def deployed_settings(settings: Settings, values: Mapping[str, str], executor_id: str) -> dict[str, Any]:
    """As a file of settings has them; only what differs from the defaults."""
    volume = f"/Volumes/{values['catalog']}/{values['schema']}/{values['volume']}"
    over = {
        "mode": "databricks",
        "home": str(SCRATCH),
        "llm_endpoint_name": values["llm_endpoint_name"],
        "base_model.name": f"databricks:{values['llm_endpoint_name']}",
        "lakebase_endpoint_name": values["lakebase_endpoint_name"],
        "checkpointer.kind": "lakebase",
        "genie.space_id": values["genie_space_id"],
        "databricks.volume": volume,
        "databricks.secret_scope": values["secret_scope"],
        "databricks.profile": "",
        "data.warehouse_id": values["warehouse_id"],
        "data.catalog": values["data_catalog"],
        "data.schema": values["data_schema"],
        "data.sample": False,
        "execution.backend": "databricks_job",
        "execution.job_id": executor_id,
        "execution.scratch_schema": f"{values['catalog']}.{values['scratch_schema']}",
    }
    kept = settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    merged = load_settings(kept, {}, {name: value for name, value in over.items() if value != ""}).settings
    return merged.model_dump(mode="json", by_alias=True, exclude_defaults=True)
