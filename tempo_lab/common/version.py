"""The version of Tempo Lab."""

__version__ = "0.1.0"
