"""What the engine says when a statement fails."""


class SparkError(Exception):
    """The engine refused or failed; `kind` is Spark's exception class where the server tells it."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
