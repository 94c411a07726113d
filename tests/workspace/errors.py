"""What the workspace answers when it says no.

ApiError            an HTTP status, an error code, a message: Databricks's error body
└─ NotCovered       Databricks can, the stand-in cannot: a 501 that says what is missing
"""

from typing import Any


class ApiError(Exception):
    """An error that the client gets as Databricks would send it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"error_code": self.code, "message": self.message, "details": []}


class NotCovered(ApiError):
    """The stand-in lacks a feature of Databricks and says so."""

    def __init__(self, what: str) -> None:
        super().__init__(501, "NOT_IMPLEMENTED", f"the stand-in workspace does not cover {what}")


def bad_request(message: str, code: str = "INVALID_PARAMETER_VALUE") -> ApiError:
    """A request that can't be right."""
    return ApiError(400, code, message)


def not_found(message: str, code: str = "RESOURCE_DOES_NOT_EXIST") -> ApiError:
    """Something that is not there."""
    return ApiError(404, code, message)


def already_exists(message: str, code: str = "RESOURCE_ALREADY_EXISTS") -> ApiError:
    """Something that is there already: 409 by the Files API, 400 by the others."""
    return ApiError(409 if code == "ALREADY_EXISTS" else 400, code, message)
