"""Values to refs and back: small values stand in the checkpoint's body, lists become segments, others a row each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Protocol

import ormsgpack
from langgraph.checkpoint.base import ChannelVersions, Checkpoint

from checkpointers import segments
from checkpointers.encoding import Codec, RawList
from checkpointers.fingerprints import fingerprint
from checkpointers.records import Place, Run, SegmentRow, ValueRow
from checkpointers.tips import ListTip, Ref, Tip

_INLINE = 64
_INLINE_INPUT = 600


class Source(Protocol):
    """Where segments and values are read from; every store is one."""

    def segments(self, place: Place, lineage: int, start: int, stop: int) -> list[SegmentRow]: ...

    def values(self, place: Place, keys: Sequence[int]) -> dict[int, bytes]: ...


class Missing(Exception):
    """A segment or value that a body points at isn't there."""


class Writer:
    """Turns one checkpoint's values into refs, and the rows that the refs need."""

    def __init__(self, codec: Codec, place: Place, before: Tip | None, *, branch: bool, watch: bool) -> None:
        self._codec, self._place, self._before = codec, place, before
        self._branch, self._watch = branch, watch
        self.segments: list[SegmentRow] = []
        self.values: list[ValueRow] = []

    def encode(self, checkpoint: Checkpoint, new: ChannelVersions) -> Tip:
        versions = checkpoint["channel_versions"]
        tip = Tip(checkpoint["id"], dict(versions), {})
        for channel, value in checkpoint["channel_values"].items():
            if self._unchanged(channel, versions, new):
                self._carry(channel, tip)
            else:
                tip.refs[channel] = self._ref(channel, value, tip)
        return tip

    def _unchanged(self, channel: str, versions: ChannelVersions, new: ChannelVersions) -> bool:
        before = self._before
        return (
            before is not None
            and channel not in new
            and channel in before.refs
            and before.versions.get(channel) == versions.get(channel)
        )

    def _carry(self, channel: str, tip: Tip) -> None:
        if self._before:
            tip.refs[channel] = self._before.refs[channel]
            if channel in self._before.lists:
                tip.lists[channel] = self._before.lists[channel]

    def _ref(self, channel: str, value: Any, tip: Tip) -> Ref:
        if (type(value) is list or isinstance(value, RawList)) and self._codec.splits_lists:
            known = self._before.lists.get(channel) if self._before else None
            listed = self.listed(value, known)
            if listed is not None:
                tip.lists[channel] = listed
                return listed.runs
        data = self._codec.dumps(value)
        if len(data) <= (_INLINE_INPUT if channel == "__start__" else _INLINE):
            return data
        key = random.getrandbits(47)
        self.values.append(ValueRow(self._place, key, self._codec.seal(data)))
        return key

    def listed(self, value: list[Any] | RawList, known: ListTip | None) -> ListTip | None:
        """None for a list that is stored as one value: it is small, or can't be split."""
        if isinstance(value, list) and known and known.mark and self._watch and known.mark.begins(value):
            return self._grown(value[len(known.elements) :], known)
        elements = value.elements if isinstance(value, RawList) else self._codec.elements(value)
        if elements is None or (known is None and sum(map(len, elements)) <= _INLINE):
            return None
        hashes = [segments.digest(e) for e in elements]
        mark = fingerprint(value) if self._watch and not isinstance(value, RawList) else None
        old = known or ListTip((), [], [], None, 0)
        plan = segments.plan(old.hashes, old.runs, hashes, random.getrandbits(47))
        if plan.start and self._branch:
            plan = self._branched(plan, len(elements))
        self._write(plan, elements, hashes)
        return ListTip(plan.runs, elements, hashes, mark, sum(map(len, elements)))

    def _grown(self, more: list[Any], known: ListTip) -> ListTip | None:
        """The known list, unchanged, and more at its end."""
        if not more:
            return known
        fresh = self._codec.elements(more)
        if fresh is None:
            return None
        elements = known.elements + fresh
        hashes = known.hashes + [segments.digest(e) for e in fresh]
        plan = segments.appended(known.runs, range(len(known.elements), len(elements)), random.getrandbits(47))
        if plan.start and self._branch:
            plan = self._branched(plan, len(elements))
        self._write(plan, elements, hashes)
        mark = known.mark.extended(more) if known.mark else None
        return ListTip(plan.runs, elements, hashes, mark, known.size + sum(map(len, fresh)))

    @staticmethod
    def _branched(plan: segments.Plan, total: int) -> segments.Plan:
        last = plan.runs[-1]
        kept = plan.runs[:-1] if last.start == plan.start else (*plan.runs[:-1], last._replace(stop=plan.start))
        return segments.branched(kept, plan.fresh, total, random.getrandbits(47))

    def _write(self, plan: segments.Plan, elements: list[bytes], hashes: list[bytes]) -> None:
        if plan.fresh:
            chosen = [elements[i] for i in plan.fresh]
            joined = b"".join([hashes[i] for i in plan.fresh])
            self.segments.append(segment(self._codec, self._place, (plan.lineage, plan.start), chosen, joined))


class Reader:
    """Turns refs into values; lists that the tip holds already aren't read again."""

    def __init__(self, codec: Codec, source: Source, place: Place, tip: Tip | None) -> None:
        self._codec, self._source, self._place = codec, source, place
        self.tip = tip
        self.lists: dict[str, ListTip] = {}

    def value(self, channel: str, ref: Ref) -> Any:
        if isinstance(ref, bytes):
            return self._codec.loads(ref)
        if isinstance(ref, tuple):
            return self._codec.joined(self.elements(channel, ref))
        return self._codec.loads(self.raw_value(ref))

    def raw_value(self, key: int) -> bytes:
        sealed = self._source.values(self._place, [key]).get(key)
        if sealed is None:
            raise Missing(f"value {key} is gone")
        return self._codec.open(sealed)

    def elements(self, channel: str, runs: tuple[Run, ...]) -> list[bytes]:
        known = self.tip.lists.get(channel) if self.tip else None
        if known and known.runs == runs:
            return known.elements
        elements: list[bytes] = []
        hashes: list[bytes] = []
        for run in runs:
            self._read(run, elements, hashes)
        self.lists[channel] = ListTip(runs, elements, hashes, None, sum(map(len, elements)))
        return elements

    def marked(self, channel: str, value: list[Any]) -> ListTip:
        tip = self.lists[channel]
        return ListTip(tip.runs, tip.elements, tip.hashes, fingerprint(value), tip.size)

    def _read(self, run: Run, elements: list[bytes], hashes: list[bytes]) -> None:
        at = run.start
        for row in self._source.segments(self._place, run.lineage, run.start, run.stop):
            if row.start > at:
                break
            skip, take = at - row.start, min(run.stop, row.start + row.size) - row.start
            elements += opened_elements(self._codec, row.data)[skip:take]
            joined = self._codec.open(row.hashes) if self._codec.cipher else row.hashes
            hashes += segments.split_hashes(joined)[skip:take]
            at = row.start + take
        if at != run.stop:
            raise Missing(f"elements {at} to {run.stop} of list {run.lineage:x} are gone")


def segment(codec: Codec, place: Place, at: tuple[int, int], elements: Sequence[bytes], hashes: bytes) -> SegmentRow:
    sealed = codec.seal(hashes) if codec.cipher else hashes
    return SegmentRow(place, *at, len(elements), sealed, codec.seal(ormsgpack.packb(list(elements))))


def opened_elements(codec: Codec, data: bytes) -> list[bytes]:
    elements: list[bytes] = ormsgpack.unpackb(codec.open(data))
    return elements
