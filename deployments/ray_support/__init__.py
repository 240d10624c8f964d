"""Shared by the deployments: calls between them, GPU memory limits, metrics, the check of the store's location."""
