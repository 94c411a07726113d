"""What must not be written down: values of secret-sounding keys, and texts that look like credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"

WORDS = ("token", "passw", "pwd", "secret", "key", "authorization", "credential", "cookie", "passphrase")
SENSITIVE = (
    r"token|password|passwd|pwd|secret|api_?key|authorization|credentials?|private_?key|access_?key|cookie|passphrase"
)
SENSITIVE_KEY = re.compile(rf"(?:^|_)(?:{SENSITIVE})$")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

CREDENTIALS = (
    ("dapi", re.compile(r"\bdapi[0-9a-fA-F]{8,}(?:-\d+)?")),
    ("sk-", re.compile(r"\bsk-[A-Za-z0-9_-]{8,}")),
    ("bearer ", re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/-]{6,}=*")),
    ("basic ", re.compile(r"(?i)(?<=basic )[A-Za-z0-9+/]{12,}=*")),
    ("gh", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{16,}")),
    ("akia", re.compile(r"\bAKIA[0-9A-Z]{16}\b")),
    ("eyj", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")),
    ("://", re.compile(r"(?<=://)[^\s/:@]{1,100}:[^\s/@]{1,200}(?=@)")),
)
"""A text that must occur for the pattern to be worth trying (in lower case), and the pattern."""

QUOTED = re.compile(rf"(?i)((?:{SENSITIVE})[\"']?\s{{0,4}}[:=]\s{{0,4}})([\"'])([^\"'\n]{{4,}}?)\2")
PLAIN = re.compile(
    r"(?i)(\b(?:token|password|passwd|pwd|secret|api_?key|access_token)=)([^\s&\"'(),;.\[{]{4,})(?![\w(.\[])"
)


def redact(value: Any) -> Any:
    """The value with secrets replaced, at any depth. Mappings and sequences come back as dict and list."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {str(key): redact_entry(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item) for item in value]
    return value


def redact_entry(key: str, value: Any) -> Any:
    return REDACTED if value is not None and is_sensitive_key(key) else redact(value)


@lru_cache(maxsize=1024)
def is_sensitive_key(key: str) -> bool:
    """`access_token`, `apiKey` and `DB-PASSWORD` are; `input_tokens` and `token_count` are not."""
    return SENSITIVE_KEY.search(CAMEL.sub("_", key).replace("-", "_").lower()) is not None


def redact_text(text: str) -> str:
    lowered = text.lower()
    for marker, pattern in CREDENTIALS:
        if marker in lowered:
            text = pattern.sub(REDACTED, text)
    if any(word in lowered for word in WORDS):
        text = QUOTED.sub(rf"\1\2{REDACTED}\2", text)
        text = PLAIN.sub(rf"\1{REDACTED}", text)
    return text
