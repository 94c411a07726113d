"""The sub-model's endpoint as a run asks it by itself, where it can't reach its host: within an allowance.

The allowance is accounting: it ends what asks here. What the run's identity could spend is bounded by the endpoint's
rate limit alone. Standard library only.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

RETRIES = 5
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
BYTES_PER_TOKEN = 3
FIRST_OUTPUT = 1_000
"""Tokens that a reply is taken to have before one has come."""


class Exhausted(Exception):
    """The allowance does not hold another call."""


class Unanswered(Exception):
    """The endpoint gave no answer, or none that can be read."""


class Endpoint:
    """Speaks the OpenAI protocol. `headers` gives the identity at each call. Thread-safe."""

    def __init__(
        self, url: str, model: str, headers: Callable[[], Mapping[str, str]], tokens: int, seconds: float = 120.0
    ) -> None:
        if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError(f"the endpoint {url} is not reached by https")
        self._url, self._model, self._headers, self._seconds = url, model, headers, seconds
        self._most = tokens
        self._held = 0
        self._spent = {"input_tokens": 0, "output_tokens": 0, "calls": 0}
        self._lock = threading.Lock()

    def report(self) -> dict[str, int]:
        """What was spent so far, for whoever settles the allowance."""
        with self._lock:
            return dict(self._spent)

    @property
    def left(self) -> int:
        with self._lock:
            return max(0, self._most - self._total())

    def ask(self, system: str, message: str) -> str:
        """The reply. Raises Exhausted before a call, Unanswered."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": message}]
        asked = -(-len((system + message).encode("utf-8", "replace")) // BYTES_PER_TOKEN)
        held = self._hold(asked)
        try:
            answer = self._post({"model": self._model, "messages": messages})
            text = text_of(answer)
            self._settle(answer.get("usage"), asked, text)
        finally:
            with self._lock:
                self._held -= held
        return text

    def _hold(self, asked: int) -> int:
        with self._lock:
            calls = self._spent["calls"]
            needed = asked + (self._spent["output_tokens"] // calls if calls else min(FIRST_OUTPUT, self._most // 8))
            if self._total() + self._held + needed > self._most:
                raise Exhausted(f"the run's allowance of {self._most:,} tokens is used up")
            self._held += needed
            return needed

    def _settle(self, usage: Any, asked: int, text: str) -> None:
        told = usage if isinstance(usage, Mapping) else {}
        written = -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)
        with self._lock:
            self._spent["input_tokens"] += count(told.get("prompt_tokens"), asked)
            self._spent["output_tokens"] += count(told.get("completion_tokens"), written)
            self._spent["calls"] += 1

    def _total(self) -> int:
        return self._spent["input_tokens"] + self._spent["output_tokens"]

    def _post(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        for tried in range(RETRIES + 1):
            pause = min(FIRST_PAUSE * 2**tried, LONGEST_PAUSE)
            try:
                return self._send(body)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in AGAIN or tried == RETRIES:
                        raise Unanswered(f"the endpoint answered HTTP {error.code}") from None
                    pause = wanted(error.headers.get("Retry-After"), pause)
            except (OSError, TimeoutError) as error:
                if tried == RETRIES:
                    raise Unanswered(f"the endpoint can't be reached: {error}") from None
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _send(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        headers = {**self._headers(), "Content-Type": "application/json"}
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)  # noqa: S310 - checked above
        with urllib.request.urlopen(request, timeout=self._seconds) as response:  # noqa: S310
            try:
                answer = json.loads(response.read())
            except ValueError as error:
                raise Unanswered(f"the endpoint's answer is no JSON: {error}") from None
        if not isinstance(answer, Mapping):
            raise Unanswered("the endpoint's answer is no JSON object")
        return answer


def text_of(answer: Mapping[str, Any]) -> str:
    """A reply's text, also from content in parts. Raises Unanswered."""
    try:
        content = answer["choices"][0]["message"]["content"]
    except (LookupError, TypeError) as error:
        raise Unanswered("the endpoint's answer has no choices") from error
    parts: Sequence[Any] = content if isinstance(content, list) else [content]
    text = "".join(part["text"] if isinstance(part, dict) and "text" in part else str(part or "") for part in parts)
    if not text.strip():
        raise Unanswered("the endpoint's reply is empty")
    return text


def count(told: Any, otherwise: int) -> int:
    return told if isinstance(told, int) and told >= 0 else otherwise


def wanted(header: str | None, otherwise: float) -> float:
    """The pause that a server asks for, within reason."""
    try:
        return min(max(float(header or ""), 0.0), LONGEST_PAUSE)
    except ValueError:
        return otherwise
