"""What a new user met in the first hour, mended: undo, landing, handles, words that are true, a way past a refusal."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from playwright.sync_api import Page, expect

from tests.api_graph import png
from tests.browser.light import Light
from tests.browser.overlaps import overlapping
from tests.browser.visits import Visit
from tests.unit.studio.test_studio_steps import PHONE, add_photo, drawn_box, painter


def on_canvas(page: Page, times: int = 1) -> Page:
    """Cut a box out and put it on the canvas."""
    drawn_box(page, add_photo(page))
    for number in range(1, times + 1):
        page.get_by_role("button", name="Add to canvas").click()
        page.locator("#count-place", has_text=str(number)).wait_for()
    return page


def desk_of(page: Page) -> dict[str, Any]:
    desk: dict[str, Any] = page.evaluate("async () => structuredClone((await import('/studio/store.js')).desk)")
    return desk


def test_the_geometric_check_sees_an_element_on_another(visit: Callable[..., Visit]) -> None:
    page = visit().page()
    page.evaluate("document.getElementById('automatic').style.transform = 'translateY(-60px)'")
    assert any("Automatic" in problem for problem in overlapping(page, wait_s=0))
    page.evaluate("document.getElementById('automatic').style.transform = 'translateX(300px)'")
    assert any("sideways" in problem for problem in overlapping(page, wait_s=0))


def test_a_plain_background_makes_one_picture_and_says_so(visit: Callable[..., Visit], light: Light) -> None:
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Background", exact=True).select_option("White")
    page.get_by_role("tab", name="Render").click()
    expect(page.get_by_text("no scene is painted, so there is one picture")).to_be_visible()
    expect(page.get_by_role("spinbutton", name="Pictures")).to_be_hidden()
    with page.expect_request("**/v1/shots") as sent:
        page.get_by_role("button", name="Generate").click()
    assert (sent.value.post_data_json or {})["images"] == 1
    page.get_by_role("button", name="Paint a scene").click()
    expect(page.get_by_role("spinbutton", name="Pictures")).to_have_value("2")


def test_products_land_beside_each_other(visit: Callable[..., Visit]) -> None:
    page = on_canvas(visit().page(), times=3)
    layers = desk_of(page)["layers"]
    spans = sorted((layer["x"] - layer["scale"] / 2, layer["x"] + layer["scale"] / 2) for layer in layers)  # 4:3 boxes
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    assert spans[0][0] >= 0.05
    assert spans[-1][1] <= 0.95
    # One that was moved stays, and the next one takes the free room.
    page.get_by_role("tab", name="Place").click()
    for name, value in (("X", "30"), ("Scale", "40")):
        page.get_by_role("spinbutton", name=name, exact=True).fill(value)
    page.get_by_role("tab", name="Cut").click()
    before = desk_of(page)["layers"]
    page.get_by_role("button", name="Add to canvas").click()
    page.locator("#count-place", has_text="4").wait_for()
    assert desk_of(page)["layers"][:3] == before


def test_handles_of_a_layer_beyond_the_edge_stay_in_reach(visit: Callable[..., Visit]) -> None:
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Place").click()
    for x, y in (("120", "120"), ("-20", "50"), ("50", "-20")):
        page.get_by_role("spinbutton", name="X", exact=True).fill(x)
        page.get_by_role("spinbutton", name="Y", exact=True).fill(y)
        room = page.locator("#board-room").bounding_box()
        assert room is not None
        centres = []
        for handle in page.locator("#grips .handle").all():
            box = handle.bounding_box()
            assert box is not None
            centres.append((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))
        for across, along in centres:
            assert room["x"] < across < room["x"] + room["width"], (x, y)
            assert room["y"] < along < room["y"] + room["height"], (x, y)
        assert len({(round(across), round(along)) for across, along in centres}) == 5
        met = page.evaluate(
            "places => places.map(([x, y]) => document.elementFromPoint(x, y).dataset.handle ?? null)", centres
        )
        assert sorted(met) == ["scale"] * 4 + ["turn"], (x, y)
    scale = page.get_by_role("spinbutton", name="Scale")
    before = float(scale.input_value())
    page.mouse.move(*centres[3])
    page.mouse.down()
    page.mouse.move(centres[3][0] - 40, centres[3][1] - 10, steps=3)
    page.mouse.up()
    assert float(scale.input_value()) < before


def test_status_and_words_are_of_the_cut_that_shows(visit: Callable[..., Visit]) -> None:
    page = visit().page()
    photo = add_photo(page)
    status = page.get_by_role("status")
    drawn_box(page, photo)
    expect(status).to_contain_text("The cut covers 25 % of the photo.")
    expect(page.locator("#cut-hint")).to_be_hidden()
    page.get_by_role("button", name="Candidate 3").click()
    expect(page.locator("#cut-hint")).to_contain_text("This cut is uncertain")
    page.get_by_role("button", name="Undo").click()
    expect(status).to_contain_text("Nothing is marked.")
    expect(page.locator("#cut-hint")).to_contain_text("Click the product")
    page.get_by_role("button", name="Redo").click()
    expect(status).to_contain_text("The cut covers 25 % of the photo.")


def test_the_zoom_names_the_photos_true_pixels(visit: Callable[..., Visit]) -> None:
    page = visit(viewport={"width": 700, "height": 600}).page()
    page.get_by_label("Add photos").set_input_files(
        {"name": "wide.png", "mimeType": "image/png", "buffer": png(2000, 300)}
    )
    photo = page.get_by_role("img", name="Photo")
    photo.hover()
    zoom = page.locator("#zoom-fit")
    box = photo.bounding_box()
    assert box is not None
    expect(zoom).to_have_text(f"{round(box['width'] / 20)} %")
    zoom.click()
    expect(zoom).to_have_text("100 %")
    whole = photo.bounding_box()
    assert whole is not None
    assert abs(whole["width"] - 2000) < 1
    zoom.click()
    expect(zoom).to_have_text(f"{round(box['width'] / 20)} %")


def test_the_seed_that_shows_is_the_one_that_was_painted(visit: Callable[..., Visit], light: Light) -> None:
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Render").click()
    seed, lock = page.get_by_role("spinbutton", name="Seed"), page.get_by_role("button", name="Lock")

    def generated() -> int:
        with page.expect_request("**/v1/shots") as sent:
            page.get_by_role("button", name="Generate").click()
        asked: int = (sent.value.post_data_json or {})["seed"]
        expect(seed).to_have_value(str(asked))
        return asked

    with light.painting(painter(light)):
        first, second = generated(), generated()
        assert first != second
        expect(page.locator("#seed-words")).to_contain_text("Generate picks another seed")
        lock.click()
        expect(lock).to_have_attribute("aria-pressed", "true")
        expect(lock.locator("use")).to_have_attribute("href", "#i-lock")
        assert generated() == second
        lock.click()
        expect(lock.locator("use")).to_have_attribute("href", "#i-unlock")
        page.get_by_role("button", name="Roll").click()
        rolled = seed.input_value()
        assert generated() == int(rolled)


def test_what_is_proved_comes_first(visit: Callable[..., Visit], light: Light) -> None:
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Render").click()
    with light.painting(painter(light)):
        page.get_by_role("button", name="Generate").click()
        page.get_by_role("img", name="Result 2").wait_for()
    page.get_by_role("tab", name="Choose").click()
    verdict = page.locator("#verdict")
    expect(verdict.locator("> *").first).to_contain_text("The product is unaltered")
    warnings = verdict.locator(".warnings li")
    # the enlargement follows from the engine's size: it is a fact
    expect(warnings).to_contain_text(["touches the edge", "Something stands beside it"])
    expect(verdict).to_contain_text("The scene was enlarged 4.0 times and looks soft.")
    warnings.get_by_role("button", name="Edit layout").click()
    expect(page.get_by_role("tabpanel", name="Place")).to_be_visible()


def test_a_removed_shot_and_photo_come_back(visit: Callable[..., Visit], light: Light) -> None:
    page = on_canvas(visit(**PHONE).page())
    page.get_by_role("button", name="Remove A product").click()
    expect(page.locator("#strip-photos li")).to_have_count(0)
    page.get_by_role("button", name="Put it back").click()
    expect(page.locator("#strip-photos li")).to_have_count(1)
    page.locator("#photo-mask").wait_for()  # with its cut
    page.get_by_role("tab", name="Render").click()
    with light.painting(painter(light)):
        page.get_by_role("button", name="Generate").click()
        page.get_by_role("img", name="Result 2").wait_for()
    page.get_by_role("tab", name="Choose").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("button", name="Approve")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Remove from this list").click()
    expect(page.get_by_role("heading", name="No pictures yet")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.get_by_role("heading", name="Picture 2")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_attribute("aria-pressed", "true")


def test_the_layout_that_amazon_takes_is_white_shadowless_and_fills_the_frame(visit: Callable[..., Visit]) -> None:
    page = on_canvas(visit().page(), times=2)
    page.get_by_role("tab", name="Place").click()
    page.get_by_role("spinbutton", name="Rotation").fill("30")
    made = page.evaluate(
        """async () => {
            const { lacking, passing } = await import("/studio/passing.js");
            const { desk } = await import("/studio/store.js");
            const presets = (await (await fetch("/v1/presets")).json()).presets;
            const amazon = presets.find((row) => row.name === "amazon-main");
            const made = await passing(amazon, desk);
            return { before: lacking(amazon, desk), after: lacking(amazon, made), made };
        }"""
    )
    assert made["before"] == ["a white background", "no shadow", "a product enlarged at most 2 times"]
    assert made["after"] == []
    assert (made["made"]["background"], made["made"]["brief"]["shadow"]) == ("white", "none")
    canvas = made["made"]["canvas"]
    assert canvas["width"] == canvas["height"]
    for layer in made["made"]["layers"]:  # Amazon advises 1600 px, and these products have fewer pixels
        cutout = max(layer["cutout"]["width"], layer["cutout"]["height"])
        assert 1.5 < layer["scale"] * canvas["width"] / cutout < 2.02


def test_a_shadow_is_turned_by_its_dial_and_the_shot_asks_for_it(visit: Callable[..., Visit]) -> None:
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Render").click()
    dial = page.get_by_role("slider", name="Where the shadow falls")
    expect(dial).to_be_hidden()
    page.get_by_label("Shadow", exact=True).select_option("Cast")
    expect(page.get_by_text("It follows the light of the painted scene.")).to_be_visible()
    dial.click(position={"x": 70, "y": 38})  # right of its middle
    expect(page.get_by_text("It falls to 90°.")).to_be_visible()
    dial.press("ArrowRight")
    page.get_by_role("slider", name="Reflection").fill("40")
    relight = page.get_by_role("slider", name="Scene's light on the product")
    relight.fill("25")
    expect(page.locator("#relight-words")).to_have_text("25 %")
    with page.expect_request("**/v1/shots") as sent:
        page.get_by_role("button", name="Generate").click()
    request = sent.value.post_data_json or {}
    assert request["shadow"] == {"mode": "cast", "direction_deg": 95}
    assert request["reflection"] == {"strength": 0.4}
    assert request["relight"] == {"amount": 0.25}
    answer = sent.value.response()
    assert answer is not None
    assert answer.status == 202
    page.keyboard.press("Control+z")
    expect(relight).not_to_have_value("25")
    page.keyboard.press("Control+z")
    expect(page.get_by_role("slider", name="Reflection")).not_to_have_value("40")
