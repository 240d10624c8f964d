"""One server for the whole room: tests use photos, masks and shots of their own."""

import pytest

from tests.api_graph import running


@pytest.fixture(scope="session")
def api_server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api(api_server):
    """The running API, its graph as new."""
    graph = api_server.graph
    graph.is_ready, graph.broken, graph.clicks_held = True, None, False
    graph.clicks_cancelled.clear()
    return api_server
