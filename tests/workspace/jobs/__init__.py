"""Jobs: definitions, runs, and the processes that do the work."""
