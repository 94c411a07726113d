"""The delegation blob: an optional leading triple-quoted instruction for whoever reads the results, then Python."""

from __future__ import annotations

import ast
from dataclasses import dataclass

QUOTES = ("'''", '"""')


@dataclass(frozen=True)
class Blob:
    """`instruction` is None when the blob starts with code; `code` is never blank."""

    instruction: str | None
    code: str


class BlobError(ValueError):
    """The text is no blob. `code` is EMPTY_CODE or FORMAT_VALIDATION_ERROR."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_blob(text: str) -> Blob:
    """Split a blob; raises BlobError with what to write instead.

    The instruction ends at the first closing quotes of its own kind. Quotes that are part of an expression
    (a leading docstring-like string that goes on, as in `'''a'''.strip()`) are code.
    """
    body = text.strip("\ufeff")
    if not body.strip():
        raise BlobError("EMPTY_CODE", "The delegation is empty. Send Python code, after an optional '''instruction'''.")
    start = body.lstrip()
    quotes = next((quote for quote in QUOTES if start.startswith(quote)), None)
    if quotes is None:
        return Blob(None, body)
    end = start.find(quotes, 3)
    if end < 0:
        raise BlobError(
            "FORMAT_VALIDATION_ERROR",
            f"The instruction opens with {quotes} and is never closed. Close it with {quotes} on its own line.",
        )
    instruction, rest = start[3:end].strip(), start[end + 3 :]
    if goes_on(rest) and is_python(body):
        return Blob(None, body)
    code = rest.lstrip("; \t\r").removeprefix("\n") if rest.strip("; \t\r\n") else ""
    if not code.strip():
        raise BlobError("EMPTY_CODE", "The delegation has an instruction and no code. Add the Python to run after it.")
    return Blob(instruction or None, code)


def goes_on(rest: str) -> bool:
    """Whether the line that closes the quotes holds more than a comment."""
    line = rest.split("\n", 1)[0].strip()
    return bool(line) and not line.startswith(("#", ";"))


def is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True
