"""The page Review by keyboard, and the page of a share link, on the API without a cluster."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from packshot.contract.product import GeneratedProduct
from packshot.contract.shot_spec import Canvas
from packshot.contract.verdict import Finding, Verdict
from packshot.imaging.codec import encode_png
from packshot.store.records import NewImage
from packshot.types import U8
from tests.api_graph import png
from tests.browser.light import Light
from tests.browser.visits import Visit
from tests.receiver import wait_until
from tests.specs import recipe_of, spec_of

SIDE = 200
BY = 5
"""By how much one corner of the first picture's product differs from the photo, of 255."""


@pytest.fixture(scope="module")
def made(light: Light) -> list[str]:
    """The ids of seven finished pictures, in the order of the page: MUG-6 first.

    Each shows the photo's product at its own size, right of the middle, so that the picture's pixels are the photo's.
    The first one is altered in a corner.
    """
    api, http = light.api, light.api.anyone
    photo = http.post("/v1/photos", files={"file": ("a.png", png(120, 90), "image/png")}).json()
    click = {"boxes": [[20, 20, 80, 60]], "multimask": False}
    mask = http.post(f"/v1/photos/{photo['id']}/masks", json=click).json()["masks"][0]
    x0, y0, x1, y1 = mask["cutout_bbox"]
    source: U8 = np.asarray(Image.open(io.BytesIO(png(120, 90))))
    ids = []
    for number in range(7):
        layer = {"mask_id": mask["id"], "x": 0.6, "y": 0.5, "scale": max(x1 - x0, y1 - y0) / SIDE}
        body = {"layers": [layer], "canvas": {"width": SIDE, "height": SIDE}, "sku": f"MUG-{number}", "seed": number}
        claim = api.claim(http.post("/v1/shots", json=body).json()["id"])
        pixels = np.full((SIDE, SIDE, 3), 90 + number, np.uint8)
        left, top = int(0.6 * SIDE - (x1 - x0) / 2 + 0.5), int(0.5 * SIDE - (y1 - y0) / 2 + 0.5)
        pixels[top : top + y1 - y0, left : left + x1 - x0] = source[y0:y1, x0:x1]
        if number == 6:
            pixels[top + 5 : top + 15, left + 5 : left + 15] += BY
        verdict = Verdict((Finding("frame", "warning", "the frame cuts the product off", 1.0),))
        new = NewImage(number, number, SIDE, SIDE, encode_png(pixels), verdict, recipe_of(number, claim.spec))
        ids += [picture.id for picture in api.store.queue.commit(claim, [new]).images]
    return ids[::-1]


def shown(page: Page, image_id: str) -> None:
    page.wait_for_selector(f"body[data-shown='{image_id}']")


def states(light: Light, ids: list[str]) -> list[str]:
    return [light.api.anyone.get(f"/v1/images/{one}.json").json()["review_state"] for one in ids]


def log(light: Light, image_id: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = light.api.anyone.get(f"/v1/images/{image_id}/reviews").json()["reviews"]
    return lines


def drag(page: Page, *way: tuple[float, float]) -> None:
    """Press at the first of some places of the picture, as shares of its size, and move to the others."""
    box = page.locator("#content").bounding_box()
    assert box is not None
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in way]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def test_a_sitting_by_keyboard(visit: Callable[..., Visit], light: Light, made: list[str]) -> None:
    """Views, marks, decisions of two reviewers, download and a share link, one after the other on one page."""
    here = visit()
    page = here.page("", "/review")
    shown(page, made[0])
    asked = "(id) => performance.getEntriesByType('resource').some(({ name }) => name.endsWith(id))"
    page.wait_for_function(asked, arg=made[3])  # fetched ahead, so that it shows at once

    # the master photo is aligned to the pixel: nothing but the altered corner differs
    page.keyboard.press("d")
    expect(page.locator("#view-words")).to_contain_text(f"Largest difference {BY} of 255")
    brightest = "([x, y]) => [...document.getElementById('difference').getContext('2d').getImageData(x, y, 1, 1).data]"
    assert page.evaluate(brightest, [100, 90])[:3] == [8 * BY] * 3
    page.keyboard.press("s")
    expect(page.get_by_role("img", name="Master photo")).to_be_visible()
    page.keyboard.press("w")
    expect(page.locator("#wipe")).to_be_visible()
    page.keyboard.press("b")
    page.keyboard.press("Space")
    assert page.locator("#panes").get_attribute("data-master") is not None
    page.keyboard.press("p")
    expect(page.locator("#box-words")).to_have_text("frame")
    assert axe(page) == []

    page.keyboard.press("m")
    drag(page, (0.25, 0.25), (0.4, 0.3), (0.5, 0.5))
    page.keyboard.press("m")
    page.keyboard.press("m")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.keyboard.press("m")
    page.keyboard.press("n")
    page.keyboard.type("It hovers.")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.keyboard.press("3")
    shown(page, made[1])
    page.keyboard.press("a")
    shown(page, made[2])
    page.keyboard.press("ArrowRight")
    shown(page, made[3])
    page.keyboard.press("a")
    shown(page, made[4])
    page.wait_for_function("() => document.getElementById('progress').textContent.includes('2 approved · 1 to change')")

    page.wait_for_function(asked, arg=f"{made[4]}/reviews")  # the page has seen its state
    light.api.anyone.post(f"/v1/images/{made[4]}/reviews", json={"state": "approved", "reviewer": "Grace"})
    page.keyboard.press("6")
    page.keyboard.press("r")
    expect(page.get_by_role("alert").filter(has_text="decided by somebody else")).to_be_visible()
    page.get_by_role("button", name="Look").click()
    shown(page, made[4])
    expect(page.locator("#met")).to_contain_text("Grace decided since you opened this picture: Approved")
    decided = ["changes_requested", "approved", "draft", "approved", "approved", "draft", "draft"]
    wait_until(lambda: states(light, made) == decided)  # the page goes on before the server has answered
    page.keyboard.press("r")
    page.wait_for_function("() => document.getElementById('progress').textContent.includes('2 to change')")

    wait_until(lambda: states(light, made)[4] == "changes_requested")
    [line] = log(light, made[0])
    assert (line["reason"], line["note"], line["by"]) == ("floating", "It hovers.", "local")
    rect, point = line["marks"]
    assert np.allclose(rect["points"], [[0.25, 0.25], [0.5, 0.5]], atol=0.01)
    assert point == {"kind": "point", "points": [[0.48, 0.5]]}

    page.keyboard.press("x")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("x")
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download ZIP").click()
    archive = zipfile.ZipFile(coming.value.path())
    assert archive.testzip() is None
    assert len(archive.namelist()) == 2
    assert all(name.startswith("MUG-") and name.endswith("-01.png") for name in archive.namelist())

    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Link, shown only now")
    expect(link).to_be_visible()
    visitor = visit()
    there = visitor.page(link.input_value().partition("#")[2], "/share")
    expect(there.get_by_role("article")).to_have_count(2)
    assert axe(there) == []
    there.get_by_label("Your name").fill("Ada")
    there.get_by_label("Comment on picture 1").fill("More room above.")
    there.get_by_role("button", name="Comment").first.click()
    expect(there.get_by_text("More room above.").first).to_be_visible()
    assert not any("sl_" in asked for asked in visitor.requests), "the token stands in no address that is sent"
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("button", name="Revoke")).to_have_count(0)
    there.reload()
    expect(there.get_by_text("This link shows nothing")).to_be_visible()


def test_it_fits_a_phone(visit: Callable[..., Visit], made: list[str]) -> None:
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True).page("", "/review")
    page.locator("#film li").first.wait_for()
    for name in ("Approve", "Changes", "The next picture"):
        box = page.get_by_role("button", name=name).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 844, f"{name} is within reach of the thumb"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.soak
def test_the_next_of_100_pictures_shows_within_100_ms(visit: Callable[..., Visit], light: Light) -> None:
    api, side, sitting = light.api, 1600, 100
    photo = api.anyone.post("/v1/photos", files={"file": ("a.png", png(120, 90), "image/png")}).json()["id"]
    click = {"boxes": [[20, 20, 80, 60]], "multimask": False}
    mask = api.anyone.post(f"/v1/photos/{photo}/masks", json=click).json()["masks"][0]["id"]
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    for number in range(sitting):
        body = {"layers": [{"mask_id": mask}], "canvas": {"width": side, "height": side}, "seed": number}
        claim = api.claim(api.anyone.post("/v1/shots", json=body).json()["id"])
        light_of = np.random.default_rng(number).uniform(90, 160, 3)
        grain = np.random.default_rng(number).normal(0, 3, (side, side, 1))
        pixels = np.clip(light_of + 60 * rows[..., None] - 30 * columns[..., None] + grain, 0, 255).astype(np.uint8)
        recipe = recipe_of(number, claim.spec)
        new = NewImage(0, number, side, side, encode_png(pixels), Verdict(), recipe)
        api.store.queue.commit(claim, [new])
    page = visit(viewport={"width": 1440, "height": 900}).page("", "/review")
    page.locator("#film li").nth(sitting - 1).wait_for(state="attached")
    shown_ms = []
    for _ in range(sitting - 1):
        before = page.evaluate("document.body.dataset.shown")
        page.wait_for_timeout(700)  # a person looks at it, and is quick
        page.keyboard.press("a")
        page.wait_for_function("(id) => document.body.dataset.shown !== id", arg=before)
        shown_ms.append(int(page.evaluate("document.body.dataset.shownMs")))
    found = np.percentile(shown_ms, [50, 95, 100])
    print(f"next picture of {sitting}, {side} px: p50 {found[0]:.0f} ms, p95 {found[1]:.0f} ms, most {found[2]:.0f} ms")
    assert found[1] <= 100


def axe(page: Page) -> list[tuple[str, list[Any]]]:
    found = Axe().run(page).response["violations"]
    serious = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in serious]


def test_a_generated_product_is_told_and_shown_beside_each_of_its_photos(
    visit: Callable[..., Visit], light: Light
) -> None:
    api, http = light.api, light.api.anyone
    sizes = ((120, 90), (90, 120), (100, 100))
    photos = [
        http.post("/v1/photos", files={"file": ("v.png", png(*size, shade=9), "image/png")}).json()["id"]
        for size in sizes
    ]
    spec = spec_of(product=GeneratedProduct(tuple(photos)), layers=(), canvas=Canvas(SIDE, SIDE))
    shot, _ = api.store.shots.add(api.store.tenants.local().id, spec, sku="ANGLE")
    lock = Finding("lock", "warning", "not applicable: the product was painted")
    new = NewImage(0, 0, SIDE, SIDE, png(SIDE, SIDE), Verdict((lock,), product="generated"), recipe_of(0, spec))
    (image,) = api.store.queue.commit(api.claim(shot.id), [new]).images
    page = visit().page("", "/review?sku=ANGLE")
    shown(page, image.id)
    expect(page.locator("#verdict")).to_contain_text("Product: generated")
    expect(page.locator("#verdict")).to_contain_text("Compare it with photos of the product")
    views = page.get_by_role("group", name="Photos of the product").get_by_role("button")
    expect(views).to_have_count(3)
    for nth, (width, _) in enumerate(sizes):
        expect(views.nth(nth).locator("img")).to_have_js_property("naturalWidth", width)
    page.keyboard.press("s")
    master = page.locator("#pane-master img").first
    expect(master).to_have_js_property("naturalWidth", 120)
    expect(views.nth(0)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("p")
    views.nth(1).click()
    expect(master).to_be_visible()
    expect(master).to_have_js_property("naturalWidth", 90)
    expect(views.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#boxes polygon")).to_have_count(0)
    assert axe(page) == []
    page.keyboard.press("d")
    expect(page.locator("#view-words")).to_contain_text("none of its pixels are a photo's")
