"""Brush, eraser, mask files and the own transparency of an upload, on the step Cut."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from packshot.imaging.codec import encode_png
from tests.browser.routes import Held
from tests.browser.visits import Visit

SIZE = (320, 240)


@pytest.fixture(scope="session")
def board_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of 320 x 240 px: a blue box on a plain ground."""
    pixels = np.full((240, 320, 3), 225, np.uint8)
    pixels[60:180, 100:220] = (40, 80, 170)
    path = tmp_path_factory.mktemp("photos") / "board.png"
    path.write_bytes(encode_png(pixels))
    return path


@pytest.fixture(scope="session")
def cut_out_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same box as a file that is already cut out."""
    pixels = np.full((240, 320, 4), (40, 80, 170, 0), np.uint8)
    pixels[60:180, 100:220, 3] = 255
    pixels[100:140, 140:180, 3] = 0
    path = tmp_path_factory.mktemp("photos") / "cut-out.png"
    path.write_bytes(encode_png(pixels))
    return path


def opened(page: Page, file: Path) -> Locator:
    page.get_by_label("Add photos").set_input_files(file)
    photo = page.get_by_role("img", name="Photo")
    photo.hover()
    return photo


def take(page: Page, tool: str) -> None:
    """Choose the brush or the eraser and wait until it can be used."""
    page.get_by_role("button", name=tool).click()
    page.get_by_role("slider", name="Size", exact=True).wait_for()


def at(photo: Locator, x: float, y: float) -> tuple[float, float]:
    """A photo pixel on the page."""
    box = photo.bounding_box()
    assert box is not None
    return box["x"] + x * box["width"] / SIZE[0], box["y"] + y * box["height"] / SIZE[1]


def drag(page: Page, photo: Locator, *points: tuple[float, float]) -> None:
    """A stroke, which is over when the server has answered."""
    page.mouse.move(*at(photo, *points[0]))
    with page.expect_response(lambda answer: answer.url.endswith("/masks") and answer.request.method == "POST"):
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*at(photo, *point), steps=6)
        page.mouse.up()
    expect(photo).to_have_attribute("aria-busy", "false")


def cut_of(page: Page) -> dict[str, Any]:
    """The open photo's cut, as the page keeps it."""
    desk = page.evaluate("import('/studio/store.js').then(({ desk }) => JSON.stringify(desk.cuts[desk.photo]))")
    cut: dict[str, Any] = json.loads(desk)
    return cut


def mask_of(page: Page) -> np.ndarray:
    cut = cut_of(page)
    answer = page.request.get(cut["masks"][cut["chosen"]]["url"])
    return np.asarray(Image.open(io.BytesIO(answer.body())))


def test_a_brush_paints_an_eraser_erases_and_undo_goes_both_ways(visit: Callable[..., Visit], board_file: Path) -> None:
    page = visit().page()
    photo = opened(page, board_file)
    take(page, "Brush")
    drag(page, photo, (120, 120), (200, 120))
    painted = mask_of(page)
    assert painted.shape == SIZE[::-1]
    assert (painted[120, 121:199] == 255).all()
    assert painted[60, 160] == painted[120, 260] == 0

    take(page, "Eraser")
    drag(page, photo, (160, 90), (160, 150))
    erased = mask_of(page)
    assert (erased[120, 160], erased[120, 125], erased[120, 195]) == (0, 255, 255)
    assert [mask["source"] for mask in cut_of(page)["masks"]] == ["strokes"]

    page.keyboard.press("Control+z")
    assert np.array_equal(mask_of(page), painted)
    page.keyboard.press("Control+Shift+z")
    assert np.array_equal(mask_of(page), erased)
    for _ in range(2):
        page.keyboard.press("Control+z")
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    expect(page.locator("#photo-mask")).to_be_hidden()
    page.get_by_role("button", name="Redo").click()
    assert np.array_equal(mask_of(page), painted)
    page.get_by_role("button", name="Add to canvas").click()
    page.locator("#count-place", has_text="1").wait_for()


def test_a_stroke_mends_the_candidate_that_is_chosen(visit: Callable[..., Visit], board_file: Path) -> None:
    page = visit().page()
    photo = opened(page, board_file)
    page.mouse.click(*at(photo, 160, 120))
    page.locator("#photo-mask").wait_for()
    expect(photo).to_have_attribute("aria-busy", "false")
    clicked = mask_of(page)
    parent = cut_of(page)["masks"][0]["id"]
    take(page, "Brush")
    page.keyboard.down("Alt")  # the opposite: it erases
    drag(page, photo, (150, 110), (150, 112))  # a corner of what was clicked
    page.keyboard.up("Alt")
    mended = mask_of(page)
    assert cut_of(page)["masks"][0]["parent"] == parent
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    elsewhere = np.hypot(x - 150, y - 111) > 12
    assert np.array_equal(mended[elsewhere], clicked[elsewhere])
    assert mended[elsewhere].any()
    assert (clicked[111, 151], mended[111, 151]) == (255, 0)


def test_the_size_is_shown_and_changed_by_keys_and_slider(visit: Callable[..., Visit], board_file: Path) -> None:
    page = visit().page()
    photo = opened(page, board_file)
    take(page, "Brush")
    slider = page.get_by_role("slider", name="Size", exact=True)
    expect(slider).to_have_attribute("aria-valuetext", "13 px")
    page.mouse.move(*at(photo, 160, 120))
    ring = page.locator("#brush-ring")
    expect(ring).to_be_visible()
    before = ring.bounding_box()
    for _ in range(4):
        page.keyboard.press("]")
    expect(slider).to_have_attribute("aria-valuetext", "27 px")
    after = ring.bounding_box()
    assert before is not None
    assert after is not None
    assert 1.9 < after["width"] / before["width"] < 2.2
    page.keyboard.press("[")
    expect(slider).to_have_attribute("aria-valuetext", "22 px")
    slider.fill("100")
    expect(slider).to_have_attribute("aria-valuetext", "96 px")


def test_a_drag_while_the_brush_is_loading_does_not_become_a_box(visit: Callable[..., Visit], board_file: Path) -> None:
    page = visit().page()
    script = Held(page, "**/studio/brush.js")
    photo = opened(page, board_file)
    page.get_by_role("button", name="Brush").click()
    expect(page.get_by_role("button", name="Brush")).to_have_attribute("aria-pressed", "true")
    expect(photo).to_have_attribute("aria-busy", "true")
    page.mouse.move(*at(photo, 60, 60))
    page.mouse.down()
    page.mouse.move(*at(photo, 200, 200), steps=4)
    expect(page.locator("#photo-band")).to_be_hidden()
    page.mouse.up()
    script.let_go()
    page.get_by_role("slider", name="Size", exact=True).wait_for()
    drag(page, photo, (120, 120), (200, 120))
    assert [step["kind"] for step in cut_of(page)["strokes"]] == ["paint"]


def test_with_reduced_motion_a_change_shows_at_once(visit: Callable[..., Visit]) -> None:
    """A transition of any length, even 0.01 ms, would show the old geometry until the next frame."""
    page = visit().page()
    assert page.evaluate(
        """() => {
            const tab = document.getElementById("tab-cut");
            const before = tab.getBoundingClientRect().width;
            tab.style.minWidth = "400px";
            return [before < 400, tab.getBoundingClientRect().width, document.getAnimations().length];
        }"""
    ) == [True, 400, 0]


def test_the_keyboard_alone_chooses_the_brush_and_paints(visit: Callable[..., Visit], board_file: Path) -> None:
    page = visit().page()
    photo = opened(page, board_file)
    photo.focus()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Brush")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("slider", name="Size", exact=True).wait_for()
    page.keyboard.press("ArrowRight")
    with page.expect_response(lambda answer: answer.url.endswith("/masks")):
        page.keyboard.press("Enter")
    expect(photo).to_have_attribute("aria-busy", "false")
    painted = mask_of(page)
    ys, xs = np.nonzero(painted)
    assert abs(xs.mean() - (160 + 0.02 * 320)) < 2
    assert abs(ys.mean() - 120) < 2


def test_a_finger_paints_and_two_fingers_do_not(visit: Callable[..., Visit], board_file: Path) -> None:
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).page()
    photo = opened(page, board_file)
    page.get_by_role("button", name="Brush").tap()
    page.get_by_role("slider", name="Size", exact=True).wait_for()
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        places = [dict(zip("xy", at(photo, *point), strict=True)) for point in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    send("touchStart", (120, 120))
    send("touchMove", (140, 120))
    send("touchStart", (140, 120), (250, 200))
    send("touchMove", (130, 110), (260, 210))
    send("touchEnd")
    assert page.evaluate("import('/studio/store.js').then(({ desk }) => desk.cuts[desk.photo] ?? null)") is None

    page.locator("#zoom-fit").tap()
    with page.expect_response(lambda answer: answer.url.endswith("/masks")):
        send("touchStart", (120, 120))
        send("touchMove", (160, 120))
        send("touchMove", (200, 120))
        send("touchEnd")
    expect(photo).to_have_attribute("aria-busy", "false")
    assert (mask_of(page)[120, 125:195] == 255).all()


def test_a_mask_file_becomes_the_cut_and_can_be_mended(visit: Callable[..., Visit], board_file: Path) -> None:
    page = visit().page()
    photo = opened(page, board_file)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[60:180, 100:220] = 255
    mask[60:180, 218:220] = 120
    page.get_by_label("Use a mask file").set_input_files(
        {"name": "board-mask.png", "mimeType": "image/png", "buffer": encode_png(mask)}
    )
    page.locator("#photo-mask").wait_for()
    assert np.array_equal(mask_of(page), mask)
    take(page, "Eraser")
    drag(page, photo, (110, 70), (112, 70))
    mended = mask_of(page)
    assert (mended[70, 110], mended[120, 219]) == (0, 120)

    page.get_by_label("Use a mask file").set_input_files(
        {"name": "other.png", "mimeType": "image/png", "buffer": encode_png(mask[:100])}
    )
    expect(page.get_by_role("alert")).to_contain_text("320 x 240 px, got 320 x 100 px")
    assert np.array_equal(mask_of(page), mended)


def test_a_dropped_mask_is_the_photos_and_a_dropped_photo_is_new(visit: Callable[..., Visit], board_file: Path) -> None:
    page = visit().page()
    opened(page, board_file)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[60:180, 100:220] = 255

    def drop(name: str, data: bytes, x: int) -> None:
        page.evaluate(
            """([name, bytes, x]) => {
                const dataTransfer = new DataTransfer();
                dataTransfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
                for (const kind of ["dragenter", "dragover", "drop"]) {
                  dispatchEvent(new DragEvent(kind, { dataTransfer, cancelable: true, clientX: x, clientY: 300 }));
                }
            }""",
            [name, list(data), x],
        )

    drop("mask.png", encode_png(mask), 900)
    page.locator("#photo-mask").wait_for()
    assert cut_of(page)["masks"][0]["source"] == "upload"
    drop("photo.png", encode_png(np.dstack([mask] * 3)), 200)
    expect(page.locator("#strip-photos li")).to_have_count(2)


def test_the_own_transparency_of_a_file_is_the_first_candidate(visit: Callable[..., Visit], cut_out_file: Path) -> None:
    page = visit().page()
    opened(page, cut_out_file)  # nothing is clicked: the file says what the product is
    first = page.get_by_role("button", name="Candidate 1, the file's own transparency")
    expect(first).to_have_attribute("aria-pressed", "true")
    mask = mask_of(page)
    assert (mask[120, 110], mask[120, 160], mask[20, 20]) == (255, 0, 0)
    assert set(np.unique(mask)) == {0, 255}
