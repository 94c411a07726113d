"""A stand-in Databricks workspace on loopback, for the real client libraries."""
