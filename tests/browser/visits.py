"""A browser on a server, with the requests and the errors of its pages."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page

WAIT_MS = 60_000


class Visit:
    """A browser context on a server. `requests` are the requested URLs, `complaints` the errors of pages and policy."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(base_url=url, reduced_motion="reduce", **options)
        self.context.set_default_timeout(WAIT_MS)

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
