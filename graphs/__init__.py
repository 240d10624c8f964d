"""Composition: which deployments make up an application."""
