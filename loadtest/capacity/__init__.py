"""The search for the highest load that holds."""

MAX_TRIALS = 16
"""Runs that a search makes at most."""
