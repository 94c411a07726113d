"""The delegation's form: a blob, with an instruction when that is required."""

from __future__ import annotations

from graph.blob import BlobError
from graph.program import Program
from graph.types import Rejection


def check_format(program: Program) -> Rejection | None:
    if isinstance(program.blob, BlobError):
        return Rejection(program.blob.code, str(program.blob))
    return None


def check_instruction(program: Program) -> Rejection | None:
    """For strict mode. A blob that is none is left to `check_format`."""
    if isinstance(program.blob, BlobError) or program.blob.instruction:
        return None
    return Rejection(
        "MISSING_INSTRUCTION",
        "Start the delegation with '''what to look for in the output''' and put the Python code after it.",
    )
