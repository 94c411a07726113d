"""The delegation's form: a blob, with an instruction when that is required."""

from __future__ import annotations

from graph.blob import BlobError, parse_blob
from graph.types import Rejection


def check_form(text: str) -> Rejection | None:
    try:
        parse_blob(text)
    except BlobError as error:
        return Rejection(error.code, str(error))
    return None


def check_instruction(text: str) -> Rejection | None:
    """For strict mode. A blob that is none is left to `check_form`."""
    try:
        instruction = parse_blob(text).instruction
    except BlobError:
        return None
    if instruction:
        return None
    return Rejection(
        "MISSING_INSTRUCTION",
        "Start the delegation with '''what to look for in the output''' and put the Python code after it.",
    )
