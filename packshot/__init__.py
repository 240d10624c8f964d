"""Packshot, the library: what is computed. It imports no Ray, and loads torch only when a model is built."""

from importlib.metadata import version

__version__ = version("packshot")
