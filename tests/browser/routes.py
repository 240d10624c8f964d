"""What a test does in the moment of a page's request: it holds the request, or lets somebody else act first."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, Route


class Held:
    """The requests of `page` for `pattern`. They wait from now on, until `let_go`."""

    def __init__(self, page: Page, pattern: str) -> None:
        self._page = page
        self._waiting: list[Route] = []
        self._over = False
        page.route(pattern, self._came)

    def _came(self, route: Route) -> None:
        if self._over:
            route.continue_()
        else:
            self._waiting.append(route)

    def wait(self) -> None:
        """Return when the page has asked."""
        while not self._waiting:  # a test that waits too long is stopped by its timeout
            self._page.wait_for_timeout(10)

    def let_go(self) -> None:
        """Send on what the page has asked, once it has, and hold nothing any more."""
        self.wait()
        self._over = True
        for route in self._waiting:
            route.continue_()


def meanwhile(page: Page, pattern: str, act: Callable[[], object]) -> None:
    """Let somebody else `act` when the page next asks for `pattern`: after it has decided, and before the server hears.

    A page that follows the server might see what was done before its request, so a test cannot do it earlier.
    """

    def acted(route: Route) -> None:
        act()
        route.continue_()

    page.route(pattern, acted, times=1)
