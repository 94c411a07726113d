"""Who may ask: personal tokens, service principals, and access tokens that expire."""

import secrets
import threading
import time
from dataclasses import dataclass

from tests.workspace.errors import ApiError

USER = "analyst@example.com"
HOUR = 3600.0


@dataclass(frozen=True)
class Token:
    """A bearer token. `expires_at` is a Unix time."""

    value: str
    principal: str
    expires_at: float


class Tokens:
    """All tokens of the workspace. `lifetime` is that of the next OAuth token, in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        self.clients: dict[str, str] = {}
        self.lifetime = HOUR

    def mint(self, principal: str, *, prefix: str = "dapi", lifetime: float | None = None) -> Token:
        """A new token; without a lifetime it does not expire."""
        expires_at = float("inf") if lifetime is None else time.time() + lifetime
        token = Token(prefix + secrets.token_hex(16), principal, expires_at)
        with self._lock:
            self._tokens[token.value] = token
        return token

    def add_client(self, client_id: str, secret: str) -> None:
        """A service principal that may ask for OAuth tokens."""
        self.clients[client_id] = secret

    def expire(self, value: str) -> None:
        """From now on this token is an expired one."""
        with self._lock:
            known = self._tokens[value]
            self._tokens[value] = Token(known.value, known.principal, time.time())

    def principal(self, value: str) -> str:
        """Whose token it is; 403 for one never given out, 401 for one that has expired."""
        token = self._tokens.get(value)
        if token is None:
            raise ApiError(403, "PERMISSION_DENIED", "Invalid access token.")
        if token.expires_at <= time.time():
            raise ApiError(401, "UNAUTHENTICATED", "Token has expired.")
        return token.principal
