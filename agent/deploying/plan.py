"""What a deployment would make, allow and cost, for reading before it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.deploying.grants import COSTS, grants, permissions
from agent.deploying.resources import Place, resources

PLACE = Place(
    "<your folder>/{name}", "<the wheel in the Volume>", "<the settings in the Volume>", "<job>", "<job>", "<host>"
)


def describe(values: Mapping[str, str]) -> str:
    return "\n".join(lines(values))


def lines(values: Mapping[str, str]) -> Iterator[str]:
    table = resources(values, PLACE)
    yield "-- Resources"
    for kind, made in table.items():
        for resource in made.values():
            yield f"-- {kind}: {sentence(resource)}"
    yield "-- Grants, which `deploy --grant` runs"
    for statement in grants(values):
        yield f"{statement};"
    yield "-- Permissions on what is there already, which `deploy --grant` gives"
    for permission in permissions(values):
        yield f"-- {permission}"
    yield f"-- A role in Lakebase ({values['lakebase_endpoint_name']}) for {values['serving_principal']}: made by hand"
    yield "-- What costs"
    for what, why in COSTS:
        yield f"-- {what}: {why}"


def sentence(resource: Mapping[str, Any]) -> str:
    place = [str(resource[part]) for part in ("catalog_name", "schema_name", "name") if part in resource]
    about = [".".join(place)]
    if "run_as" in resource:
        about.append(f"runs as {resource['run_as']['service_principal_name']}")
        about.append(f"at most {resource['max_concurrent_runs']} at once, {resource['timeout_seconds']} s")
    if "schedule" in resource:
        schedule = resource["schedule"]
        about.append(f"schedule {schedule['quartz_cron_expression']} ({schedule['pause_status']})")
    for one in resource.get("permissions", []):
        about.append(f"{one['level']} for {one['service_principal_name']}")
    return "; ".join(about)
