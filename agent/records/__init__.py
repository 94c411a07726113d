"""What is written down about runs for people who ask later."""

from agent.records.sqlite import RequestRecords, SqliteRecords, open_records

__all__ = ["RequestRecords", "SqliteRecords", "open_records"]
