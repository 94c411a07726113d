"""The contract: routes, request keys and responses as the installed databricks-sdk defines them.

The SDK's service modules are generated from Databricks's API definition. They are read here as syntax, so nothing of
them is copied and a newer SDK brings a newer contract.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.workspace.front import Exchange

# What real clients ask of a workspace outside the SDK's service definitions, and who asks it.
OUTSIDE = {
    r"/\.well-known/.*|/oidc/.*": "the SDK's configuration and OAuth",
    r"/sql/1\.0/warehouses/.*|/api/2\.0/connector-service/.*|/telemetry-.*": "databricks-sql-connector",
    r"/serving-endpoints/(chat/completions|responses|embeddings)": "OpenAI's client, for ChatDatabricks",
    r"/api/\d\.0/mlflow/.*": "MLflow's own client, for the tracking server and Unity Catalog's registry",
    r"/api/2\.0/fs/create-.*|/_stand-in/.*": "the SDK's file transfers and signed links",
}
# Methods on the SDK's paths that the service modules do not have: (method, path).
BESIDE = {
    ("POST", r"/api/2\.0/fs/files/.*"): "the SDK's multipart uploads",
    ("DELETE", r"/api/2\.0/sql/statements/[^/]+"): "closing a statement, by databricks-sql-connector",
}
# Queries that the SDK's hand-written parts add to generated methods.
ADDED_QUERIES = {"/api/2.0/workspace/export": frozenset({"direct_download"})}
# Keys that Databricks sends beyond the SDK's response class: a chat endpoint answers in OpenAI's shape.
ALSO_SENT = {"serving.ServingEndpointsAPI.query": frozenset({"finish_reason", "tool_calls"})}


@dataclass(frozen=True)
class Operation:
    """One method of the SDK: where it goes, what it may send, what it reads."""

    method: str
    template: str
    name: str
    keys: frozenset[str]
    queries: frozenset[str]
    free_body: bool
    response: type | None
    items: str | None

    def fits(self, method: str, path: str) -> bool:
        """Whether a request is this operation."""
        return method == self.method and re.fullmatch(self._pattern, path) is not None

    @property
    def exactness(self) -> int:
        """How much of the path is written out: `/catalogs` goes before `/{}`."""
        return len(self.template.rstrip("/").replace("{}", ""))

    @property
    def _pattern(self) -> str:
        hole = ".*" if "/fs/" in self.template or "/postgres/" in self.template else "[^/]+"
        return re.escape(self.template.rstrip("/")).replace(r"\{\}", hole) + "/?"


@cache
def _sources() -> dict[str, str]:
    """The text of each service module of the installed SDK, by the module's name."""
    import databricks.sdk.service as services

    files = [file for folder in services.__path__ for file in Path(folder).glob("*.py") if file.stem != "__init__"]
    return {file.stem: file.read_text() for file in files}


@cache
def _operations(name: str) -> tuple[Operation, ...]:
    """The operations of one service module."""
    return tuple(_read(importlib.import_module(f"databricks.sdk.service.{name}"), name))


@cache
def _service(prefix: str) -> tuple[Operation, ...]:
    """The operations of the modules that speak of a path; the others need not be read."""
    return tuple(operation for name, text in _sources().items() if prefix in text for operation in _operations(name))


def matching(method: str, path: str) -> list[Operation]:
    """The operations that a request may be; several share a path in Lakebase."""
    prefix = "/" + "/".join(path.strip("/").split("/")[:3]) if path.startswith("/api/") else "/serving-endpoints/"
    fitting = [operation for operation in _service(prefix) if operation.fits(method, path)]
    exact = max((operation.exactness for operation in fitting), default=0)
    return [operation for operation in fitting if operation.exactness == exact]


def is_outside(method: str, path: str) -> bool:
    """Whether a route is one that clients use though the service definitions lack it."""
    beside = any(method == known and re.fullmatch(pattern, path) for known, pattern in BESIDE)
    return beside or any(re.fullmatch(pattern, path) for pattern in OUTSIDE)


def violations(exchange: Exchange) -> list[str]:
    """How an exchange departs from the contract; empty when it keeps it."""
    head = f"{exchange.method} {exchange.path}"
    if exchange.fault is not None:
        return []
    if exchange.route in (None, "/{path:path}"):
        return [f"{head}: the stand-in has no such route"]
    if exchange.status >= 400:
        error = exchange.response
        named = exchange.method == "HEAD" or (isinstance(error, dict) and "error_code" in error and "message" in error)
        broken = isinstance(error, dict) and error.get("error_code") == "STAND_IN_BROKEN"
        if broken:
            return [f"{head}: {error['message']}"]
        return (
            [] if named or is_outside(exchange.method, exchange.path) else [f"{head}: an error without code or message"]
        )
    if is_outside(exchange.method, exchange.path) or _is_an_agents(exchange):
        return []
    known = matching(exchange.method, exchange.path)
    if not known:
        return [f"{head}: no operation of the SDK"]
    attempts = [_departures(operation, exchange) for operation in known]
    best = min(attempts, key=len)
    return [f"{head}: {departure}" for departure in best]


def _is_an_agents(exchange: Exchange) -> bool:
    """Whether it is a served agent's, whose request and answer have the agent's own shape."""
    asked = exchange.request if isinstance(exchange.request, dict) else {}
    return exchange.path.endswith("/invocations") and isinstance(asked.get("input"), list) and "messages" not in asked


def _departures(operation: Operation, exchange: Exchange) -> list[str]:
    found = []
    is_file = exchange.path.startswith("/api/2.0/fs/files")
    sent = exchange.request if isinstance(exchange.request, dict) and not is_file else {}
    if not operation.free_body:
        found += [f"the request key {key} is unknown to {operation.name}" for key in sorted(set(sent) - operation.keys)]
    found += [
        f"the query {key} is unknown to {operation.name}"
        for key in sorted(set(exchange.query) - operation.queries - ADDED_QUERIES.get(exchange.path, frozenset()))
    ]
    return found + list(_response(operation, exchange.response))


def _response(operation: Operation, answer: Any) -> Iterator[str]:
    if operation.response is None or answer is None:
        return
    if operation.items is None:
        also = ALSO_SENT.get(operation.name, frozenset())
        lost = lossless(operation.response, answer)
        yield from (line for line in lost if line.split(" ")[0].rsplit(".", 1)[-1] not in also)
        return
    unknown = set(answer) - {operation.items, "next_page_token", "prev_page_token", "has_more"}
    yield from (f"the response key {key} is unknown to {operation.name}" for key in sorted(unknown))
    for index, item in enumerate(answer.get(operation.items, [])):
        yield from lossless(operation.response, item, f"$.{operation.items}[{index}]")


def lossless(kind: Any, value: dict[str, Any], at: str = "$") -> Iterator[str]:
    """What is lost when the SDK reads a response: unknown keys, bad enumerations, other types."""
    yield from _lost(value, kind.from_dict(value).as_dict(), at)


def _lost(sent: Any, read: Any, at: str) -> Iterator[str]:
    if isinstance(sent, dict) and isinstance(read, dict):
        for key, value in sent.items():
            if key in read:
                yield from _lost(value, read[key], f"{at}.{key}")
            elif value not in (None, [], {}, False):
                yield f"{at}.{key} is not known to the SDK: {value!r}"
    elif isinstance(sent, list) and isinstance(read, list) and len(sent) == len(read):
        for index, (left, right) in enumerate(zip(sent, read, strict=True)):
            yield from _lost(left, right, f"{at}[{index}]")
    elif sent != read or type(sent) is not type(read):
        yield f"{at}: {sent!r} is read as {read!r}"


def _read(module: ModuleType, name: str) -> Iterator[Operation]:
    tree = ast.parse(inspect.getsource(module))
    for definition in tree.body:
        if isinstance(definition, ast.ClassDef) and definition.name.endswith("API"):
            for function in definition.body:
                if isinstance(function, ast.FunctionDef):
                    yield from _calls(module, f"{name}.{definition.name}.{function.name}", function)


def _calls(module: ModuleType, name: str, function: ast.FunctionDef) -> Iterator[Operation]:
    constants = {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    response, items = _reads(module, function)
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "do" and len(call.args) >= 2):
            continue
        method, path = call.args[0], _path(call.args[1])
        if isinstance(method, ast.Constant) and path is not None:
            body = next((keyword.value for keyword in call.keywords if keyword.arg == "body"), None)
            free = isinstance(body, ast.Call) or (
                isinstance(body, ast.Name) and not isinstance(constants.get(body.id), ast.Dict)
            )
            yield Operation(
                str(method.value), path, name, _keys(function, "body"), _keys(function, "query"), free, response, items
            )


def _path(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def _keys(function: ast.FunctionDef, name: str) -> frozenset[str]:
    """The keys that a method puts into `body` or `query`."""
    return frozenset(
        str(target.slice.value)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Subscript)
        and isinstance(target.value, ast.Name)
        and target.value.id == name
        and isinstance(target.slice, ast.Constant)
    )


def _reads(module: ModuleType, function: ast.FunctionDef) -> tuple[type | None, str | None]:
    """The class of a method's response; for a listing the class of its items and the key they are under."""
    for loop in (node for node in ast.walk(function) if isinstance(node, ast.For)):
        if isinstance(loop.iter, ast.Subscript) and isinstance(loop.iter.slice, ast.Constant):
            for kind in _from_dict(loop):
                return getattr(module, kind, None), str(loop.iter.slice.value)
    kinds = list(_from_dict(function))
    return (getattr(module, kinds[-1], None) if kinds else None), None


def _from_dict(node: ast.AST) -> Iterator[str]:
    for call in ast.walk(node):
        function = call.func if isinstance(call, ast.Call) else None
        if (
            isinstance(function, ast.Attribute)
            and function.attr == "from_dict"
            and isinstance(function.value, ast.Name)
        ):
            yield function.value.id
