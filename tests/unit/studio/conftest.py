"""The studio page in a browser, on the API without a cluster (tests/browser/light.py)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_graph import Api, running
from tests.browser.light import STUDIO, light, url
from tests.browser.page import chromium, coffee_file, cut_coffee, made_quick, visit

__all__ = ["chromium", "coffee_file", "cut_coffee", "light", "made_quick", "url", "visit"]


@pytest.fixture
def keyed_server(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, studio_dir=STUDIO) as api:
        yield api
