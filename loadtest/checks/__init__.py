"""Checks of a run's records and of its pictures."""
