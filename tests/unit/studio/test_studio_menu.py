"""The menu of the pages on a small screen: by touch, by keyboard, and for a screen reader."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.visits import Visit
from tests.unit.studio.test_studio_steps import violations

PAGES = {"/catalogues": "Catalogues", "/review": "Review", "/trainings": "Trainings", "/verify": "Verify"}


def test_every_page_leads_to_the_others_on_a_phone_too(visit: Callable[..., Visit]) -> None:
    phone = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    for path, name in PAGES.items():
        page = phone.page("", path)
        menu = page.get_by_role("navigation", name="Pages")
        button = page.get_by_role("button", name="Pages")
        expect(menu).to_be_hidden()
        button.focus()
        page.keyboard.press("Enter")
        expect(menu.get_by_role("link")).to_have_text(["Studio", *PAGES.values()])
        expect(menu.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
        assert violations(page) == []
        page.keyboard.press("Tab")
        expect(menu.get_by_role("link", name="Studio")).to_be_focused()
        page.keyboard.press("Escape")
        expect(menu).to_be_hidden()
        expect(button).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.close()
    page = phone.page("", "/verify")
    page.get_by_role("button", name="Pages").tap()
    page.get_by_role("link", name="Trainings").tap()
    page.wait_for_url("**/trainings")


def test_a_wide_page_shows_the_links_and_no_button(visit: Callable[..., Visit]) -> None:
    page = visit().page("", "/verify")
    expect(page.get_by_role("button", name="Pages")).to_be_hidden()
    expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name="Review")).to_be_visible()
