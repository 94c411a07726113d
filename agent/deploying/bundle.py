"""`databricks.yml`: the table of resources as a bundle. `python -m agent.deploying.bundle` writes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from agent.deploying.resources import Place, resources
from agent.deploying.variables import VARIABLES

FILE = Path(__file__).parents[2] / "databricks.yml"

HEAD = """\
# The bundle: `databricks bundle deploy --target dev --var catalog=main --var ...`. It is generated from agent/deploying
# and changed there (`python -m agent.deploying.bundle` writes it); `python main.py deploy` makes the same without the
# Databricks CLI. Before it: `make wheel`, settings in config.yaml, a registered model (docs/deploying.md).
"""

PLACE = Place(
    notebooks="./notebooks/{name}.py",
    wheel="./dist/*.whl",
    config="${workspace.file_path}/config.yaml",
    executor_id="${resources.jobs.executor.id}",
    orchestrator_id="${resources.jobs.orchestrator.id}",
    host="${workspace.host}",
)


HOME = "/Workspace/Users/${workspace.current_user.userName}"


def render() -> str:
    import yaml

    values = {one.name: f"${{var.{one.name}}}" for one in VARIABLES}
    rest: dict[str, Any] = {
        "resources": resources(values, PLACE),
        "targets": {
            "dev": {"default": True, "variables": {"name": "rlm-agent-dev"}},
            "prod": {
                "mode": "production",
                "workspace": {"root_path": f"{HOME}/.bundle/rlm-agent/prod"},
            },
        },
    }
    lines = [HEAD, "bundle:", "  name: rlm-agent", "", "variables:"]
    for one in VARIABLES:
        lines += [f"  {one.name}:", f"    # {one.meaning}", f"    description: {quoted(one.meaning)}"]
        lines += [f"    default: {quoted(one.default)}"] if one.default is not None else []
    return "\n".join(lines) + "\n\n" + yaml.safe_dump(rest, sort_keys=False, width=120)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
