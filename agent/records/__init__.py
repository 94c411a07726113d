"""What is written down about runs for people who ask later."""

from agent.records.book import RecordBook, RequestRecords
from agent.records.sqlite import open_records

__all__ = ["RecordBook", "RequestRecords", "open_records"]
