"""What a run may ask of its host, a file for each noun. Each answers one or more kinds of request."""
