"""MLflow: tracking is passed on to a real server; Unity Catalog's registry is that server's under three-part names."""

import threading
from pathlib import PurePosixPath
from typing import Any

import httpx
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from tests.workspace.errors import ApiError, bad_request, not_found
from tests.workspace.routes.request import Body, Me, Ws, required
from tests.workspace.workspace_id import WORKSPACE_ID

api = APIRouter()
_UC = "/api/2.0/mlflow/unity-catalog"
_TIMEOUT = 60.0
_KEPT = (
    "name",
    "version",
    "creation_timestamp",
    "last_updated_timestamp",
    "user_id",
    "description",
    "source",
    "run_id",
)
_pending: set[tuple[str, str]] = set()
_lock = threading.Lock()


@api.get(f"{_UC}/registered-models:is-databricks-sdk-models-artifact-repository-enabled")
def uses_files_api(user: Me) -> dict[str, bool]:
    """Models are kept by the Files API, under `/Models`."""
    return {"is_databricks_sdk_models_artifact_repository_enabled": True}


@api.post(f"{_UC}/registered-models/create")
def create_model(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A new model in a schema."""
    name = str(required(given, "name"))
    schema = _schema(ws, name)
    ws.grants.check(user, "CREATE MODEL", "SCHEMA", schema)
    kept = {key: given[key] for key in ("name", "description", "tags") if key in given}
    made = _asked(ws, "POST", "registered-models/create", kept)
    ws.grants.own(user, "MODEL", name)
    return {"registered_model": _model(made["registered_model"])}


@api.get(f"{_UC}/registered-models/get")
async def get_model(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """One model."""
    name = str(required(await _given(request), "name"))
    _check(ws, user, "EXECUTE", name)
    found = await run_in_threadpool(_asked, ws, "GET", "registered-models/get", {"name": name})
    return {"registered_model": _model(found["registered_model"])}


@api.get(f"{_UC}/registered-models/search")
async def search_models(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """The models that one may use."""
    found = await run_in_threadpool(_asked, ws, "GET", "registered-models/search", {"max_results": 1000})
    models = [_model(item) for item in found.get("registered_models", [])]
    return {"registered_models": [item for item in models if ws.grants.holds(user, "EXECUTE", "MODEL", item["name"])]}


@api.delete(f"{_UC}/registered-models/delete")
def delete_model(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A model goes, with its versions."""
    name = str(required(given, "name"))
    _check(ws, user, "MANAGE", name)
    return _asked(ws, "DELETE", "registered-models/delete", {"name": name})


@api.post(f"{_UC}/model-versions/create")
def create_version(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A new version, which waits for its files."""
    name = str(required(given, "name"))
    _check(ws, user, "MANAGE", name)
    kept = {key: given[key] for key in ("description", "tags", "run_id") if given.get(key)}
    source = f"dbfs:/Models/{name.replace('.', '/')}"
    made = _asked(ws, "POST", "model-versions/create", {"name": name, "source": source, **kept})["model_version"]
    with _lock:
        _pending.add((name, str(made["version"])))
    ws.volumes.create_model(name, str(made["version"]))
    return {"model_version": _version(made)}


@api.post(f"{_UC}/model-versions/finalize")
def finalize(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """The version's files are there: it is ready when there is an MLmodel among them."""
    name, version = str(required(given, "name")), str(required(given, "version"))
    _check(ws, user, "MANAGE", name)
    if not (ws.volumes.model(name, version) / "MLmodel").is_file():
        raise bad_request(f"The version {version} of {name} has no MLmodel file.")
    with _lock:
        _pending.discard((name, version))
    return {"model_version": _version(_found(ws, name, version))}


@api.get(f"{_UC}/model-versions/get")
async def get_version(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """One version."""
    given = await _given(request)
    name = str(required(given, "name"))
    _check(ws, user, "EXECUTE", name)
    return {"model_version": _version(await run_in_threadpool(_found, ws, name, str(required(given, "version"))))}


@api.get(f"{_UC}/model-versions/get-download-uri")
async def download_uri(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """Where a version's files are."""
    given = await _given(request)
    name = str(required(given, "name"))
    _check(ws, user, "EXECUTE", name)
    return {"artifact_uri": f"dbfs:/Models/{name.replace('.', '/')}/{given.get('version')}"}


@api.get(f"{_UC}/model-versions/search")
async def search_versions(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """The versions of a model."""
    given = await _given(request)
    asked = {"filter": given.get("filter", ""), "max_results": 1000}
    found = await run_in_threadpool(_asked, ws, "GET", "model-versions/search", asked)
    versions = [_version(item) for item in found.get("model_versions", [])]
    return {"model_versions": [item for item in versions if ws.grants.holds(user, "EXECUTE", "MODEL", item["name"])]}


@api.delete(f"{_UC}/model-versions/delete")
def delete_version(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A version goes."""
    name, version = str(required(given, "name")), str(required(given, "version"))
    _check(ws, user, "MANAGE", name)
    return _asked(ws, "DELETE", "model-versions/delete", {"name": name, "version": version})


@api.post(f"{_UC}/registered-models/alias")
def set_alias(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A name for a version."""
    _check(ws, user, "MANAGE", str(required(given, "name")))
    return _asked(ws, "POST", "registered-models/alias", given)


@api.delete(f"{_UC}/registered-models/alias")
def delete_alias(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A version loses a name."""
    _check(ws, user, "MANAGE", str(required(given, "name")))
    return _asked(ws, "DELETE", "registered-models/alias", given)


@api.get(f"{_UC}/registered-models/alias")
async def by_alias(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """The version of a name."""
    given = await _given(request)
    _check(ws, user, "EXECUTE", str(required(given, "name")))
    found = await run_in_threadpool(_asked, ws, "GET", "registered-models/alias", given)
    return {"model_version": _version(found["model_version"])}


@api.post(f"{_UC}/{{what}}/set-tag")
def set_tag(what: str, given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A tag on a model or on a version."""
    _check(ws, user, "MANAGE", str(required(given, "name")))
    return _asked(ws, "POST", f"{what}/set-tag", given)


@api.post(f"{_UC}/model-versions/emit-lineage")
def lineage(user: Me) -> dict[str, Any]:
    """Taken, and not kept."""
    return {}


@api.post("/api/2.0/mlflow/experiments/create")
def create_experiment(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """An experiment: a path in the workspace, whose folder is there."""
    name = str(required(given, "name"))
    if not name.startswith("/"):
        raise bad_request(f"Got an invalid experiment name '{name}'. An experiment name must be an absolute path.")
    if not ws.objects.place(str(PurePosixPath(name).parent)).is_dir():
        raise not_found(f"Parent directory {PurePosixPath(name).parent} does not exist.")
    return _asked(ws, "POST", "experiments/create", given)


@api.api_route("/api/{version}/mlflow/{path:path}", methods=["GET", "POST", "PATCH", "DELETE", "PUT"])
async def tracking(version: str, path: str, request: Request, ws: Ws, user: Me) -> Response:
    """Everything else is the server's."""
    if path.startswith("unity-catalog/"):
        raise not_found(f"No API found for '{request.method} {request.url.path}'", "ENDPOINT_NOT_FOUND")
    body = await request.body()
    answer = await run_in_threadpool(_passed, ws, request, body)
    headers = {"x-databricks-org-id": WORKSPACE_ID}
    return Response(answer.content, answer.status_code, headers, media_type=answer.headers.get("content-type"))


def _passed(ws: Any, request: Request, body: bytes) -> httpx.Response:
    headers = {"content-type": request.headers.get("content-type", "application/json")}
    return httpx.request(
        request.method,
        f"{ws.mlflow.url}{request.url.path}",
        params=request.query_params.multi_items(),
        content=body,
        headers=headers,
        timeout=_TIMEOUT,
    )


def _asked(ws: Any, method: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the server's own registry answers; its errors are passed on."""
    where = f"{ws.mlflow.url}/api/2.0/mlflow/{path}"
    sent = {"params": given} if method == "GET" else {"json": given}
    answer = httpx.request(method, where, timeout=_TIMEOUT, **sent)  # type: ignore[arg-type]
    body: dict[str, Any] = answer.json()
    if answer.status_code >= 400:
        raise ApiError(answer.status_code, body.get("error_code", "INTERNAL_ERROR"), body.get("message", ""))
    return body


async def _given(request: Request) -> dict[str, Any]:
    """MLflow sends a GET's arguments as its query, or as a body."""
    raw = await request.body()
    return {**dict(request.query_params), **(await request.json() if raw else {})}


def _found(ws: Any, name: str, version: str) -> dict[str, Any]:
    return dict(_asked(ws, "GET", "model-versions/get", {"name": name, "version": version})["model_version"])


def _schema(ws: Any, name: str) -> str:
    parts = name.split(".")
    if len(parts) != 3:
        raise bad_request(f"'{name}' is not a three-level model name: catalog.schema.model")
    ws.catalog.schema(parts[0], parts[1])
    return ".".join(parts[:2])


def _check(ws: Any, user: str, privilege: str, name: str) -> None:
    """Whether a model may be used or changed, with USE on what is above it."""
    _schema(ws, name)
    if not ws.may(user, privilege, "MODEL", name):
        raise ApiError(403, "PERMISSION_DENIED", f"User {user} does not have {privilege} on Routine or Model '{name}'.")


def _model(about: dict[str, Any]) -> dict[str, Any]:
    kept = {key: about[key] for key in (*_KEPT, "tags", "aliases") if key in about}
    return {**kept, "full_name": about["name"]} if "full_name" in about else kept


def _version(about: dict[str, Any]) -> dict[str, Any]:
    waits = (about["name"], str(about["version"])) in _pending
    kept = {key: about[key] for key in (*_KEPT, "tags") if key in about}
    aliases = [
        alias if isinstance(alias, dict) else {"alias": alias, "version": about["version"]}
        for alias in about.get("aliases", [])
    ]
    return {
        **kept,
        "aliases": aliases,
        "status": "PENDING_REGISTRATION" if waits else "READY",
        "storage_location": f"dbfs:/Models/{about['name'].replace('.', '/')}/{about['version']}",
    }
