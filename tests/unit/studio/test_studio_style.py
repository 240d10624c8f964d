"""Mood pictures in the studio: their palette is shown and editable, and the shot and the template take the style."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.visits import Visit
from tests.unit.studio.test_studio_hour import desk_of, on_canvas


def mood(folder: Path, name: str, *, lit_from_left: bool = False) -> Path:
    """A picture of the sea above sand."""
    pixels = np.full((96, 96, 3), (20, 90, 140), np.float64)
    pixels[40:] = (225, 200, 160)
    if lit_from_left:
        pixels *= np.linspace(1.0, 0.6, 96)[None, :, None]
    pixels[0, 0] = len(name)
    Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return folder / name


def sent_style(page: Page) -> Any:
    with page.expect_request("**/v1/shots") as sent:
        page.get_by_role("button", name="Generate").click()
    answer = sent.value.response()
    assert answer is not None
    assert answer.status == 202, answer.text()
    return (sent.value.post_data_json or {}).get("style")


def test_the_palette_of_mood_pictures_is_shown_edited_sent_and_kept(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Render").click()
    field, palette = page.locator("#style"), page.get_by_role("group", name="Palette")
    expect(palette).to_be_hidden()
    page.locator("#mood-files").set_input_files(
        [mood(tmp_path, "a.png"), mood(tmp_path, "sea.png", lit_from_left=True)]
    )
    expect(field.get_by_role("img")).to_have_count(2)
    expect(palette.locator("input").first).to_be_visible()
    with page.expect_response(lambda answer: '"weight":2' in (answer.request.post_data or "")):  # not the one before
        page.get_by_label("Weight of sea.png").select_option("2")
    expect(field.get_by_text("Light from the left")).to_be_visible()
    ids = [one["id"] for one in desk_of(page)["brief"]["style"]["pictures"]]
    expect(page.get_by_role("checkbox", name="Look")).to_be_hidden()
    assert sent_style(page) == {
        "references": [{"photo_id": ids[0], "weight": 1}, {"photo_id": ids[1], "weight": 2}],
        "strength": 0.9,
    }
    palette.locator("input").first.fill("#112233")
    page.get_by_role("checkbox", name="Light").uncheck()
    page.get_by_role("slider", name="Strength").fill("50")
    style = sent_style(page)
    assert (style["palette"][0], style["parts"], style["strength"]) == ("#112233", ["palette"], 0.5)
    assert len(style["palette"]) >= 2

    page.get_by_role("button", name="Save this scene").click()
    page.get_by_label("Name of the template").fill("Shore kit")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(palette).to_be_hidden()
    assert sent_style(page) is None
    page.get_by_role("button", name="Shore kit", exact=True).click()
    expect(palette.locator("input").first).to_have_value("#112233")
    style = sent_style(page)
    assert [one["photo_id"] for one in style["references"]] == ids
    assert style["light"] == {"direction_deg": 295}


def test_a_picture_that_shows_no_scene_is_refused_and_taken_off(visit: Callable[..., Visit], tmp_path: Path) -> None:
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Render").click()
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "tiny.png")
    page.locator("#mood-files").set_input_files([mood(tmp_path, "b.png")])
    expect(page.locator("#palette .swatch").first).to_be_visible()
    page.locator("#mood-files").set_input_files([tmp_path / "tiny.png"])
    expect(page.get_by_text("tiny.png: this picture is too small to show a scene.")).to_be_visible()
    expect(page.locator("#moods li")).to_have_count(1)
