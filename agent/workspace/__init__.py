"""A Databricks workspace as everything here uses it: signing in, its files, its SQL, and what it says when it refuses."""
