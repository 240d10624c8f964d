"""The applications: which deployments each one consists of."""
