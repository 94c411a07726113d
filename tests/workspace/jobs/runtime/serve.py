"""A served model: loads it, then answers `/invocations`, streamed when asked to.

Run as `python -m dbruntime.serve MODEL_PATH PORT` in the model's own environment.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

USER_TOKEN = "x-forwarded-access-token"
_ONE_USER = threading.Lock()


def application(path: str) -> Any:
    """The application of a model that has been loaded."""
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import JSONResponse, Response, StreamingResponse
    from mlflow import pyfunc
    from mlflow.pyfunc import scoring_server

    model = pyfunc.load_model(path)
    policy = getattr(model.metadata, "auth_policy", None) or {}
    as_user = bool(policy.get("user_auth_policy"))
    app = FastAPI()

    @app.get("/ping")
    def ping() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        raw = await request.body()
        token = request.headers.get(USER_TOKEN) if as_user else None
        kind = request.headers.get("content-type", "application/json")
        asked = json.loads(raw) if kind.startswith("application/json") else {}
        if isinstance(asked, dict) and asked.get("stream"):
            return StreamingResponse(_events(model, asked, token), media_type="text/event-stream")
        try:
            answer = await run_in_threadpool(_answer, scoring_server, raw.decode(), kind, model, token)
        except Exception as error:  # noqa: BLE001 - the edge: a model may raise anything
            body = {"error_code": "BAD_REQUEST", "message": f"Encountered an unexpected error: {error}"}
            return JSONResponse(body, 400)
        return Response(answer.response, answer.status, media_type=answer.mimetype)

    return app


def _answer(scoring_server: Any, text: str, kind: str, model: Any, token: str | None) -> Any:
    with _invoker(token):
        return scoring_server.invocations(text, kind, model, model.metadata.get_input_schema())


def _events(model: Any, asked: dict[str, Any], token: str | None) -> Iterator[str]:
    given = {name: value for name, value in asked.items() if name != "stream"}
    with _invoker(token):
        for event in model.predict_stream(given):
            yield f"data: {json.dumps(event)}\n\n"
    yield "data: [DONE]\n\n"


@contextmanager
def _invoker(token: str | None) -> Iterator[None]:
    """The caller's token where the SDK's ModelServingUserCredentials looks for it: one caller at a time."""
    if token is None:
        yield
        return
    with _ONE_USER:
        place = threading.main_thread().__dict__
        place["invokers_token"] = token
        try:
            yield
        finally:
            del place["invokers_token"]


def main() -> None:
    """Serve."""
    import uvicorn

    uvicorn.run(application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")


if __name__ == "__main__":
    main()
