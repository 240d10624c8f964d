"""The search for the highest load at which a scenario's bounds hold."""

MAX_TRIALS = 16
"""Default limit on the trials of one search."""
