"""The pictures of docs/studio.md, taken anew from the page (make soak): four steps and the brush, light and dark."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.visits import Visit

pytestmark = pytest.mark.soak

PICTURES = Path(__file__).parents[3] / "docs/pictures"
MOST_BYTES = 300_000
SPOON = ((0.69, 0.2), (0.65, 0.46), (0.62, 0.7), (0.58, 0.66), (0.63, 0.56))
"""A way along the spoon of the coffee photo, as shares of its width and height."""


def photograph(page: Page, step: str) -> None:
    """Save the page from its top in both colour schemes, with as many colours as the size limit allows."""
    page.evaluate("for (const body of document.querySelectorAll('.side-body, .panel')) body.scrollTop = 0")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
        for colours in (256, 192, 128, 96, 64):
            file = io.BytesIO()
            shot.quantize(colours).save(file, "PNG", optimize=True)
            if file.tell() <= MOST_BYTES:
                break
        assert file.tell() <= MOST_BYTES
        (PICTURES / f"studio-{step}-{theme}.png").write_bytes(file.getvalue())


def mend(page: Page, photo: Any) -> None:
    """Photograph the eraser while it takes the spoon away, and undo it. `photo` is the photo's box on the page."""
    page.get_by_role("button", name="Eraser").click()
    for _ in range(4):
        page.keyboard.press("]")
    places = [(photo["x"] + x * photo["width"], photo["y"] + y * photo["height"]) for x, y in SPOON]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    photograph(page, "brush")
    page.mouse.up()
    expect(page.locator("#status")).to_contain_text("The cut covers")
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Click", exact=True).click()


def test_the_pictures_of_the_designers_page(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page], coffee_file: Path
) -> None:
    page = visit(viewport={"width": 1200, "height": 750}).page()
    page.get_by_label("Add photos").set_input_files(coffee_file)
    photo = page.get_by_role("img", name="Photo")
    photo.hover()
    box = photo.bounding_box()
    assert box is not None
    corners = [
        (box["x"] + x * box["width"] / 600, box["y"] + y * box["height"] / 400) for x, y in ((78, 14), (480, 387))
    ]
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1], steps=3)
    page.mouse.up()
    for number in ("1", "2"):
        page.get_by_role("button", name="Add to canvas").click()
        page.locator("#count-place", has_text=number).wait_for()
        if number == "1":
            expect(page.locator("#photo-mask")).to_be_visible()
            photograph(page, "cut")
            mend(page, box)

    page.get_by_role("tab", name="Place").click()
    for layer, fields in (
        ("coffee 1", {"Scale": "56", "X": "38"}),
        ("coffee 2", {"Scale": "34", "X": "78", "Y": "70.5", "Rotation": "-8"}),
    ):
        page.get_by_role("button", name=layer, exact=True).click()
        for name, value in fields.items():
            page.get_by_role("spinbutton", name=name, exact=True).fill(value)
    photograph(page, "place")

    page.get_by_role("tab", name="Render").click()
    for scenes, seed, result in (
        (("Dark wood", "Brick wall", "Soft morning"), "7", 2),
        (("Marble", "Garden"), "21", 4),
    ):
        for scene in scenes:
            page.get_by_role("button", name=scene, exact=True).click()
        page.get_by_role("spinbutton", name="Seed").fill(seed)
        page.get_by_role("button", name="Generate").click()
        page.get_by_role("img", name=f"Result {result}").wait_for()
    page.get_by_role("spinbutton", name="Steps").fill("60")
    page.get_by_role("button", name="Generate").click()
    page.locator(".slot img").nth(1).wait_for()  # of both pictures
    photograph(page, "render")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".shot").first).to_contain_text("Cancelled")

    page.get_by_role("tab", name="Choose").click()
    page.get_by_role("img", name="Result 4").click()
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("slider", name="Compare").fill("38")
    expect(page.get_by_role("button", name="Approve")).to_have_attribute("aria-pressed", "true")
    photograph(page, "choose")

    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Generate").scroll_into_view_if_needed()
    photograph(page, "phone")
