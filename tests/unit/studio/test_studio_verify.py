"""The page Verify: a file is dropped, and the page says in words where it comes from and what was done to it."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import expect

from packshot.imaging.codec import encode_png
from tests.browser.light import Light
from tests.browser.overlaps import overlapping
from tests.browser.visits import Visit
from tests.unit.api.test_verify_api import made, picture, saved
from tests.unit.studio.test_studio_steps import violations


def test_a_file_is_told_for_what_it_is(visit: Callable[..., Visit], light: Light, tmp_path: Path) -> None:
    here = replace(light.api, http=light.api.anyone, _mask_id="", _photos={})  # as the page: without a key
    image = made(here, picture(71))
    files = {
        "ours.png": encode_png(picture(71)),
        "cropped.jpg": saved(picture(71)[20:240, 16:236], quality=80),
        "foreign.png": encode_png(picture(72, 64)),
        "letter.pdf": b"%PDF-1.7 a letter",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    page = visit().page("", "/verify")
    assert violations(page) == []
    answer = page.locator("#answer")

    def asked(name: str, verdict: str) -> None:
        page.locator("#file").set_input_files(tmp_path / name)
        expect(page.locator("#verdict")).to_have_text(verdict)
        expect(page.locator("#name")).to_have_text(name)

    asked("ours.png", "Made here")
    expect(answer).to_contain_text("The bytes are those of a file that was made here.")
    expect(answer).to_contain_text("Nothing was changed.")
    expect(page.get_by_role("link", name=image["id"])).to_be_visible()
    expect(page.get_by_role("img", name="The file")).to_be_visible()
    assert violations(page) == []
    assert overlapping(page) == []
    asked("cropped.jpg", "Made here")
    expect(answer.locator("li")).to_have_text(
        [
            "It was saved again as JPEG; the file that was made is a PNG.",
            re.compile("It was cropped: about 7[2-5] % of the picture is left."),
        ]
    )
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert violations(page) == []
    asked("foreign.png", "Not recognised")
    expect(answer).to_contain_text("That proves nothing")
    expect(page.get_by_role("img", name="The file")).to_be_visible()
    asked("letter.pdf", "This is not a photo that can be opened here.")
    expect(page.get_by_role("img", name="The file")).to_be_hidden()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Pick a file").click()
    chooser.value.set_files(tmp_path / "ours.png")
    expect(page.locator("#verdict")).to_have_text("Made here")
