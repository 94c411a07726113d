"""MLflow traces of turns."""
