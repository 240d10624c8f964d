"""The HTTP API: a FastAPI app over a `Store` and a `Studio`, so that its tests need no cluster."""
