"""The HTTP API: a FastAPI app that uses a `Store` and a `Graph`. Its tests need no cluster."""
