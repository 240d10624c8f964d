"""Problems are shown in plain words with a remedy, and the user's work is never lost."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.api_graph import Api
from tests.browser.light import Light
from tests.browser.visits import Visit


def test_a_text_file_that_is_called_jpg_is_refused_in_plain_words(visit: Callable[..., Visit], tmp_path: Path) -> None:
    fake = tmp_path / "notes.jpg"
    fake.write_text("not a photo at all\n" * 100)
    page = visit().page()
    page.get_by_label("Add photos").set_input_files(fake)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("notes.jpg")
    expect(alert).to_contain_text("A photo must be JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF")
    page.get_by_role("button", name="Dismiss").click()
    expect(alert).to_have_count(0)
    expect(page.get_by_role("heading", name="Start with a photo")).to_be_visible()


def test_what_was_done_to_a_photo_is_said_in_plain_words_under_it(
    visit: Callable[..., Visit], coffee_file: Path, tmp_path: Path
) -> None:
    misnamed = tmp_path / "coffee.jpg"
    misnamed.write_bytes(coffee_file.read_bytes())
    page = visit().page()
    page.get_by_label("Add photos").set_input_files(misnamed)
    note = page.get_by_text("The file is of another type than its name says")
    expect(note).to_be_visible()
    page.reload()
    expect(note).to_be_visible()
    page.get_by_label("Add photos").set_input_files(coffee_file)  # the same photo, by its right name
    expect(note).to_have_count(0)


def test_a_huge_photo_is_refused_in_plain_words_and_the_next_one_is_taken(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page], tmp_path: Path
) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    page = visit().page()
    page.get_by_label("Add photos").set_input_files(huge)
    expect(page.get_by_role("alert")).to_contain_text("larger than this server accepts")
    cut_coffee(page)


def test_a_lost_line_is_told_and_mended(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page], light: Light
) -> None:
    here = visit()
    page = cut_coffee(here.page())
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("spinbutton", name="Pictures").fill("1")
    here.context.set_offline(True)
    page.get_by_role("button", name="Generate").click()
    told = page.get_by_role("alert").filter(
        has_text="The connection to the studio is lost"
    )  # beside what still loaded, and was lost, too
    expect(told).to_be_visible()
    here.context.set_offline(False)
    with light.painting():
        page.get_by_role("img", name="Result 1").wait_for()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".shot")).to_have_count(1)


def test_two_tabs_show_the_same_desk(visit: Callable[..., Visit], cut_coffee: Callable[..., Page]) -> None:
    here = visit()
    first, second = here.page(), here.page("place")
    cut_coffee(first, times=2)
    expect(second.locator("#layers li")).to_have_count(2)
    second.get_by_role("spinbutton", name="Rotation").fill("33")
    first.get_by_role("tab", name="Place").click()
    expect(first.get_by_role("spinbutton", name="Rotation")).to_have_value("33")
    first.close()
    second.reload()
    expect(second.get_by_role("spinbutton", name="Rotation")).to_have_value("33")


def test_a_mask_deleted_elsewhere_is_cut_again(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page], light: Light
) -> None:
    page = cut_coffee(visit().page())
    page.get_by_role("tab", name="Place").click()
    mask = page.evaluate("async () => (await import('/studio/store.js')).desk.layers[0].mask_id")
    assert light.api.anyone.delete(f"/v1/masks/{mask}").status_code == 204
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert")).to_contain_text("gone from the server")
    page.get_by_role("button", name="Go to Place").click()
    expect(page.get_by_text("A cut is gone from the server")).to_be_visible()
    page.get_by_role("button", name="Cut it again").click()
    expect(page.get_by_text("A cut is gone from the server")).to_be_hidden()
    page.get_by_label("Background", exact=True).select_option("White")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Generate").click()
    with light.painting():
        page.get_by_role("img", name="Result 1").wait_for()


def test_a_shot_that_elsewhere_made_impossible_is_refused_at_the_field(
    visit: Callable[..., Visit], cut_coffee: Callable[..., Page]
) -> None:
    page = cut_coffee(visit().page())
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("spinbutton", name="Steps").fill("5000")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert")).to_contain_text("Steps does not fit")
    expect(page.get_by_role("spinbutton", name="Steps")).to_be_focused()


def test_with_keys_the_page_signs_in_once_and_keeps_no_key(visit: Callable[..., Visit], keyed_server: Api) -> None:
    here = visit(keyed_server.url)
    page = here.page()
    page.get_by_label("Key").fill("pk_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("This key is not valid")).to_be_visible()
    page.get_by_label("Key").fill(keyed_server.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_label("Add photos").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": keyed_server.http.get(keyed_server.photo()["url"]).content}
    )
    page.get_by_role("img", name="Photo").wait_for()  # an image element got in by the cookie
    page.reload()
    page.get_by_role("img", name="Photo").wait_for()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert keyed_server.key not in page.evaluate("JSON.stringify({...localStorage})")


def test_the_queue_place_is_the_servers(visit: Callable[..., Visit], keyed_server: Api) -> None:
    """Without a painter all shots wait, and the page shows how many are before its own."""
    ahead = [keyed_server.shot() for _ in range(3)]
    page = visit(keyed_server.url, extra_http_headers=None).page()
    page.get_by_label("Key").fill(keyed_server.key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Add photos").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": keyed_server.http.get(keyed_server.photo()["url"]).content}
    )
    page.get_by_role("img", name="Photo").click()
    page.get_by_role("button", name="Add to canvas").click()
    page.locator("#count-place", has_text="1").wait_for()
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Generate").click()
    status = page.get_by_role("status")
    expect(status).to_contain_text("In the queue: 3 before this one")
    keyed_server.finish(ahead[0])
    expect(status).to_contain_text("In the queue: 2 before this one")
    for shot in ahead[1:]:
        keyed_server.finish(shot)
    expect(status).to_contain_text("In the queue: next")
