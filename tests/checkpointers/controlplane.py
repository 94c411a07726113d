"""A loopback HTTP server that answers the real databricks-sdk as a workspace with one Lakebase instance does.

The instance is a real PostgreSQL: a credential is a new password of the role, so that older tokens are refused.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from tests.workspace.postgres import Postgres

INSTANCE = "agent-state"
ENDPOINT = "projects/p/branches/b/endpoints/e"
USER = "agent"


class ControlPlane:
    """`minted` are the tokens given out, the newest last."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.minted: list[str] = []
        self.down = False
        plane = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(plane.routes().get(self.path.split("?")[0]))

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                known = self.path in ("/api/2.0/database/credentials", "/api/2.0/postgres/credentials")
                self._answer({"token": plane.mint(), "expiration_time": "2030-01-01T00:00:00Z"} if known else None)

            def _answer(self, body: dict[str, Any] | None) -> None:
                status = 403 if plane.down else 200 if body is not None else 404
                data = json.dumps(body if status == 200 else {"error_code": "DENIED", "message": self.path}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def routes(self) -> dict[str, dict[str, Any]]:
        host = self._postgres.host
        return {
            "/.well-known/databricks-config": {},
            "/api/2.0/preview/scim/v2/Me": {"userName": USER},
            f"/api/2.0/database/instances/{INSTANCE}": {"name": INSTANCE, "read_write_dns": host, "state": "AVAILABLE"},
            f"/api/2.0/postgres/{ENDPOINT}": {"name": ENDPOINT, "status": {"hosts": {"host": host}}},
        }

    def mint(self) -> str:
        token = f"token-{uuid4().hex}"
        self._postgres.create_role(USER, token)
        self.minted.append(token)
        return token

    def expire(self) -> None:
        """Every token given out is refused from now on."""
        self._postgres.create_role(USER, f"nobody-knows-{uuid4().hex}")

    def client(self) -> Any:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.core import Config

        host, port = self._server.server_address[:2]
        url = f"http://{host!s}:{port}"
        return WorkspaceClient(config=Config(host=url, token="x", retry_timeout_seconds=2, http_timeout_seconds=5))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
