"""How a request is refused: in the form whose message OpenAI's clients raise, and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.redaction.secrets import redact_text
from graph.errors import AgentError, InvalidRequest, NotFound
from graph.types import ConversationResult, Refusal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import JSONResponse

STATUS: dict[Refusal, int] = {"invalid": 400, "not_found": 404, "busy": 409}
PREVIOUS = "previous_response_id"


class BadField(InvalidRequest):
    """`param` is the field of the request to change."""

    def __init__(self, param: str, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.code = param, code


class Refused(AgentError):
    """What a client is answered in place of what it asked for. `retry` False asks its library not to try again."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None, retry: bool = True
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.retry = status, param, code, retry

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": redact_text(str(self)), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> JSONResponse:
        from starlette.responses import JSONResponse

        headers = {} if self.retry else {"x-should-retry": "false"}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers)


def refuse(error: InvalidRequest) -> Refused:
    if isinstance(error, BadField):
        return Refused(400, str(error), error.param, error.code)
    return Refused(404 if isinstance(error, NotFound) else 400, str(error))


def refuse_previous(message: str) -> Refused:
    return Refused(400, message, PREVIOUS, "previous_response_not_found")


def refuse_result(result: ConversationResult) -> Refused:
    """A turn that was not taken up."""
    assert result.refusal is not None
    code = "thread_busy" if result.refusal == "busy" else None
    return Refused(STATUS[result.refusal], result.fatal_error_msg or "", code=code)


async def explain(request: Request, error: Exception) -> JSONResponse:
    """The answer to an error that a handler raised, or that the framework did: no such route, a wrong method."""
    from starlette.exceptions import HTTPException

    if isinstance(error, Refused):
        return error.response()
    if isinstance(error, InvalidRequest):
        return refuse(error).response()
    if isinstance(error, HTTPException):
        what = f"There is no {request.method} {request.url.path} here." if error.status_code == 404 else error.detail
        return Refused(error.status_code, what).response()
    return Refused(500, f"{type(error).__name__}: {error}", retry=False).response()
