"""The HTTP API: a FastAPI app over a `Store` and a `Graph`, so that its tests need no cluster."""
