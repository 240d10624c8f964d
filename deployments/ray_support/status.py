"""How the application stands, asked cheaply.

`serve.status()` rebuilds every deployment's config for its answer, request router included:
0.4 s of a processor each time. The controller's own overview is one small message.
"""

from __future__ import annotations

from ray.serve._private.application_state import StatusOverview
from ray.serve.context import _get_global_client


def application_overview(name: str) -> StatusOverview:
    """The application's status and message, and each deployment's. Needs a running Serve."""
    client = _get_global_client()
    assert client is not None, "Serve runs here"
    overview: StatusOverview = client.get_serve_status(name)
    return overview
