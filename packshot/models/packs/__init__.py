"""Packs: their manifests, their files, and loading a role."""
