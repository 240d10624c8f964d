"""The detector: it finds what words name in a photo, as boxes."""

NOT_HERE = "the pack's detector must be on this machine, and it is not; `packshot packs fetch NAME` downloads its files"
"""What is said to words when the detector could not be loaded."""
