"""One server for all tests of the folder. Each test makes its own photos, masks and shots."""

from collections.abc import Iterator

import pytest

from tests.api_graph import Api, running


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api(api_server: Api) -> Api:
    """The running API, with its graph reset."""
    graph = api_server.graph
    graph.is_ready, graph.broken, graph.clicks_held = True, None, False
    graph.clicks_cancelled.clear()
    return api_server
