"""The HTTP server: a free port on loopback, one thread, stopped cleanly."""

import socket
import threading
import time

import anyio.to_thread
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from tests.workspace.errors import ApiError
from tests.workspace.front import App, Connections

WORKERS = 200


async def on_api_error(_: Request, error: Exception) -> JSONResponse:
    """An error as Databricks sends it."""
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), error.status)


async def on_crash(request: Request, error: Exception) -> JSONResponse:
    """A fault of the stand-in itself: said plainly, never passed off as Databricks's."""
    message = f"the stand-in failed at {request.method} {request.url.path}: {type(error).__name__}: {error}"
    return JSONResponse({"error_code": "STAND_IN_BROKEN", "message": message, "details": []}, 500)


class Server:
    """uvicorn in a thread."""

    def __init__(self, *, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, app: App, connections: Connections) -> None:
        """Serve; returns when requests are answered."""
        config = uvicorn.Config(
            app,
            http=connections.protocol(),
            log_level="critical",
            lifespan="on",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, args=([self._socket],), name="workspace", daemon=True)
        self._thread.start()
        while not self._uvicorn.started:
            if not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.002)

    def stop(self) -> None:
        """Close everything."""
        if self._uvicorn and self._thread:
            self._uvicorn.should_exit = True
            self._uvicorn.force_exit = True
            self._thread.join(10)
        self._socket.close()


async def widen() -> None:
    """Room for many requests that wait (statements, faults) at the same time."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = WORKERS


def application() -> FastAPI:
    """A bare application; its routes are added by the workspace."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(Exception, on_crash)
    return app
