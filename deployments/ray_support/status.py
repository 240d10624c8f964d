"""The application's status at low cost.

`serve.status()` rebuilds the config of every deployment, request router included, which takes 0.4 s of CPU time. The
controller's own overview is one small message.
"""

from __future__ import annotations

from ray.serve._private.application_state import StatusOverview
from ray.serve.context import _get_global_client


def application_overview(name: str) -> StatusOverview:
    """Return the status and message of the application `name` and of each of its deployments. Serve must run."""
    client = _get_global_client()
    assert client is not None, "Serve must run"
    overview: StatusOverview = client.get_serve_status(name)
    return overview
