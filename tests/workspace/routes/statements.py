"""SQL statements by REST (`/api/2.0/sql/statements`)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from tests.workspace.errors import ApiError, bad_request, not_found
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only, required
from tests.workspace.sql.engine import Query, Session
from tests.workspace.sql.namespace import Namespace
from tests.workspace.sql.parameters import Parameter
from tests.workspace.sql.statement import INLINE_LIMIT, Chunk, Statement, encoded
from tests.workspace.sql.types import column_type

api = APIRouter()
PATH = "/api/2.0/sql/statements"
_FIELDS = (
    "statement",
    "warehouse_id",
    "catalog",
    "schema",
    "parameters",
    "row_limit",
    "disposition",
    "format",
    "wait_timeout",
    "on_wait_timeout",
)
_FORMATS = {"INLINE": ("JSON_ARRAY",), "EXTERNAL_LINKS": ("JSON_ARRAY", "ARROW_STREAM", "CSV")}


@api.post(PATH)
@api.post(f"{PATH}/")
def execute(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Run a statement; wait for it as long as the request says."""
    asked = only(given, *_FIELDS)
    disposition, format_name = asked.get("disposition", "INLINE"), asked.get("format", "JSON_ARRAY")
    if disposition not in _FORMATS or format_name not in _FORMATS[disposition]:
        raise bad_request(f"The format {format_name} is not supported with the disposition {disposition}.")
    warehouse_id = str(required(asked, "warehouse_id"))
    ws.warehouses.get(warehouse_id)
    ws.grants.check(user, "CAN_USE", "warehouses", warehouse_id)
    seconds = _timeout(asked.get("wait_timeout", "10s"))
    namespace = Namespace(asked.get("catalog") or "main", asked.get("schema") or "default")
    statement = ws.statements.start(
        Query(required(asked, "statement"), _parameters(asked)),
        Session(namespace, user),
        row_limit=asked.get("row_limit"),
        before=lambda: ws.warehouses.await_running(warehouse_id),
    )
    statement.disposition, statement.format = disposition, format_name
    if seconds and not statement.wait(seconds) and asked.get("on_wait_timeout") == "CANCEL":
        statement.cancel()
    return describe(statement, ws)


@api.get(f"{PATH}/{{statement_id}}", dependencies=SIGNED_IN)
def get(statement_id: str, ws: Ws, user: Me) -> dict[str, Any]:
    """A statement's state and, when it has succeeded, its first chunk."""
    return describe(_own(ws, statement_id, user), ws)


@api.post(f"{PATH}/{{statement_id}}/cancel", dependencies=SIGNED_IN)
def cancel(statement_id: str, ws: Ws, user: Me) -> dict[str, Any]:
    """Cancel; nothing happens to one that has ended."""
    _own(ws, statement_id, user).cancel()
    return {}


@api.delete(f"{PATH}/{{statement_id}}", dependencies=SIGNED_IN)
def close(statement_id: str, ws: Ws, user: Me) -> dict[str, Any]:
    """Let go of the result; again and again if you like."""
    _own(ws, statement_id, user).close()
    return {}


@api.get(f"{PATH}/{{statement_id}}/result/chunks/{{index}}", dependencies=SIGNED_IN)
def chunk(statement_id: str, index: int, ws: Ws, user: Me) -> dict[str, Any]:
    """One chunk of the result."""
    statement = _own(ws, statement_id, user)
    if statement.state != "SUCCEEDED":
        raise not_found(f"The statement {statement_id} has no result: it is {statement.state}.", "NOT_FOUND")
    return _data(statement, statement.chunk(index), ws)


@api.get("/_stand-in/results/{statement_id}/{index}")
def external(statement_id: str, index: int, request: Request, ws: Ws) -> Response:
    """The file behind an external link: like cloud storage, it must be asked without authorization."""
    if "authorization" in request.headers:
        raise bad_request("a signed link must be fetched without an Authorization header")
    query = request.query_params
    if float(query.get("expires", 0)) < datetime.now(UTC).timestamp():
        return Response("AccessDenied: Request has expired", 403, media_type="application/xml")
    statement = ws.statements.get(statement_id)
    if statement.state != "SUCCEEDED":
        return Response("NoSuchKey", 404, media_type="application/xml")
    data = encoded(statement, index, query["format"], query.get("lz4") == "1")
    return Response(data, media_type="application/octet-stream")


def _own(ws: Any, statement_id: str, user: str) -> Statement:
    """A statement of the user's own; another's is refused."""
    statement: Statement = ws.statements.get(statement_id)
    if statement.user != user and not ws.principals.is_admin(user):
        raise ApiError(403, "PERMISSION_DENIED", f"The statement {statement_id} was not executed by {user}.")
    return statement


def _timeout(value: str) -> float:
    seconds = value.removesuffix("s")
    if not seconds.isdigit() or not (int(seconds) == 0 or 5 <= int(seconds) <= 50):
        raise bad_request("wait_timeout must be 0s or between 5s and 50s")
    return float(seconds)


def _parameters(asked: dict[str, Any]) -> list[Parameter]:
    return [
        Parameter(item.get("name"), item.get("type") or "STRING", item.get("value"))
        for item in asked.get("parameters") or []
    ]


def describe(statement: Statement, ws: Any) -> dict[str, Any]:
    about: dict[str, Any] = {"statement_id": statement.id, "status": {"state": statement.state}}
    table = statement.table
    if statement.state == "FAILED" and statement.problem:
        about["status"]["error"] = {"error_code": "BAD_REQUEST", "message": str(statement.problem)}
        about["status"]["sql_state"] = statement.problem.state
    elif statement.state == "SUCCEEDED" and table is not None:
        if statement.disposition == "INLINE" and table.nbytes > INLINE_LIMIT:
            return _too_large(about)
        about["manifest"] = _manifest(statement)
        chunks = statement.chunks
        about["result"] = _data(statement, chunks[0], ws) if chunks else {}
    return about


def _too_large(about: dict[str, Any]) -> dict[str, Any]:
    message = (
        f"Inline byte limit exceeded. Statements executed with disposition=INLINE can have a result size of at most "
        f"{INLINE_LIMIT} bytes. Please execute the statement with disposition=EXTERNAL_LINKS."
    )
    about["status"] = {"state": "FAILED", "error": {"error_code": "BAD_REQUEST", "message": message}}
    return about


def _manifest(statement: Statement) -> dict[str, Any]:
    table = statement.table
    assert table is not None
    columns = []
    for position, field in enumerate(table.schema):
        kind = column_type(field.type)
        column = {"name": field.name, "type_name": kind.name, "type_text": kind.text, "position": position}
        if kind.precision is not None:
            column |= {"type_precision": kind.precision, "type_scale": kind.scale}
        columns.append(column)
    return {
        "format": statement.format,
        "schema": {"column_count": len(columns), "columns": columns},
        "total_chunk_count": len(statement.chunks),
        "total_row_count": table.num_rows,
        "total_byte_count": table.nbytes,
        "truncated": statement.truncated,
        "chunks": [_place(chunk) for chunk in statement.chunks],
    }


def _place(chunk: Chunk) -> dict[str, Any]:
    return {"chunk_index": chunk.index, "row_offset": chunk.offset, "row_count": chunk.rows}


def _data(statement: Statement, chunk: Chunk, ws: Any) -> dict[str, Any]:
    place = _place(chunk)
    if chunk.index + 1 < len(statement.chunks):
        following = chunk.index + 1
        place["next_chunk_index"] = following
        place["next_chunk_internal_link"] = f"{PATH}/{statement.id}/result/chunks/{following}"
    if statement.disposition == "INLINE":
        return {**place, "data_array": statement.rows(chunk)}
    expires = datetime.now(UTC) + timedelta(seconds=ws.link_seconds)
    place |= {
        "external_link": result_link(ws.url, statement.id, chunk.index, statement.format, expires),
        "expiration": expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "byte_count": len(encoded(statement, chunk.index, statement.format, False)),
    }
    return {"external_links": [place]}


def result_link(
    url: str, statement_id: str, index: int, format_name: str, expires: datetime, *, lz4: bool = False
) -> str:
    """A link to a chunk that holds for a while."""
    tail = "&lz4=1" if lz4 else ""
    return f"{url}/_stand-in/results/{statement_id}/{index}?format={format_name}&expires={expires.timestamp()}{tail}"
