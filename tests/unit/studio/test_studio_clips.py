"""A clip of a finished picture: made in a dialog of Choose, shown, saved, cancelled and refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from packshot.imaging.motion import encode
from tests.api_graph import running
from tests.browser.light import STUDIO
from tests.browser.visits import THEMES, Visit
from tests.directed import Directed, directed


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directed]:
    with (
        running(tmp_path_factory.mktemp("clips"), studio_dir=STUDIO, open_access=True, heartbeat_s=0.2) as api,
        directed(api) as at_work,
    ):
        yield at_work


@pytest.fixture(scope="module")
def url(studio: Directed) -> str:
    return studio.url


@pytest.fixture
def page(visit: Callable[..., Visit], cut_coffee: Callable[..., Page]) -> Page:
    """A page with a finished picture on grey, and the dialog open."""
    page: Page = cut_coffee(visit(accept_downloads=True).page())
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Width").fill("256")
    page.get_by_label("Height").fill("256")
    page.get_by_label("Background", exact=True).select_option("One colour")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("img", name="Result 1").wait_for()
    page.get_by_role("tab", name="Choose").click()
    page.get_by_role("button", name="Make a clip").click()
    page.get_by_role("heading", name="Make a clip").wait_for()
    return page


def test_a_clip_is_made_shown_and_saved(page: Page, tmp_path: Path) -> None:
    page.get_by_label("Move", exact=True).select_option("Orbit")
    page.get_by_label("Length", exact=True).select_option("1 second")
    page.get_by_role("button", name="Make clip").click()
    expect(page.locator("#clip-state")).to_contain_text("256 × 256 px, 1 s")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("img", name="Clip of picture 1")).to_have_js_property("naturalWidth", 256)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").last.click()
    assert saved.value.suggested_filename == "coffee-1-clip.webp"
    saved.value.save_as(tmp_path / "clip.webp")
    with Image.open(tmp_path / "clip.webp") as opened:
        assert getattr(opened, "n_frames", 1) == 24
    expect(page.get_by_role("button", name="Make another")).to_be_enabled()


def test_a_clip_can_be_cancelled(page: Page, studio: Directed) -> None:
    studio.hold()
    try:
        page.get_by_role("button", name="Make clip").click()
        expect(page.get_by_role("progressbar", name="Frames made")).to_be_visible()
        with page.expect_response(lambda answer: answer.request.method == "DELETE"):  # else the clip may end first
            page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    finally:
        studio.let_go()
    expect(page.get_by_role("button", name="Make clip")).to_be_enabled()
    expect(page.get_by_role("progressbar", name="Frames made")).to_be_hidden()


def test_what_the_server_cannot_write_is_said_in_words(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_ffmpeg_installed", lambda: False)
    page.get_by_label("File", exact=True).select_option("MP4")
    page.get_by_role("button", name="Make clip").click()
    expect(page.locator("#clip-problem")).to_have_text(
        "This server cannot write MP4. Choose WebP, or ask the operator to install ffmpeg."
    )


def test_the_dialog_is_accessible(page: Page) -> None:
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        assert [found["id"] for found in Axe().run(page).response["violations"]] == [], theme


def test_a_transparent_picture_offers_no_clip(visit: Callable[..., Visit], cut_coffee: Callable[..., Page]) -> None:
    page: Page = cut_coffee(visit().page())
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Background", exact=True).select_option("Transparent")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("img", name="Result 1").wait_for()
    page.get_by_role("tab", name="Choose").click()
    expect(page.get_by_role("button", name="Make a clip")).to_be_disabled()


def test_a_finished_picture_becomes_a_picture_of_the_style(page: Page) -> None:
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Background", exact=True).select_option("Painted scene")
    for _ in range(2):  # the second time it is there already
        page.get_by_role("tab", name="Choose").click()
        page.get_by_role("button", name="Use as style").click()
        expect(page.locator("#moods li")).to_have_count(1)
        expect(page.locator("#moods").get_by_role("img", name="Picture 1")).to_be_visible()
    with page.expect_request("**/v1/shots") as sent:
        page.get_by_role("button", name="Generate").click()
    (reference,) = (sent.value.post_data_json or {})["style"]["references"]
    assert reference["image_id"].startswith("im_")
