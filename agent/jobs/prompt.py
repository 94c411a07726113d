"""Which prompt a job asks: the literal one, else the file that is named, else the file at the usual place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from graph.errors import InvalidRequest

Read = Callable[[str], bytes]

DEFAULT_FILE = "/Volumes/{catalog}/task/task_txt/task.txt"


def find_prompt(literal: str, file: str, catalog: str | None, read: Read) -> str:
    """Raises InvalidRequest, which names the parameters, when there is none."""
    if literal:
        return literal
    if file:
        return decode(file, read(file), "ADK_PROMPT_FILE")
    if not catalog:
        raise InvalidRequest(
            "There is no prompt: set ADK_PROMPT or ADK_PROMPT_FILE, or ADK_DELTA_CATALOG for the usual file."
        )
    usual = DEFAULT_FILE.format(catalog=catalog)
    return decode(usual, read(usual), "ADK_PROMPT or ADK_PROMPT_FILE")


def decode(file: str, data: bytes, parameter: str) -> str:
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{file} is no text in UTF-8: {error}; check {parameter}.") from error
    if not text:
        raise InvalidRequest(f"{file} is empty: write the question into it, or set {parameter}.")
    return text


def read_prompt_file(path: str) -> bytes:
    """A file of a Volume, of DBFS, or of this machine. Outside a workspace a Volume is read by its API."""
    local = Path(path.replace("dbfs:/Volumes/", "/Volumes/").replace("dbfs:/", "/dbfs/"))
    if local.is_relative_to("/Volumes") and not Path("/Volumes").exists():
        return download(str(local))
    try:
        return local.read_bytes()
    except OSError as error:
        raise InvalidRequest(
            f"The prompt's file {path} can't be read ({error.strerror}): set ADK_PROMPT, or check ADK_PROMPT_FILE."
        ) from error


def download(path: str) -> bytes:
    from agent.workspace.connection import open_client
    from agent.workspace.files import VolumeFiles

    client = open_client()
    folder, _, name = path.rpartition("/")
    data = VolumeFiles(lambda: client, folder).read(name)
    if data is None:
        raise InvalidRequest(f"The prompt's file {path} is not there: set ADK_PROMPT, or check ADK_PROMPT_FILE.")
    return data
