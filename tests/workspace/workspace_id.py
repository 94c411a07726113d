"""The workspace's number."""

WORKSPACE_ID = "1234567890123456"
