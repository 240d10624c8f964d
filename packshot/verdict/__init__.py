"""Inspection of finished pictures."""
