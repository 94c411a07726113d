"""The SDK's runtime authentication: only the task's own process has it, not what it starts."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class SignIn:
    """Where the workspace is and as whom the task asks."""

    host: str
    token: str


sign_in: SignIn | None = None


def init_runtime_native_auth() -> tuple[str | None, Callable[[], dict[str, str]] | None]:
    """The host, and what makes the headers."""
    if sign_in is None:
        return None, None
    token = sign_in.token
    return sign_in.host, lambda: {"Authorization": f"Bearer {token}"}
