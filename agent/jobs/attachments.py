"""A task's attachments: from the hosts that the settings name to a Volume, with caps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from agent.workspace.files import VolumeFiles
from graph.errors import BackendUnavailable

MOST_FILES = 20
MOST_BYTES = 50 * 1024 * 1024
SECONDS = 60
REDIRECTS = 3
PIECE = 1 << 20
HERE = ("127.0.0.1", "localhost", "::1")


class Refused(Exception):
    """This attachment is not fetched, now or later; the text says why."""


@dataclass(frozen=True)
class Attachments:
    """`hosts` may be asked, over HTTPS; `token` goes to the first of them alone."""

    files: VolumeFiles
    hosts: tuple[str, ...]
    token: Callable[[], str | None]

    def fetch(self, folder: str, listed: object) -> list[str]:
        """A line for each attachment: where it lies in the Volume, or why it does not.

        Raises BackendUnavailable when a host can't be reached now, so that it is tried again.
        """
        found, problem = read_list(listed)
        lines = [f"- {problem}"] if problem else []
        for number, (name, url) in enumerate(found[:MOST_FILES]):
            safe = safe_name(name)
            try:
                data = b"".join(self._download(url))
            except Refused as error:
                lines.append(f"- {safe} is not there: {error}")
                continue
            path = f"{folder}/{number:02}-{safe}"
            self.files.write(path, data)
            lines.append(f"- {self.files.path(path)} ({len(data):,} bytes)")
        if len(found) > MOST_FILES:
            lines.append(f"- {len(found) - MOST_FILES} more were left out: a task may have {MOST_FILES}.")
        return lines

    def _download(self, url: str) -> Iterator[bytes]:
        import requests

        for _ in range(REDIRECTS):
            host = self._check(url)
            token = self.token() if self.hosts and host == self.hosts[0] else None
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            try:
                with requests.get(url, headers=headers, timeout=SECONDS, allow_redirects=False, stream=True) as answer:
                    if answer.is_redirect:
                        url = urljoin(url, answer.headers["location"])
                        continue
                    yield from pieces(answer, host)
                    return
            except requests.RequestException as error:
                raise BackendUnavailable(
                    f"{host} can't be reached for an attachment ({type(error).__name__}): check ADK_ATTACHMENT_HOSTS."
                ) from error
        raise Refused("its host redirects without end")

    def _check(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, scheme = parts.hostname or "", parts.scheme
        except ValueError:
            raise Refused("its address can't be read") from None
        if host not in self.hosts:
            raise Refused(f"the host {host[:100]!r} is not one of ADK_ATTACHMENT_HOSTS")
        if scheme != "https" and not (scheme == "http" and host in HERE):
            raise Refused("its address is not https")
        return host


def pieces(answer: Any, host: str) -> Iterator[bytes]:
    """Raises Refused for a clear no or too much, BackendUnavailable for trouble that passes."""
    if answer.status_code == 429 or answer.status_code >= 500:
        raise BackendUnavailable(f"{host} answered {answer.status_code} for an attachment: it is tried again.")
    if answer.status_code != 200:
        raise Refused(f"{host} answered {answer.status_code}; check JIRA_TOKEN and the first of ADK_ATTACHMENT_HOSTS")
    size = 0
    for piece in answer.iter_content(PIECE):
        size += len(piece)
        if size > MOST_BYTES:
            raise Refused(f"it is larger than {MOST_BYTES:,} bytes")
        yield piece


def read_list(listed: object) -> tuple[list[tuple[str, str]], str | None]:
    """Names and addresses out of JSON text or rows, and what is wrong with it."""
    if listed in (None, "", []):
        return [], None
    try:
        given = json.loads(listed) if isinstance(listed, str) else listed
    except ValueError:
        return [], "The list of attachments is no JSON."
    if not isinstance(given, list):
        return [], "The list of attachments is no list."
    found = [
        (one.get("filename") or one.get("name"), one.get("content") or one.get("url"))
        for one in given
        if isinstance(one, dict)
    ]
    whole = [(name, url) for name, url in found if isinstance(name, str) and isinstance(url, str)]
    return whole, None if len(whole) == len(given) else "Some entries of the list of attachments can't be read."


def safe_name(name: str) -> str:
    """A file's name that is no path and no instruction."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[-80:] or "attachment"
