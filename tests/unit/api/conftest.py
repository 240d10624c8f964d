"""One server for the whole room: tests use photos, masks and shots of their own."""

import pytest

from tests.api_studio import running


@pytest.fixture(scope="session")
def api_server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api(api_server):
    """The running API, its studio as new."""
    studio = api_server.studio
    studio.is_ready, studio.broken, studio.clicks_held = True, None, False
    studio.clicks_cancelled.clear()
    return api_server
