"""Delivery: converts finished pictures to the files that channels accept."""
