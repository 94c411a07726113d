"""Unity Catalog (`/api/2.1/unity-catalog`)."""

import json
import time
from typing import Any

from deltalake import Schema
from fastapi import APIRouter, Request

from tests.workspace.catalog import Note
from tests.workspace.errors import already_exists, not_found
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only, required
from tests.workspace.sql.types import column_type, normal

api = APIRouter(prefix="/api/2.1/unity-catalog", dependencies=SIGNED_IN)
METASTORE = "00000000-0000-4000-8000-00000000000a"
_SEEN = ("SELECT", "MODIFY", "BROWSE")
_COMMON = ("name", "comment", "properties", "storage_root")


@api.get("/catalogs")
def list_catalogs(ws: Ws) -> dict[str, Any]:
    """All catalogs."""
    return {"catalogs": [_catalog(ws, name) for name in sorted(ws.catalog.names)]}


@api.post("/catalogs")
def create_catalog(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A new catalog."""
    ws.grants.check(user, "MANAGE", "CATALOG", given.get("name", ""))
    asked = only(given, *_COMMON)
    ws.catalog.create_catalog(required(asked, "name"), _note(asked))
    return _catalog(ws, asked["name"])


@api.get("/catalogs/{name}")
def get_catalog(name: str, ws: Ws) -> dict[str, Any]:
    """One catalog."""
    return _catalog(ws, name)


@api.delete("/catalogs/{name}")
def delete_catalog(name: str, request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """A catalog goes."""
    ws.grants.check(user, "MANAGE", "CATALOG", name)
    ws.catalog.delete_catalog(name, force=_forced(request))
    return {}


@api.get("/schemas")
def list_schemas(request: Request, ws: Ws) -> dict[str, Any]:
    """The schemas of a catalog."""
    catalog = request.query_params["catalog_name"]
    return {"schemas": [_schema(ws, catalog, name) for name in ws.catalog.schemas(catalog)]}


@api.post("/schemas")
def create_schema(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A new schema."""
    ws.grants.check(user, "CREATE SCHEMA", "CATALOG", given.get("catalog_name", ""))
    asked = only(given, *_COMMON, "catalog_name")
    ws.catalog.create_schema(required(asked, "catalog_name"), required(asked, "name"), _note(asked))
    ws.grants.own(user, "SCHEMA", f"{asked['catalog_name']}.{asked['name']}")
    return _schema(ws, asked["catalog_name"], asked["name"])


@api.get("/schemas/{full_name}")
def get_schema(full_name: str, ws: Ws) -> dict[str, Any]:
    """One schema."""
    catalog, name = _split(full_name, 2)
    return _schema(ws, catalog, name)


@api.delete("/schemas/{full_name}")
def delete_schema(full_name: str, request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """A schema goes."""
    ws.grants.check(user, "MANAGE", "SCHEMA", full_name)
    catalog, name = _split(full_name, 2)
    ws.catalog.delete_schema(catalog, name, force=_forced(request))
    return {}


@api.get("/tables")
def list_tables(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """The tables of a schema that one may see."""
    catalog, schema = request.query_params["catalog_name"], request.query_params["schema_name"]
    seen = [
        name
        for name in ws.catalog.tables(catalog, schema)
        if any(ws.grants.holds(user, word, "TABLE", f"{catalog}.{schema}.{name}") for word in _SEEN)
    ]
    return {"tables": [_table(ws, catalog, schema, name) for name in seen]}


@api.get("/tables/{full_name}")
def get_table(full_name: str, ws: Ws, user: Me) -> dict[str, Any]:
    """One table."""
    table = _table(ws, *_split(full_name, 3))
    if not any(ws.grants.holds(user, word, "TABLE", full_name) for word in _SEEN):
        ws.grants.check(user, "SELECT", "TABLE", full_name)
    return table


@api.get("/tables/{full_name}/exists")
def table_exists(full_name: str, ws: Ws) -> dict[str, Any]:
    """Whether a table is there."""
    catalog, schema, name = _split(full_name, 3)
    return {"table_exists": name in ws.catalog.tables(catalog, schema)}


@api.delete("/tables/{full_name}")
def delete_table(full_name: str, ws: Ws, user: Me) -> dict[str, Any]:
    """A table or view goes."""
    ws.grants.check(user, "MANAGE", "TABLE", full_name)
    catalog, schema, name = _split(full_name, 3)
    kind = "VIEW" if ws.catalog.details(catalog, schema, name)["Type"] == "VIEW" else "TABLE"
    ws.engine.rows(f"DROP {kind} `{catalog}`.`{schema}`.`{name}`")
    return {}


@api.get("/volumes")
def list_volumes(request: Request, ws: Ws) -> dict[str, Any]:
    """The volumes of a schema."""
    prefix = f"{request.query_params['catalog_name']}.{request.query_params['schema_name']}."
    return {"volumes": [_volume(ws, full) for full in sorted(ws.catalog.volumes) if full.startswith(prefix)]}


@api.post("/volumes")
def create_volume(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A new volume."""
    ws.grants.check(user, "CREATE VOLUME", "SCHEMA", f"{given.get('catalog_name')}.{given.get('schema_name')}")
    asked = only(given, "catalog_name", "schema_name", "name", "volume_type", "comment", "storage_location")
    catalog, schema, name = (required(asked, part) for part in ("catalog_name", "schema_name", "name"))
    ws.catalog.create_volume(catalog, schema, name, _note(asked))
    ws.grants.own(user, "VOLUME", f"{catalog}.{schema}.{name}")
    return _volume(ws, f"{catalog}.{schema}.{name}")


@api.get("/volumes/{full_name}")
def read_volume(full_name: str, ws: Ws) -> dict[str, Any]:
    """One volume."""
    return _volume(ws, full_name)


@api.delete("/volumes/{full_name}")
def delete_volume(full_name: str, ws: Ws, user: Me) -> dict[str, Any]:
    """A volume goes."""
    ws.grants.check(user, "MANAGE", "VOLUME", full_name)
    ws.catalog.delete_volume(full_name)
    return {}


@api.get("/functions")
def list_functions(request: Request, ws: Ws) -> dict[str, Any]:
    """The functions of a schema."""
    prefix = f"{request.query_params['catalog_name']}.{request.query_params['schema_name']}."
    return {"functions": [_function(ws, full) for full in sorted(ws.catalog.functions) if full.startswith(prefix)]}


@api.post("/functions")
def create_function(given: Body, ws: Ws) -> dict[str, Any]:
    """A function's definition; SQL can't call it here, and says so."""
    about = required(only(given, "function_info"), "function_info")
    full = f"{about['catalog_name']}.{about['schema_name']}.{about['name']}"
    ws.catalog.schema(about["catalog_name"], about["schema_name"])
    if full in ws.catalog.functions:
        raise already_exists(f"Function '{full}' already exists", "FUNCTION_ALREADY_EXISTS")
    ws.catalog.functions[full] = Note(about.get("comment"), more=about)
    return _function(ws, full)


@api.get("/functions/{full_name}")
def get_function(full_name: str, ws: Ws) -> dict[str, Any]:
    """One function."""
    return _function(ws, full_name)


@api.delete("/functions/{full_name}")
def delete_function(full_name: str, ws: Ws) -> dict[str, Any]:
    """A function goes."""
    _function(ws, full_name)
    del ws.catalog.functions[full_name]
    return {}


def _note(asked: dict[str, Any]) -> Note:
    kept = {name: asked[name] for name in ("storage_root", "storage_location", "volume_type") if asked.get(name)}
    return Note(asked.get("comment"), asked.get("properties") or {}, more=kept)


def _about(ws: Any, note: Note, owner: str = "") -> dict[str, Any]:
    about: dict[str, Any] = {
        "owner": owner or ws.user,
        "created_at": note.created_at,
        "created_by": ws.user,
        "updated_at": note.created_at,
        "metastore_id": METASTORE,
    }
    return {**about, "comment": note.comment} if note.comment else about


def _catalog(ws: Any, name: str) -> dict[str, Any]:
    note = ws.catalog.catalog(name)
    about = {"name": name, "full_name": name, "catalog_type": "MANAGED_CATALOG", **_about(ws, note)}
    return {**about, "properties": note.properties} if note.properties else about


def _schema(ws: Any, catalog: str, name: str) -> dict[str, Any]:
    note = ws.catalog.schema(catalog, name)
    about = {"name": name, "catalog_name": catalog, "full_name": f"{catalog}.{name}", **_about(ws, note)}
    return {**about, "properties": note.properties} if note.properties else about


def _table(ws: Any, catalog: str, schema: str, name: str) -> dict[str, Any]:
    details = ws.catalog.details(catalog, schema, name)
    kind = details["Type"]
    about = {
        "name": name,
        "catalog_name": catalog,
        "schema_name": schema,
        "full_name": f"{catalog}.{schema}.{name}",
        "table_type": kind,
        "columns": _columns(ws, f"`{catalog}`.`{schema}`.`{name}`"),
        **_about(ws, Note(details.get("Comment") or None)),
    }
    if kind == "VIEW":
        return {**about, "view_definition": details["View Text"]}
    return {
        **about,
        "data_source_format": details["Provider"].upper(),
        "storage_location": f"file://{details['Location']}",
    }


def _columns(ws: Any, name: str) -> list[dict[str, Any]]:
    comments = {row["name"]: row["description"] for row in ws.engine.rows(f"SHOW COLUMNS IN {name}")}
    schema = normal(ws.engine.spark(f"SELECT * FROM {name} LIMIT 0")).schema
    in_spark = {field["name"]: field for field in json.loads(Schema.from_arrow(schema).to_json())["fields"]}
    described = []
    for position, field in enumerate(schema):
        kind = column_type(field.type)
        text = kind.text.lower()
        column: dict[str, Any] = {
            "name": field.name,
            "type_name": kind.name if kind.text != "TIMESTAMP_NTZ" else "TIMESTAMP_NTZ",
            "type_text": text,
            "type_json": json.dumps(in_spark[field.name]),
            "position": position,
            "nullable": field.nullable,
        }
        if kind.precision is not None:
            column |= {"type_precision": kind.precision, "type_scale": kind.scale}
        if comments.get(field.name):
            column["comment"] = comments[field.name]
        described.append(column)
    return described


def _volume(ws: Any, full: str) -> dict[str, Any]:
    note = ws.catalog.volume(full)
    catalog, schema, name = _split(full, 3)
    return {
        "name": name,
        "catalog_name": catalog,
        "schema_name": schema,
        "full_name": full,
        "volume_type": note.more.get("volume_type", "MANAGED"),
        "storage_location": note.more.get("storage_location", f"file://{ws.volumes.root / catalog / schema / name}"),
        "volume_id": full,
        **_about(ws, note),
    }


def _function(ws: Any, full: str) -> dict[str, Any]:
    if full not in ws.catalog.functions:
        raise not_found(f"Function '{full}' does not exist.", "FUNCTION_DOES_NOT_EXIST")
    note = ws.catalog.functions[full]
    return {
        **note.more,
        "full_name": full,
        "function_id": full,
        **_about(ws, note),
        "updated_at": int(time.time() * 1000),
    }


def _forced(request: Request) -> bool:
    return request.query_params.get("force", "false").lower() == "true"


def _split(full_name: str, count: int) -> list[str]:
    parts = full_name.split(".")
    if len(parts) != count:
        raise not_found(f"'{full_name}' does not name one of {count} parts.", "INVALID_PARAMETER_VALUE")
    return parts
