"""The shadow's handle on the canvas: it turns and lengthens the shadow that the dial of Render shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.browser.light import Light
from tests.browser.visits import THEMES, Visit

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def cast(page: Page) -> None:
    page.get_by_role("tab", name="Render").click()
    page.get_by_label("Shadow", exact=True).select_option("Cast")
    page.get_by_role("button", name="Turn it on the canvas").click()


def tip_of(page: Page) -> Locator:
    return page.get_by_role("slider", name="Shadow on the canvas")


def foot_of(page: Page) -> tuple[float, float, float]:
    """(x, y, height) of the product's foot on the screen."""
    box = page.locator("#board-layers .layer").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"], box["height"]


def drag_to(page: Page, right: float, back: float) -> None:
    """Drag the tip so many heights of the product to the right of its foot, and so many ground heights behind it."""
    box = tip_of(page).bounding_box()
    assert box is not None
    x, y, height = foot_of(page)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(x + right * height, y - back * height * 0.3, steps=4)
    page.mouse.up()


@pytest.fixture
def page(visit: Callable[..., Visit], cut_coffee: Callable[..., Page]) -> Page:
    page: Page = cut_coffee(visit(**DESKTOP).page())
    cast(page)
    return page


def test_the_handle_shows_where_the_dial_points(page: Page) -> None:
    expect(tip_of(page)).to_be_focused()
    expect(tip_of(page)).to_have_attribute("aria-valuetext", "as the scene's light says, length 0.8")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("slider", name="Where the shadow falls").press("ArrowRight")
    page.get_by_role("tab", name="Place").click()
    expect(tip_of(page)).to_have_attribute("aria-valuetext", "120 degrees, length 0.8")


def test_a_drag_turns_and_lengthens_the_shadow(page: Page) -> None:
    drag_to(page, right=-1.0, back=1.0)
    expect(tip_of(page)).to_have_attribute("aria-valuetext", "315 degrees, length 1.4")
    drag_to(page, right=0.5, back=0.0)
    expect(tip_of(page)).to_have_attribute("aria-valuenow", "90")
    page.get_by_role("tab", name="Render").click()
    expect(page.get_by_role("slider", name="Where the shadow falls")).to_have_attribute("aria-valuenow", "90")
    page.get_by_role("slider", name="Where the shadow falls").press("ArrowLeft")  # the dial keeps the length
    page.get_by_role("tab", name="Place").click()
    expect(tip_of(page)).to_have_attribute("aria-valuetext", "85 degrees, length 0.5")


def test_arrows_turn_and_lengthen_it_and_undo_takes_it_back(page: Page) -> None:
    tip = tip_of(page)
    # the keys are one quick edit, however slow the machine is
    page.evaluate("() => { const now = performance.now(); performance.now = () => now; }")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        tip.press(key)
    expect(tip).to_have_attribute("aria-valuetext", "125 degrees, length 0.9")
    expect(page.locator("#layer-x")).to_have_value("50")  # the layer rests
    tip.press("Control+z")
    expect(tip).to_have_attribute("aria-valuetext", "as the scene's light says, length 0.8")


def test_a_drag_that_pauses_is_one_undo_step(page: Page) -> None:
    """Each look at the clock is two seconds later."""
    page.evaluate("() => { let now = performance.now(); performance.now = () => (now += 2000); }")
    drag_to(page, right=-1.0, back=1.0)
    tip = tip_of(page)
    expect(tip).to_have_attribute("aria-valuetext", "315 degrees, length 1.4")
    drag_to(page, right=1.0, back=-1.0)
    tip.press("Control+z")
    expect(tip).to_have_attribute("aria-valuetext", "315 degrees, length 1.4")
    tip.press("Control+z")
    expect(tip).to_have_attribute("aria-valuetext", "as the scene's light says, length 0.8")


def test_the_handle_goes_with_the_product_and_with_the_shadow(page: Page) -> None:
    before = tip_of(page).bounding_box()
    page.locator("#board").press("Shift+ArrowLeft")
    after = tip_of(page).bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] < before["x"]
    page.get_by_role("tab", name="Render").click()
    page.get_by_label("Shadow", exact=True).select_option("Contact")
    page.get_by_role("tab", name="Place").click()
    expect(tip_of(page)).to_be_hidden()
    expect(page.locator("#board-shadows > *")).to_have_count(0)


def test_the_request_has_the_shadow_of_the_handle(page: Page, light: Light) -> None:
    drag_to(page, right=1.0, back=-1.0)
    expect(tip_of(page)).to_have_attribute("aria-valuetext", "135 degrees, length 1.4")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("textbox", name="Prompt", exact=True).fill("on a marble table")
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/shots")) as sent:
        page.get_by_role("button", name="Generate").click()
    body = sent.value.post_data_json
    assert body is not None
    assert body["shadow"] == {"mode": "cast", "direction_deg": 135, "length": 1.4}
    with light.painting():
        page.get_by_role("img", name="Result 1").wait_for()


def test_a_finger_turns_it_on_a_phone(visit: Callable[..., Visit], cut_coffee: Callable[..., Page]) -> None:
    page: Page = cut_coffee(visit(**PHONE).page())
    cast(page)
    box = tip_of(page).bounding_box()
    assert box is not None
    assert box["width"] >= 24  # WCAG 2.5.8
    x, y, height = foot_of(page)
    page.evaluate(
        """([x, y]) => {
            const tip = document.querySelector("#shadow-tip");
            const touch = { pointerId: 1, pointerType: "touch", bubbles: true, button: 0 };
            const send = (type, clientX, clientY) =>
                tip.dispatchEvent(new PointerEvent(type, { ...touch, clientX, clientY }));
            tip.setPointerCapture = () => {};
            tip.hasPointerCapture = () => true;
            send("pointerdown", 0, 0);
            send("pointermove", x, y);
        }""",
        [x - height * 0.5, y],
    )
    expect(tip_of(page)).to_have_attribute("aria-valuenow", "270")


def test_the_handle_is_accessible(page: Page) -> None:
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        assert [found["id"] for found in Axe().run(page).response["violations"]] == [], theme


def test_the_sketch_is_below_the_layers(page: Page, tmp_path: Path) -> None:
    order = page.evaluate("[...document.querySelector('#board').children].map((one) => one.id)")
    assert order == ["board-shadows", "board-layers"]
    expect(page.locator("#board-shadows canvas")).to_have_count(1)
