"""AES-GCM over whatever a saver stores, with a key of 16, 24 or 32 bytes."""

from __future__ import annotations

import os

_NONCE = 12


class AesGcm:
    """A cipher for LangGraph's `EncryptedSerializer` or for `encryption_key=`: authenticated, a fresh nonce each time.

    >>> cipher = AesGcm(bytes(32))
    >>> name, secret = cipher.encrypt(b"hello")
    >>> cipher.decrypt(name, secret)
    b'hello'
    """

    name = "aes-gcm"

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(key) not in (16, 24, 32):
            raise ValueError(f"an AES key has 16, 24 or 32 bytes, this one has {len(key)}")
        self._aes = AESGCM(key)

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        nonce = os.urandom(_NONCE)
        return self.name, nonce + self._aes.encrypt(nonce, plaintext, None)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        if ciphername != self.name:
            raise ValueError(f"this row is encrypted with {ciphername!r}, the key given is for {self.name!r}")
        try:
            return self._aes.decrypt(ciphertext[:_NONCE], ciphertext[_NONCE:], None)
        except InvalidTag:
            raise ValueError("the encryption key doesn't fit, or the row was changed") from None
