"""The query parameters that each route honours; any other is refused by name, like an unknown field of a body."""

PAGES = frozenset({"page_token", "page_size", "max_results", "limit"})
_UC = "/api/2.1/unity-catalog"
_JOBS = "/api/2.2/jobs"
_WORKSPACE = "/api/2.0/workspace"
_IN_SCHEMA = frozenset({"catalog_name", "schema_name"})
_FORCE = frozenset({"force"})

HONOURED: dict[str, frozenset[str]] = {
    f"{_JOBS}/get": frozenset({"job_id"}),
    f"{_JOBS}/list": frozenset({"name", "expand_tasks"}),
    f"{_JOBS}/runs/get": frozenset({"run_id", "include_history"}),
    f"{_JOBS}/runs/get-output": frozenset({"run_id"}),
    f"{_JOBS}/runs/list": frozenset({"job_id", "active_only", "completed_only", "expand_tasks"}),
    "/api/2.0/fs/files{path:path}": frozenset({"overwrite", "action", "session_token", "upload_type"}),
    "/api/2.0/fs/create-download-url": frozenset({"path", "expire_time"}),
    f"{_WORKSPACE}/export": frozenset({"path", "format", "direct_download"}),
    f"{_WORKSPACE}/list": frozenset({"path"}),
    f"{_WORKSPACE}/get-status": frozenset({"path"}),
    "/api/2.0/secrets/get": frozenset({"scope", "key"}),
    "/api/2.0/secrets/list": frozenset({"scope"}),
    "/api/2.0/secrets/acls/list": frozenset({"scope"}),
    "/api/2.0/secrets/acls/get": frozenset({"scope", "principal"}),
    "/api/2.1/clusters/get": frozenset({"cluster_id"}),
    f"{_UC}/catalogs/{{name}}": _FORCE,
    f"{_UC}/schemas": frozenset({"catalog_name"}),
    f"{_UC}/schemas/{{full_name}}": _FORCE,
    f"{_UC}/tables": _IN_SCHEMA,
    f"{_UC}/volumes": _IN_SCHEMA,
    f"{_UC}/functions": _IN_SCHEMA,
    f"{_UC}/functions/{{full_name}}": _FORCE,
}


def unknown(route: str, given: set[str]) -> list[str]:
    """The query parameters that a route does not honour, of those of the API proper."""
    if not route.startswith("/api/") or "connector-service" in route or "/mlflow/" in route:
        return []
    return sorted(given - PAGES - HONOURED.get(route, frozenset()))
