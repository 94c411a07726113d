"""The agent over HTTP and as an MLflow model: requests in, one file a protocol, events out."""
