"""Packshot, the library: what is computed. It imports no Ray, and loads torch only when a model is built."""

__version__ = "0.1.0"
"""The one place: pyproject.toml reads it."""
