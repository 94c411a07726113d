"""The code has to be Python."""

from __future__ import annotations

import re
import warnings

from graph.blob import BlobError
from graph.program import Program
from graph.types import Rejection

CONTEXT_LINES = 3


def check_syntax(program: Program) -> Rejection | None:
    """SYNTAX_ERROR; its details: `lineno`, `offset` (from 1, after the instruction), `text`, `message`, `context`."""
    if isinstance(program.blob, BlobError):
        return None
    code, tree = program.blob.code, program.tree
    if "\x00" in code:
        return Rejection(
            "SYNTAX_ERROR", "The code holds a NUL character. Write it as \\x00.", {"message": "NUL character"}
        )
    try:
        if isinstance(tree, Exception):
            raise tree
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(tree, "code.py", "exec")
    except SyntaxError as error:
        return explain(code, error)
    except (RecursionError, MemoryError, ValueError) as error:
        return Rejection("SYNTAX_ERROR", f"Python can't read the code: {error or 'it is nested too deeply'}", {})
    return None


def explain(code: str, error: SyntaxError) -> Rejection:
    lineno = error.lineno or 1
    details = {
        "lineno": lineno,
        "offset": error.offset,
        "text": error.text.rstrip("\n") if error.text else None,
        "message": error.msg,
        "context": context(code, lineno),
    }
    message = f"Line {lineno}: {error.msg}.\n{details['context']}"
    return Rejection("SYNTAX_ERROR", message, details)


def context(code: str, lineno: int) -> str:
    """The line with three more on either side, numbered; `>>>` marks the one that fails."""
    lines = re.split(r"\r\n|\r|\n", code)
    first, last = max(1, lineno - CONTEXT_LINES), min(len(lines), lineno + CONTEXT_LINES)
    marks = {True: ">>>", False: "   "}
    return "\n".join(
        f"{marks[number == lineno]} {number:4d} | {lines[number - 1]}" for number in range(first, last + 1)
    )
