"""SQL: one statement in, rows out, as a SQL warehouse would."""
