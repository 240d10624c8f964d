"""Fidelity: what inspection can say about a finished picture."""
