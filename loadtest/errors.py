"""The errors of a load test."""

from __future__ import annotations


class Refused(Exception):
    """Raised before any load is sent, when the scenario, the host or an argument is wrong.

    The message states the rule, the value and the remedy.
    """


class Broken(Exception):
    """Raised during a run when the generator or the cluster ended, so that the run cannot be completed."""
