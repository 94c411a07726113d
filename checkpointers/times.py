"""When was a checkpoint made? Its id is a version 6 UUID and says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

_GREGORIAN = datetime(1582, 10, 15, tzinfo=UTC)


def time_of(checkpoint_id: str) -> datetime | None:
    """None for an id that is no version 6 UUID."""
    try:
        uuid = UUID(checkpoint_id)
    except ValueError:
        return None
    if uuid.version != 6:
        return None
    ticks = (uuid.time_low << 28) | (uuid.time_mid << 12) | (uuid.time_hi_version & 0x0FFF)
    return _GREGORIAN + timedelta(microseconds=ticks // 10)
