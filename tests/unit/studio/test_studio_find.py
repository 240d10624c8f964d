"""Words find the product on the page: a field, thin frames of what was found, and a click that picks one of several."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from packshot.types import Detection
from tests.browser.light import Light
from tests.browser.routes import Held
from tests.browser.visits import Visit

LEFT, RIGHT = Detection((60, 80, 260, 300), 0.9), Detection((330, 90, 560, 330), 0.6)


@pytest.fixture(autouse=True)
def _shown(light: Light) -> Iterator[None]:
    light.api.graph.shown = {"mug": (LEFT, RIGHT), "lamp": ()}
    yield
    light.api.graph.shown, light.api.graph.finds_words = {}, True


@pytest.fixture
def page(visit: Callable[..., Visit], coffee_file: Path) -> Page:
    """The page with the coffee photo, 600 x 400 px."""
    page = visit().page()
    page.get_by_label("Add photos").set_input_files(coffee_file)
    expect(page.locator("#photo")).to_be_visible()
    return page


def find(page: Page, words: str) -> None:
    page.get_by_label("Find by words").fill(words)
    page.get_by_role("button", name="Find", exact=True).click()


def test_what_words_find_is_framed_and_a_click_picks_another(page: Page) -> None:
    find(page, "red mug")
    expect(page.locator(".found")).to_have_count(2)
    expect(page.locator("#find [role=status]")).to_contain_text("Unknown words were ignored: red.")
    first, second = page.locator(".found").nth(0), page.locator(".found").nth(1)
    expect(first).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".candidate")).to_have_count(2)
    second.click()
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(first).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".candidate").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".mark")).to_have_count(0)  # it picked, and marked nothing
    page.get_by_role("button", name="Add to canvas").click()
    expect(page.locator("#tab-place .count")).to_have_text("1")
    page.get_by_role("button", name="Undo").first.click()
    expect(page.locator(".found")).to_have_count(0)
    expect(page.locator("#find [role=status]")).to_be_hidden()


def test_unknown_words_are_named_before_they_are_looked_for(page: Page) -> None:
    field, status = page.get_by_label("Find by words"), page.locator("#find [role=status]")
    field.fill("red mug")
    expect(status).to_have_text("Unknown words were ignored: red.")
    expect(page.locator(".found")).to_have_count(0)
    field.fill("giraffe")
    expect(status).to_contain_text("must name a product that the detector knows, got 'giraffe'")
    field.fill("mug")
    expect(status).to_be_hidden()
    field.fill("red mug")
    page.get_by_role("button", name="Find", exact=True).click()
    expect(page.locator(".found")).to_have_count(2)
    expect(status).to_have_text(re.compile("Unknown words were ignored: red. 2 products fit"))
    page.get_by_role("button", name="Clear").click()
    expect(status).to_be_hidden()


def test_an_answer_about_typed_words_that_comes_late_hides_nothing_of_what_was_found(page: Page) -> None:
    field, status = page.get_by_label("Find by words"), page.locator("#find [role=status]")
    typed = Held(page, "**/words*")
    field.fill("red mug")
    typed.wait()
    page.get_by_role("button", name="Find", exact=True).click()
    found = re.compile("Unknown words were ignored: red. 2 products fit")
    expect(status).to_have_text(found)
    with page.expect_response("**/words*"):
        typed.let_go()
    page.evaluate("fetch('/v1/words?text=mug').then((answer) => answer.json())")  # the page has read the one before
    expect(status).to_have_text(found)


def test_a_cut_that_takes_time_says_so_and_its_alert_leaves_with_the_step(page: Page) -> None:
    waiting: list[Route] = []
    page.route("**/masks", lambda route: waiting.append(route))
    with page.expect_request("**/masks"):
        page.get_by_role("button", name="Automatic").click()
    expect(page.locator("#cut-hint")).to_have_text("Cutting…")
    waiting[0].fulfill(json={"masks": []})
    alert = page.locator(".alert", has_text="Nothing was found there.")
    expect(alert).to_be_visible()
    expect(page.locator("#cut-hint")).to_be_hidden()
    page.get_by_role("tab", name="Place").click()
    expect(alert).to_have_count(0)


def test_nothing_found_says_so_and_a_box_says_where(page: Page) -> None:
    find(page, "lamp")
    expect(page.locator("#find [role=status]")).to_contain_text("Nothing in the photo is 'lamp'")
    expect(page.get_by_role("button", name="Add to canvas")).to_be_disabled()
    expect(page.get_by_role("alert").filter(visible=True)).to_have_count(0)  # once is enough
    find(page, "giraffe")
    expect(page.locator("#find [role=status]")).to_contain_text("must name a product that the detector knows")
    page.get_by_role("button", name="Clear").click()
    photo = page.locator("#photo").bounding_box()
    assert photo is not None
    page.mouse.move(photo["x"] + 0.52 * photo["width"], photo["y"] + 0.1 * photo["height"])
    page.mouse.down()
    page.mouse.move(photo["x"] + 0.97 * photo["width"], photo["y"] + 0.95 * photo["height"], steps=4)
    page.mouse.up()
    expect(page.locator(".mark-box:not(.band)")).to_have_count(1)
    find(page, "mug")
    expect(page.locator(".found")).to_have_count(1)


def test_a_server_without_a_detector_shows_no_field(
    visit: Callable[..., Visit], light: Light, coffee_file: Path
) -> None:
    light.api.graph.finds_words = False
    page = visit().page()
    page.get_by_label("Add photos").set_input_files(coffee_file)
    expect(page.locator("#photo")).to_be_visible()
    expect(page.locator("#engine option")).to_have_count(2)  # Render knows the server, and would load the field
    expect(page.locator("#find")).to_have_count(0)
