"""The detector: it finds what words name in a photo, as boxes."""
