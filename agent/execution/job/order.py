"""What a run is asked to do: a file in the artifact's folder, since a job's parameters may only be short."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

ORDER, RUN, STARTED, OUTPUT = "order.json", "run.json", "started.json", "output.json"
"""In the artifact's folder: what is asked, which run does it, that it began, that its output is whole."""


@dataclass(frozen=True)
class Order:
    """`seconds` is the time limit; `output_bytes` is kept of each stream, `result_bytes` of the value in `result`.

    Without a `warehouse_id` execute_sql asks `spark`. `text` are the files of `context`, as paths of a Volume.
    """

    seconds: float
    output_bytes: int
    result_bytes: int
    warehouse_id: str | None = None
    text: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode()


def read_order(text: str) -> Order:
    """Fields that a later version added are left out: the job's wheel may be older than who asks."""
    given: dict[str, Any] = json.loads(text)
    known = {name: given[name] for name in Order.__dataclass_fields__ if name in given}
    return Order(**{**known, "text": tuple(known.get("text") or ())})
