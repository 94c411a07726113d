"""Checkpoints in PostgreSQL, in the official saver's own tables: its readers still work on them.

A put, its writes and a get are one statement each (`statements`): one round trip, atomic, and safe to send again, so
that it is repeated on another connection when its own turns out dead (`server`). Only with `segments=True` are lists
stored as the official saver can't read, still in the same statement.
"""

from checkpointers.postgres.saver import PostgresSaver

__all__ = ["PostgresSaver"]
