"""A browser on a server, with the requests and the errors of its pages."""

from __future__ import annotations

from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.waiting import WAIT_S

WAIT_MS = 1000 * WAIT_S
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
FORGETS_MS = (9_000, 15_000)
"""After these times a page takes away what it said: the words of its status line, and a note."""
LASTING = """(() => {
    const later = window.setTimeout;
    window.setTimeout = (run, ms, ...given) => later(run, FORGETS.includes(ms) ? 2 ** 31 - 1 : ms, ...given);
})()""".replace("FORGETS", str(list(FORGETS_MS)))
"""Lets that stay until a test has seen it, however late it looks."""


class Visit:
    """A browser context on a server. `requests` are the requested URLs, `complaints` the errors of pages and policy."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(base_url=url, reduced_motion="reduce", **options)
        self.context.set_default_timeout(WAIT_MS)
        self.context.add_init_script(LASTING)

    def page(self, step: str = "cut", path: str = "/") -> Page:
        """A new page of the studio at `path`, ready to use; `step` is what stands after the `#`."""
        page = self.context.new_page()
        page.on("request", lambda request: self.requests.append(request.url.split("#")[0]))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        page.goto(f"{path}#{step}")
        page.wait_for_selector("body[data-ready]")
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)
