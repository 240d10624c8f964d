"""Finished pictures as the files that channels accept."""
