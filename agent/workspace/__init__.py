"""A Databricks workspace as all of us use it: signing in, files, SQL, and what it says when it refuses."""
