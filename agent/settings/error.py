"""The one error of settings, in a file that imports nothing: an edge catches it without loading what reads settings."""


class SettingsError(Exception):
    """A setting can't be used. The text is one line that names the key, where it stands and what it may be."""
