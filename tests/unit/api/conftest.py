"""One server for the whole room: tests use photos, masks and shots of their own."""

from collections.abc import Iterator

import pytest

from tests.api_graph import Api, running


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api(api_server: Api) -> Api:
    """The running API, its graph as new."""
    graph = api_server.graph
    graph.is_ready, graph.broken, graph.clicks_held = True, None, False
    graph.clicks_cancelled.clear()
    return api_server
