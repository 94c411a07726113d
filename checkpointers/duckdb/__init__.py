"""Checkpoints in one DuckDB file, open to SQL. One process has the file; a second one is told which.

A commit in DuckDB costs a millisecond of computing, so steps go to a journal and are acknowledged there; a thread moves
them into the tables, many at a time, in one transaction that records how far the journal was read (`store`). What was
used last is kept in memory (`recent`); anything else is read from the tables after the journal was moved (`tables`).
"""

from checkpointers.duckdb.saver import DuckDBSaver

__all__ = ["DuckDBSaver"]
