"""Engines: they paint a render from a scene and its brief."""
