"""Who runs an artifact: a file beside it that only one can create, locked exactly as long as its owner lives."""

from __future__ import annotations

import fcntl
import json
import os
import re
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO
from uuid import uuid4

from agent.artifacts.files import Unreadable, opened, read_object

NAME = "run.json"
RUN_ID = re.compile(r"run_([0-9a-f]{12})_[0-9a-f]{8}")


@dataclass(frozen=True)
class Claim:
    """`pid` is the owner's, `token` the idempotency token's sha256, `start_time` ISO 8601 in UTC."""

    run_id: str
    token: str
    pid: int
    start_time: str
    iteration: int


def run_id_of(artifact_id: str, token: str) -> str:
    """The same for the same token, so that a caller that crashed finds its run again."""
    return f"run_{artifact_id.removeprefix('art_')}_{sha256(token.encode()).hexdigest()[:8]}"


def artifact_id_of(run_id: str) -> str | None:
    """Whose run it is; None when `run_id` is none of ours."""
    match = RUN_ID.fullmatch(run_id)
    return f"art_{match.group(1)}" if match else None


def take(folder: Path, claim: Claim) -> IO[str] | None:
    """Claim the folder for good. The returned file's lock says that the owner lives: keep it open during the run.

    None: it was claimed before, by whomever. The claim appears with its content and its lock, or not at all.
    """
    draft = folder / f".{NAME}.{uuid4().hex}"
    file = draft.open("x", encoding="utf-8")
    try:
        json.dump(asdict(claim), file)
        file.flush()
        os.fsync(file.fileno())
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.link(draft, folder / NAME)
    except FileExistsError:
        file.close()
        return None
    except OSError:
        file.close()
        raise
    finally:
        draft.unlink()
    return file


def read(folder: Path) -> Claim | None:
    """None when there is none, or one that a run has broken since."""
    try:
        return Claim(**(read_object(folder, NAME) or {}))
    except (Unreadable, TypeError):
        return None


def exists(folder: Path, run_id: str) -> bool:
    """Whether the folder is claimed for this run; a claim that was broken since is taken for its own."""
    claim = read(folder)
    return os.path.lexists(folder / NAME) and (claim is None or claim.run_id == run_id)


def owner_lives(folder: Path) -> bool:
    try:
        with opened(folder, NAME) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, Unreadable):
        return False
    return False


def withdraw(folder: Path) -> None:
    """Only for a run that is known not to have started."""
    (folder / NAME).unlink(missing_ok=True)
