"""All steps on a desktop, on a phone and by keyboard: nothing lies on anything else, and axe finds nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from packshot.contract.verdict import Finding, Verdict
from packshot.store.records import Claim, NewImage
from tests.api_graph import png
from tests.browser.light import Light
from tests.browser.overlaps import overlapping, overlapping_anywhere
from tests.browser.visits import Visit
from tests.specs import recipe_of

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
VERDICT = Verdict(
    (
        Finding("lock", "ok", "all 61,234 opaque product pixels equal the placed photo", 0.0),
        Finding("enlargement", "warning", "the scene was enlarged 4.00x, which looks soft above 2x", 4.0),
        Finding("frame", "warning", "the product touches the edge of the frame: left", 1.0),
        Finding("hallucination", "failed", "something stands beside it; use another seed", 0.3, (0.5, 0.25, 0.75, 0.5)),
    )
)
STEPS = ("cut", "place", "render", "choose")


def painter(light: Light) -> Callable[[Claim], None]:
    """A painter whose pictures have a warning."""

    def paint(claim: Claim) -> None:
        spec = claim.spec
        images = [
            NewImage(
                index=index,
                seed=seed,
                width=96,
                height=96,
                png=png(96, 96, shade=80 * index),
                verdict=VERDICT,
                recipe=recipe_of(seed, spec, queue=1, steps=2, decode=1),
            )
            for index, seed in enumerate(spec.seeds)
        ]
        light.api.store.queue.commit(claim, images)

    return paint


def add_photo(page: Page) -> Locator:
    page.get_by_label("Add photos").set_input_files(
        {"name": "A product with a rather long name.png", "mimeType": "image/png", "buffer": png(320, 240)}
    )
    photo = page.get_by_role("img", name="Photo")
    photo.hover()
    return photo


def drawn_box(page: Page, photo: Locator) -> None:
    """Draw a box of a quarter of the photo in its middle."""
    box = photo.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 3 / 4, box["y"] + box["height"] * 3 / 4, steps=3)
    page.mouse.up()
    page.locator("#photo-mask").wait_for()


def violations(page: Page) -> list[tuple[str, list[Any]]]:
    found = Axe().run(page).response["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found]


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_lies_on_anything_else_in_any_step(visit: Callable[..., Visit], light: Light, screen: Any) -> None:
    page = visit(**screen).page()

    def tab(step: str) -> None:
        page.get_by_role("tab", name=step.title()).click()
        expect(page.locator(f"#panel-{step}")).not_to_have_attribute("aria-busy", "true")

    def clear(step: str, state: str) -> None:
        assert overlapping_anywhere(page, step) == [], f"{step}, {state}"
        assert page.evaluate("document.scrollingElement.scrollHeight - innerHeight") == 0, f"{step}, {state}"

    for step in STEPS:
        tab(step)
        clear(step, "empty")
    tab("cut")
    photo = add_photo(page)
    clear("cut", "a photo")
    drawn_box(page, photo)
    page.get_by_role("button", name="Candidate 3").click()
    expect(page.locator("#cut-hint")).to_contain_text("uncertain")
    clear("cut", "candidates")
    assert violations(page) == []
    page.get_by_role("button", name="Brush").click()
    page.get_by_role("slider", name="Size", exact=True).wait_for()
    clear("cut", "the brush")
    for number in ("1", "2"):
        page.get_by_role("button", name="Add to canvas").click()
        page.locator("#count-place", has_text=number).wait_for()
    tab("place")
    clear("place", "two layers")
    assert violations(page) == []
    page.get_by_label("Background", exact=True).select_option("White")
    tab("render")
    clear("render", "no scene")
    page.get_by_role("button", name="Paint a scene").click()
    with light.painting(painter(light)):
        for pictures in (2, 4):
            page.get_by_role("button", name="Generate").click()
            page.get_by_role("img", name=f"Result {pictures}").wait_for()
    clear("render", "two shots")
    assert violations(page) == []
    tab("choose")
    page.get_by_label("Deliver as").select_option("amazon-main")
    expect(page.get_by_role("button", name="Make it pass")).to_be_visible()
    clear("choose", "a picture that Amazon refuses")
    assert violations(page) == []
    place, figure = page.locator("#figure .place"), page.locator("#figure").bounding_box()
    expect(place).to_have_text("hallucination")
    box = place.bounding_box()
    assert figure is not None
    assert box is not None
    assert (box["x"] - figure["x"]) / figure["width"] == pytest.approx(0.5, abs=0.01)
    assert box["height"] / figure["height"] == pytest.approx(0.25, abs=0.01)
    page.get_by_role("button", name="Findings").click()
    expect(place).to_be_hidden()


def test_the_way_on_a_phone(visit: Callable[..., Visit], light: Light) -> None:
    page = visit(**PHONE).page()
    photo = add_photo(page)
    photo.tap()
    page.locator("#photo-mask").wait_for()
    page.get_by_role("button", name="Add to canvas").tap()
    page.locator("#count-place", has_text="1").wait_for()
    for step in STEPS:
        tab = page.get_by_role("tab", name=step.title())
        tab.tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, step
        bar = tab.bounding_box()
        assert bar is not None
        assert bar["height"] >= 44
        assert bar["y"] + bar["height"] <= 844.5
    page.get_by_role("tab", name="Render").tap()
    with light.painting(painter(light)):
        page.get_by_role("button", name="Generate").tap()
        page.get_by_role("img", name="Result 2").wait_for()
    expect(page.get_by_role("img", name="Result 1")).to_be_in_viewport()
    page.get_by_role("tab", name="Choose").tap()
    page.get_by_role("button", name="Reject").tap()
    expect(page.get_by_role("button", name="Reject")).to_have_attribute("aria-pressed", "true")


def test_the_whole_way_by_keyboard_alone(visit: Callable[..., Visit], light: Light) -> None:
    page = visit().page()
    press = page.keyboard.press
    add_photo(page)  # the system's own file dialog is not the page's
    page.mouse.move(0, 0)

    def reach(target: Locator) -> None:
        """Press Tab until this element has the focus."""
        for _ in range(90):
            if target.evaluate("element => element === document.activeElement"):
                assert overlapping(page) == []
                return
            press("Tab")
        raise AssertionError(f"Tab does not reach {target}")

    reach(page.get_by_role("img", name="Photo"))
    press("b")
    for _ in range(3):
        press("Shift+ArrowRight")
        press("Shift+ArrowDown")
    press("b")
    expect(page.locator("#photo-mask")).to_be_visible()
    press("Control+z")
    expect(page.locator("#photo-mask")).to_be_hidden()
    press("Control+y")
    expect(page.locator("#photo-mask")).to_be_visible()
    reach(page.get_by_role("button", name="Add to canvas"))
    press("Enter")
    page.locator("#count-place", has_text="1").wait_for()

    reach(page.get_by_role("tab", name="Cut"))
    press("ArrowRight")
    reach(page.get_by_role("application", name="Canvas"))
    across, turn = (page.get_by_role("spinbutton", name=name) for name in ("X", "Rotation"))
    expect(across).to_have_value("50")
    press("Shift+ArrowRight")
    press("]")
    expect(across).to_have_value("51")  # ten of 1,024 px
    expect(turn).to_have_value("1")
    press("Control+z")
    expect(turn).to_have_value("0")
    press("Control+z")
    expect(across).to_have_value("50")
    press("Control+Shift+z")
    expect(across).to_have_value("51")
    press("Control+y")
    expect(turn).to_have_value("1")
    reach(page.get_by_role("tab", name="Place"))
    press("ArrowRight")
    reach(page.get_by_role("button", name="Marble"))
    press("Enter")
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    expect(prompt).to_have_value("on a marble table")
    press("Control+z")
    expect(prompt).to_have_value("")
    press("Control+Shift+z")
    expect(prompt).to_have_value("on a marble table")
    press("Control+a")
    assert page.evaluate("String(getSelection())") == ""
    reach(page.get_by_role("spinbutton", name="Pictures"))
    press("Control+a")
    page.keyboard.type("1")
    reach(page.get_by_role("button", name="Generate"))
    with light.painting(painter(light)):
        press("Enter")
        page.get_by_role("img", name="Result 1").wait_for()
    reach(page.get_by_role("tab", name="Render"))
    press("ArrowRight")
    approve = page.get_by_role("button", name="Approve")
    reach(approve)
    press("Space")
    expect(approve).to_have_attribute("aria-pressed", "true")
    press("Control+z")
    expect(approve).to_have_attribute("aria-pressed", "false")
    press("Control+y")
    expect(approve).to_have_attribute("aria-pressed", "true")
