"""Packs: their manifests, their files, and the loading of a role."""
