"""The agent: everything that needs a model, data, files or a network. `graph` below it needs none of them."""

__version__ = "0.2.0"
