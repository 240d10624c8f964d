"""A complete session on the page: cut, place, render, choose."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import Page, expect

from packshot.imaging.codec import read_png
from tests.browser.visits import Visit

TEXT = "on a marble table, blurred green garden behind"
PAINTING = re.compile("Painting: step [1-9]")


def test_a_photo_becomes_an_approved_download(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page], http: httpx.Client, tmp_path: Path
) -> None:
    here = visit(accept_downloads=True)
    page = cut_coffee(here.page(), times=2)

    page.get_by_role("tab", name="Place").click()
    expect(page.locator("#layers li")).to_have_count(2)
    page.get_by_label("Width").fill("256")
    page.get_by_label("Height").fill("256")
    page.get_by_role("spinbutton", name="Scale").fill("40")
    handle = page.locator(".handle.turn")
    handle.hover()  # waits until it rests and is what the pointer meets
    at = handle.bounding_box()
    assert at is not None
    page.mouse.down()
    page.mouse.move(at["x"] + 66, at["y"] + 36, steps=4)
    page.mouse.up()
    rotation = page.get_by_role("spinbutton", name="Rotation")
    expect(rotation).to_have_value(re.compile(r"[1-9]"))
    turned = float(rotation.input_value())
    assert 5 < turned < 85

    page.get_by_role("tab", name="Render").click()
    page.get_by_role("textbox", name="Prompt", exact=True).fill(TEXT)
    page.get_by_role("button", name="Soft morning").click()
    page.get_by_role("spinbutton", name="Seed").fill("7")
    page.get_by_role("spinbutton", name="Pictures").fill("2")
    page.get_by_role("spinbutton", name="Steps").fill("4")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("img", name="Result 1")).to_be_visible()
    expect(page.get_by_role("img", name="Result 2")).to_be_visible()
    expect(page.locator(".shot").first).to_contain_text("2 pictures are ready")  # the status line soon forgets it

    page.get_by_role("spinbutton", name="Steps").fill("100")
    page.get_by_role("spinbutton", name="Pictures").fill("8")  # so that it lasts until the page has cancelled it
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("status")).to_contain_text(PAINTING)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".shot").first).to_contain_text("Cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)

    page.get_by_role("tab", name="Choose").click()
    page.get_by_role("img", name="Result 1").click()
    expect(page.get_by_role("heading", name="Picture 1")).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("button", name="Approve")).to_have_attribute("aria-pressed", "true")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    saved = tmp_path / "saved.png"
    download.value.save_as(saved)
    assert read_png(saved.read_bytes()).shape == (256, 256, 3)

    # what the server holds is what the page shows
    curl = command_of(page, "curl")
    request = json.loads(curl[curl.index("-d") + 1])
    assert request["prompt"] == f"{TEXT}, soft warm morning light"
    assert (request["seed"], request["images"], len(request["layers"])) == (7, 2, 2)
    assert request["layers"][1]["rotation_deg"] == turned
    assert request["layers"][1]["scale"] == 0.4
    assert re.fullmatch(r"coffee.*\.png", download.value.suggested_filename)  # named by its product
    image = page.evaluate(
        "async () => (await import('/studio/store.js')).results().find(({ image }) => image.number === 1).image.id"
    )
    assert http.patch(f"/v1/images/{image}", json={"review": "approved"}).json()["recipe"]["request"]["seed"] == 7
    assert {httpx.URL(asked).host for asked in here.requests if not asked.startswith("blob:")} == {"127.0.0.1"}


def test_a_reload_loses_neither_layout_nor_shot(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page], made_quick: Callable[..., None]
) -> None:
    page = cut_coffee(visit().page())
    page.get_by_role("tab", name="Place").click()
    page.get_by_role("spinbutton", name="Rotation").fill("21")
    made_quick(page, steps=100)
    page.get_by_role("spinbutton", name="Pictures").fill("8")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("status")).to_contain_text(PAINTING)
    page.reload()
    expect(page.get_by_role("status")).to_contain_text(PAINTING)
    page.get_by_role("tab", name="Place").click()
    expect(page.get_by_role("spinbutton", name="Rotation")).to_have_value("21")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".shot").first).to_contain_text("Cancelled")


def command_of(page: Page, name: str) -> list[str]:
    """The words of a shot's command, as a shell sees them."""
    page.locator("#commands-open").click()
    words = shlex.split(page.get_by_role("textbox", name=name, exact=True).input_value().replace("\\\n", " "))
    page.get_by_role("button", name="Close").click()
    return words


def test_the_copied_commands_run(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page], http: httpx.Client, tmp_path: Path
) -> None:
    page = cut_coffee(visit().page())
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Width").fill("256")
    page.get_by_label("Height").fill("256")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("textbox", name="Prompt", exact=True).fill('it\'s "quoted" $HOME `x` \\ done')
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Background", exact=True).select_option("White")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("img", name="Result 1").wait_for()
    page.get_by_role("tab", name="Choose").click()
    page.locator("#commands-open").click()
    curl, shoot = (
        page.get_by_role("textbox", name=name, exact=True).input_value() for name in ("curl", "packshot shoot")
    )
    again = subprocess.run(["bash", "-c", f"{curl} --silent"], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["status"] in ("queued", "running", "done")

    command = shoot.replace("packshot", shlex.quote(str(Path(sys.executable).with_name("packshot"))), 1)
    run = subprocess.run(["bash", "-c", f"{command} --json"], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    (image,) = json.loads(run.stdout.splitlines()[-1])["images"]
    shot = http.get(f"/v1/shots/{json.loads(again.stdout)['id']}").json()
    by_curl = http.get(shot["images"][0]["url"]).content
    assert (tmp_path / image["path"]).read_bytes() == by_curl  # the same picture, to the byte


def test_a_picture_that_amazon_refuses_is_made_again_so_that_it_passes(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page], tmp_path: Path
) -> None:
    """The default contact shadow lies on the white, and the product fills too little of the frame."""
    page = cut_coffee(visit(accept_downloads=True).page())
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Background", exact=True).select_option("White")
    page.get_by_role("spinbutton", name="Rotation").fill("20")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("img", name="Result 1").wait_for()
    page.get_by_role("tab", name="Choose").click()
    page.get_by_label("Deliver as").select_option("amazon-main")
    expect(page.locator("#unmet")).to_contain_text("needs no shadow and a product that fills 85 % of the frame")
    page.get_by_role("button", name="Make it pass").click()
    expect(page.get_by_role("heading", name="Picture 2")).to_be_visible()
    expect(page.get_by_role("button", name="Make it pass")).to_be_hidden()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    saved = tmp_path / "amazon.png"
    download.value.save_as(saved)
    pixels = read_png(saved.read_bytes())
    rows, columns = np.nonzero((pixels < 250).any(axis=2))
    side = pixels.shape[0]
    assert pixels.shape == (side, side, 3)
    assert 500 <= side < 1600  # the cup has 400 px in its photo, and is enlarged at most 2 times
    assert 0.85 <= max(np.ptp(rows), np.ptp(columns)) / side < 0.96


def test_a_press_asks_before_it_is_a_click_and_a_drag_takes_that_back(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page]
) -> None:
    studio = visit()
    page = cut_coffee(studio.page())
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#photo-mask")).to_be_hidden()
    photo = page.get_by_role("img", name="Photo").bounding_box()
    assert photo is not None
    x, y = photo["x"] + 0.4 * photo["width"], photo["y"] + 0.5 * photo["height"]
    asked = len(asked_of(studio))

    page.mouse.move(x, y)
    with page.expect_response(lambda response: response.url.endswith("/masks")):  # it comes before the button is up
        page.mouse.down()
    expect(page.locator("#photo-mask")).to_be_hidden()
    page.mouse.up()
    expect(page.locator("#photo-mask")).to_be_visible()
    assert len(asked_of(studio)) == asked + 1

    page.get_by_role("button", name="Clear").click()
    with page.expect_request_finished(lambda request: request.url.endswith("/masks")) as boxed:
        page.mouse.move(x - 80, y - 60)
        page.mouse.down()
        page.mouse.move(x + 80, y + 60, steps=4)
        page.mouse.up()
    assert "boxes" in (boxed.value.post_data or "")
    expect(page.locator("#photo-marks .mark-box")).to_have_count(1)
    expect(page.locator("#photo-marks .mark")).to_have_count(0)


def asked_of(studio: Visit) -> list[str]:
    """The requests of this visit for masks."""
    return [url for url in studio.requests if url.endswith("/masks")]
