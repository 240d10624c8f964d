"""What a load test says instead of starting."""

from __future__ import annotations


class Refused(Exception):
    """The test cannot begin: the scenario, the host or the call is wrong. Names the rule, the value and the remedy."""


class Broken(Exception):
    """The test began and could not be carried through (the generator or the cluster ended)."""
