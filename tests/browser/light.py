"""The page on the API of `tests.api_graph`, without a cluster: it starts in a second.

The segmenter returns the box, or a square around the point; `light.painting` finishes shots while it is entered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from packshot.store.records import Claim
from tests.api_graph import Api, running

STUDIO = Path(__file__).parents[2] / "studio"


@dataclass(frozen=True)
class Light:
    """A server without keys and without models."""

    api: Api

    @contextmanager
    def painting(self, finish: Callable[[Claim], None] | None = None) -> Iterator[None]:
        """Finish every shot that comes, with pictures of one colour or by `finish`."""
        ended = threading.Event()

        def paint() -> None:
            while not ended.wait(0.02):
                claim = self.api.store.queue.claim("painter")
                if claim is not None:
                    (finish or self.api.commit)(claim)

        painter = threading.Thread(target=paint)
        painter.start()
        try:
            yield
        finally:
            ended.set()
            painter.join()


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Light]:
    with running(tmp_path_factory.mktemp("light"), studio_dir=STUDIO, open_access=True) as api:
        yield Light(api)


@pytest.fixture(scope="module")
def url(light: Light) -> str:
    return light.api.url
