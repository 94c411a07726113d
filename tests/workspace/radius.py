"""A RADIUS server, for one question: may this user come in with this password?

Lakebase takes any token that has not expired, so a role has many passwords at a time, which PostgreSQL itself does not
know. But PostgreSQL can ask a RADIUS server (RFC 2865) at every new connection: so it asks the workspace.
"""

import hashlib
import secrets
import socket
import struct
import threading
from collections.abc import Callable

_REQUEST, _ACCEPT, _REJECT = 1, 2, 3
_USER, _PASSWORD = 1, 2
_END = b""


class Radius:
    """The server, in a thread, on a free port of loopback."""

    def __init__(self, accepts: Callable[[str, str], bool]) -> None:
        self._accepts = accepts
        self._secret = secrets.token_hex(8).encode()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="radius", daemon=True)
        self._thread.start()

    @property
    def access(self) -> str:
        """The method for pg_hba.conf."""
        port = self._socket.getsockname()[1]
        return f'radius radiusservers="127.0.0.1" radiussecrets="{self._secret.decode()}" radiusports="{port}"'

    def stop(self) -> None:
        """Close."""
        self._socket.sendto(_END, self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            packet, sender = self._socket.recvfrom(4096)
            if packet == _END:
                return
            if len(packet) >= 20 and packet[0] == _REQUEST:
                self._socket.sendto(self._answer(packet), sender)

    def _answer(self, packet: bytes) -> bytes:
        number, nonce = packet[1], packet[4:20]
        attributes = _attributes(packet[20:])
        user = attributes.get(_USER, b"").decode(errors="replace")
        password = self._reveal(attributes.get(_PASSWORD, b""), nonce)
        code = _ACCEPT if self._accepts(user, password) else _REJECT
        head = struct.pack("!BBH", code, number, 20)
        return head + hashlib.md5(head + nonce + self._secret, usedforsecurity=False).digest()

    def _reveal(self, hidden: bytes, nonce: bytes) -> str:
        """Undo the hiding of RFC 2865, 5.2."""
        plain, previous = b"", nonce
        for start in range(0, len(hidden), 16):
            block = hidden[start : start + 16]
            mask = hashlib.md5(self._secret + previous, usedforsecurity=False).digest()
            plain += bytes(left ^ right for left, right in zip(block, mask, strict=True))
            previous = block
        return plain.rstrip(b"\0").decode(errors="replace")


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 2 and data[1] >= 2:
        found[data[0]] = data[2 : data[1]]
        data = data[data[1] :]
    return found
