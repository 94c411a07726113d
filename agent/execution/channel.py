"""The host's end of a run's channel: each request carries its kind and is answered by the host's handler for it."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from agent.execution.inside.framing import LARGEST_REQUEST, FrameWriter, parse, receive, send_json
from graph.context import RunHost
from graph.errors import HostError

log = logging.getLogger(__name__)


class Channel:
    """Answers one run's requests in a thread of its own until either side closes.

    `opening` is the frame that the run waits for before it starts. Every answer is frames of bytes up to an empty one,
    then a JSON object with `error` (None, or what the code is told) and what the handler answered.
    """

    def __init__(self, run_id: str, end: socket.socket, host: RunHost, opening: Mapping[str, Any]) -> None:
        self._run_id = run_id
        self._end = end
        self._host = host
        self._opening = opening
        self._thread = threading.Thread(target=self._serve, name=f"channel-{run_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End what is being answered, the thread, the host and the channel."""
        self._hang_up()
        self._host.close()
        if self._thread.ident is not None:
            self._thread.join()
        self._end.close()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        try:
            send_json(self._end, self._opening)
            while True:
                self._answer(receive(self._end, LARGEST_REQUEST))
        except (EOFError, OSError):
            return
        except ValueError as error:
            log.warning("a run broke the protocol", extra={"run_id": self._run_id, "reason": str(error)})
        finally:
            self._hang_up()

    def _answer(self, frame: bytes) -> None:
        """Whatever goes wrong is told to the code; only a line that is gone ends the conversation."""
        frames = FrameWriter(self._end)
        trailer: dict[str, Any] = {"error": None}
        try:
            request = parse(frame)
            handler = self._host.handlers.get(str(request.get("kind")))
            if handler is None:
                raise HostError(f"the host answers no requests of the kind {request.get('kind')!r}")
            trailer |= handler(request, frames)
        except HostError as error:
            trailer["error"] = str(error)
        except (BrokenPipeError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the edge: a run may send anything
            trailer["error"] = f"the request failed: {type(error).__name__}: {error}"
            log.info("a request failed", extra={"run_id": self._run_id, "reason": trailer["error"]})
        frames.end()
        send_json(self._end, trailer)
