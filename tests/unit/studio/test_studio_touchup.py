"""A touch-up of a finished picture: painted with a brush in a dialog of Choose, its versions, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.api_graph import running
from tests.browser.light import STUDIO
from tests.browser.visits import THEMES, Visit
from tests.directed import Directed, directed


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directed]:
    with (
        running(tmp_path_factory.mktemp("touchups"), studio_dir=STUDIO, open_access=True, heartbeat_s=0.2) as api,
        directed(api) as at_work,
    ):
        yield at_work


@pytest.fixture(scope="module")
def url(studio: Directed) -> str:
    return studio.url


@pytest.fixture
def page(visit: Callable[..., Visit], cut_coffee: Callable[..., Page]) -> Page:
    """A page with a finished scene, and the dialog open."""
    page: Page = cut_coffee(visit().page())
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Width").fill("256")
    page.get_by_label("Height").fill("256")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("img", name="Result 1").wait_for()
    page.get_by_role("tab", name="Choose").click()
    page.get_by_role("button", name="Touch up").click()
    page.get_by_role("heading", name="Touch up").wait_for()
    return page


def brush(page: Page) -> None:
    """Move the brush across the upper left corner."""
    box = page.locator("#touch-canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 12, steps=4)
    page.mouse.up()


def test_a_marked_corner_is_repainted_and_the_version_before_comes_back(page: Page) -> None:
    repaint = page.get_by_role("button", name="Repaint")
    expect(repaint).to_be_disabled()
    brush(page)
    page.get_by_role("button", name="Undo").last.click()
    expect(repaint).to_be_disabled()
    page.get_by_role("button", name="Redo").last.click()
    page.get_by_label("Paint there").fill("a zorbly leaf")
    expect(page.locator("#touch-prompt-words")).to_contain_text("Unknown words were left out: zorbly")
    page.get_by_label("Paint there").fill("a leaf")
    expect(page.locator("#touch-prompt-words")).to_be_hidden()
    repaint.click()
    expect(page.locator("#touch-state")).to_have_text("Version 2 is ready.")
    page.get_by_role("button", name="Version 1: go back to it").click()
    expect(page.locator("#touch-state")).to_have_text("Version 1 counts again.")
    expect(page.get_by_role("button", name="Version 1, the one that counts")).to_be_visible()


def test_a_repaint_that_is_being_sent_is_not_sent_again(page: Page) -> None:
    sent: list[Route] = []
    page.route("**/touchups", lambda route: sent.append(route))
    brush(page)
    repaint = page.get_by_role("button", name="Repaint")
    page.evaluate("for (let press = 0; press < 2; press++) document.querySelector('#touch-form').requestSubmit()")
    expect(repaint).to_be_disabled()
    expect(page.locator("#touch-state")).to_have_text("Sending…")
    assert len(sent) == 1
    sent[0].abort()
    expect(page.locator("#touch-problem")).to_contain_text("does not answer")
    expect(repaint).to_be_enabled()


def test_margins_make_the_picture_larger(page: Page) -> None:
    page.get_by_label("Left", exact=True).fill("64")
    expect(page.locator("#touch-words")).to_contain_text("320 × 256 px")
    page.get_by_role("button", name="Repaint").click()
    expect(page.locator("#touch-state")).to_have_text("Version 2 is ready.")
    expect(page.locator("#touch-shown")).to_have_js_property("naturalWidth", 320)


def test_the_keyboard_paints_and_what_cannot_be_painted_is_said(page: Page) -> None:
    page.locator("#touch-canvas").focus()
    page.keyboard.press("]")
    page.keyboard.press("Space")  # in the middle, where the product is
    expect(page.get_by_role("button", name="Repaint")).to_be_enabled()
    page.get_by_role("button", name="Repaint").click()
    expect(page.locator("#touch-problem")).to_contain_text("product")
    page.keyboard.press("Control+z")


def test_the_dialog_of_touchups_is_accessible(page: Page) -> None:
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        assert [found["id"] for found in Axe().run(page).response["violations"]] == [], theme


def test_an_edge_is_dragged_outwards_and_painted(page: Page) -> None:
    handle = page.get_by_role("slider", name="Grow the picture on the right")
    box, shown = handle.bounding_box(), page.locator("#touch-shown").bounding_box()
    assert box is not None
    assert shown is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + shown["width"] / 4, box["y"], steps=4)
    assert page.locator("#touch-shown").bounding_box() == pytest.approx(shown, abs=1), "the picture stays in its place"
    page.mouse.up()
    expect(page.get_by_label("Right", exact=True)).to_have_value("64")
    handle.press("ArrowRight")
    expect(handle).to_have_attribute("aria-valuetext", "72 px")
    handle.press("ArrowLeft")
    page.get_by_role("button", name="Repaint").click()
    expect(page.locator("#touch-state")).to_have_text("Version 2 is ready.")
    expect(page.locator("#touch-shown")).to_have_js_property("naturalWidth", 320)


def test_a_reviewers_mark_is_repainted_and_the_new_version_is_reviewed(page: Page) -> None:
    page.goto("/review")
    page.wait_for_selector("body[data-shown]")
    field = page.get_by_label("Paint there, where you marked")
    expect(field).to_be_hidden()
    first = page.locator("body").get_attribute("data-shown") or ""
    page.keyboard.press("m")
    box = page.locator("#content").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 5, box["y"] + box["height"] / 5)
    page.mouse.up()
    expect(field).to_have_value("")  # the scene's own prompt
    field.fill("a green leaf")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    expect(page.locator("#facts")).to_contain_text("Version 2")
    expect(page.locator("#state")).to_have_text("In review")
    expect(page.locator("#prompt")).to_be_visible()
    expect(page.locator("body")).not_to_have_attribute("data-shown", first)
    expect(field).to_be_hidden()
    expect(page.get_by_role("button", name="Approve")).to_be_enabled()


def test_the_sides_that_a_channel_lacks_are_painted_and_the_file_is_saved(page: Page) -> None:
    page.get_by_role("button", name="Close").last.click()
    sides = page.locator("#paint-sides")
    expect(sides).to_be_hidden()
    page.get_by_label("Deliver as").select_option("meta-ad-9x16")
    approve = page.get_by_role("button", name="Approve", exact=True)
    approve.click()  # the page is drawn anew with the channel chosen
    expect(approve).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Download", exact=True).click()
    refused = page.locator("#alerts")
    expect(refused).to_contain_text("This channel's frame has another shape.")
    expect(refused).not_to_contain_text("POST /v1")
    with page.expect_download() as saved:
        refused.get_by_role("button", name="Paint the sides").click()
    assert saved.value.suggested_filename.endswith("-meta-ad-9x16.jpg")
    expect(page.locator("#preset-words")).to_contain_text("the engine painted")
    page.get_by_label("Deliver as").select_option("meta-ad-1x1")
    expect(sides).to_be_hidden()
