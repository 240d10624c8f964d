"""`/docs` in Debian's Chromium: Swagger UI under the page's policy, with nothing from other servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.api_graph import Api
from tests.browser.page import ARGUMENTS, chromium_path

WAIT_MS = 60_000


@pytest.fixture
def page() -> Iterator[Page]:
    """A page whose errors, policy violations and requests of other servers fail the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(("http://127.0.0.1:", "data:")) else complaints.append(request.url)
            ),
        )
        yield page
        browser.close()
    assert complaints == []


def test_the_reference_asks_for_a_key_and_shows_every_operation(api: Api, page: Page) -> None:
    page.goto(f"{api.url}/docs")
    page.get_by_label("Key").fill("pk_wrong")
    page.get_by_role("button", name="Show the API").click()
    expect(page.get_by_role("alert")).to_contain_text("not valid or was revoked")
    page.get_by_label("Key").fill(api.key)
    page.get_by_role("button", name="Show the API").click()
    operations = api.http.get("/openapi.json").json()["paths"]
    expect(page.locator(".opblock")).to_have_count(sum(len(methods) for methods in operations.values()))
    # "Try it out" sends the session's cookie.
    page.locator("#operations-operations-list_engines .opblock-summary-control").click()
    page.locator("#operations-operations-list_engines").get_by_role("button", name="Try it out").click()
    page.locator("#operations-operations-list_engines").get_by_role("button", name="Execute").click()
    expect(page.locator("#operations-operations-list_engines .live-responses-table")).to_contain_text("v_prediction")
