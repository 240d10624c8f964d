"""Engines: from a scene and a brief to a render."""
