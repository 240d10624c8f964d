"""What is bad from outside (files, storage, versions, keys, clocks, slow lines) loses nothing that the person made."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Route, expect

from packshot.api.cookies import COOKIE
from tests.api_graph import Api, png
from tests.browser.light import Light
from tests.browser.routes import Held, meanwhile
from tests.browser.visits import Visit
from tests.unit.studio.test_studio_hour import desk_of, on_canvas
from tests.unit.studio.test_studio_steps import add_photo, drawn_box, painter

FULL = """() => {
    const store = Storage.prototype.setItem;
    window.full = true;
    Storage.prototype.setItem = function (key, value) {
        if (window.full) throw new DOMException("full", "QuotaExceededError");
        return store.call(this, key, value);
    };
}"""


def test_each_wrong_file_of_a_batch_is_named_and_the_rest_goes_on(visit: Callable[..., Visit]) -> None:
    wrong = {3: b"not a photo at all\n" * 20, 7: b"", 11: png(20, 20)[:60], 12: b"%PDF-1.7\n" + bytes(200)}
    files: list[Any] = [
        {"name": f"{at:03}.png", "mimeType": "image/png", "buffer": wrong.get(at, png(24, 18, shade=at))}
        for at in range(16)
    ]
    page = visit().page()
    page.get_by_label("Add photos").set_input_files(files)
    expect(page.get_by_role("status")).to_contain_text("12 photos were added.")
    expect(page.locator("#strip-photos li")).to_have_count(12)
    alert = page.get_by_role("alert")
    expect(alert).to_have_count(1)
    expect(alert).to_contain_text("4 files could not be added; 12 photos could.")
    for name in wrong:
        expect(alert.get_by_role("listitem").filter(has_text=f"{name:03}.png")).to_have_count(1)
    expect(page.get_by_role("button", name="000.png", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Dismiss").click()
    expect(alert).to_have_count(0)


def test_files_that_met_a_lost_line_are_sent_again_together(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.page()
    add_photo(page)
    here.context.set_offline(True)
    files: list[Any] = [
        {"name": f"late {at}.png", "mimeType": "image/png", "buffer": png(25, 18, shade=at)} for at in range(3)
    ]
    page.get_by_label("Add photos").set_input_files(files)
    told = page.get_by_role("alert").filter(
        has_text="3 files could not be added"
    )  # beside what still loaded, and was lost, too
    expect(told).to_be_visible()
    here.context.set_offline(False)
    page.get_by_role("button", name="Try 3 again").click()
    expect(page.locator("#strip-photos li")).to_have_count(4)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_full_storage_is_said_once_and_what_was_made_meanwhile_is_stored_later(
    visit: Callable[..., Visit], light: Light
) -> None:
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Render").click()
    with light.painting(painter(light)):
        for number in (2, 4):
            page.get_by_role("button", name="Generate").click()
            page.get_by_role("img", name=f"Result {number}").wait_for()
    page.evaluate(FULL)
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    prompt.fill("on a marble table")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("This browser's storage is full.")
    expect(alert).to_contain_text("leave it open")
    page.evaluate("window.full = false")
    page.get_by_role("button", name="Make room").click()
    expect(alert).to_have_count(0)
    expect(page.locator(".shot")).to_have_count(1)
    page.reload()
    expect(prompt).to_have_value("on a marble table")


def test_a_page_that_could_not_store_asks_before_it_closes(visit: Callable[..., Visit]) -> None:
    page = on_canvas(visit().page())
    page.evaluate(FULL)
    page.get_by_role("tab", name="Place").click()
    page.get_by_role("spinbutton", name="Rotation").fill("12")
    expect(page.get_by_role("alert")).to_contain_text("This browser stores nothing more.")
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    expect(page.get_by_role("spinbutton", name="Rotation")).to_have_value("12")


def test_a_desk_that_cannot_be_read_is_put_aside(visit: Callable[..., Visit]) -> None:
    page = visit().page()
    page.evaluate("localStorage.setItem('packshot.desk.1', '{\"layers\": [bro')")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    add_photo(page)
    assert page.evaluate("localStorage.getItem('unreadable.packshot.desk.1')") == '{"layers": [bro'


def test_an_updated_server_is_told_with_a_way_on(visit: Callable[..., Visit]) -> None:
    page = visit().page()
    versions = ["1.0.0"]

    def answered(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "x-packshot-version": versions[-1]})

    page.route("**/v1/**", answered)
    page.reload()
    photo = add_photo(page)
    expect(page.get_by_role("alert")).to_have_count(0)
    versions.append("1.1.0")
    drawn_box(page, photo)
    expect(page.get_by_role("alert")).to_contain_text("The studio on the server was updated.")
    page.get_by_role("button", name="Reload").click()
    page.wait_for_selector("body[data-ready]")
    page.locator("#photo-mask").wait_for()


def test_an_error_of_the_page_is_told_and_the_work_stays(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = on_canvas(here.page())
    page.evaluate("setTimeout(() => { throw new Error('meant'); })")
    expect(page.get_by_role("alert")).to_contain_text("This page met an error.")
    page.get_by_role("button", name="Reload").click()
    expect(page.locator("#count-place")).to_have_text("1")
    here.complaints.clear()  # that one was meant


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_key_revoked_while_working_asks_for_another_and_goes_on(
    visit: Callable[..., Visit], keyed_server: Api
) -> None:
    page = visit(keyed_server.url).page()
    sign_in(page, keyed_server.key)
    photo = add_photo(page)
    meanwhile(page, "**/masks", lambda: keyed_server.store.keys.revoke(keyed_server.key_id))
    box = photo.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    sign_in(page, keyed_server.store.keys.create("brand").secret)
    page.locator("#photo-mask").wait_for()  # the click was not lost
    assert len(desk_of(page)["cuts"][desk_of(page)["photo"]]["strokes"]) == 1


def test_signing_out_ends_the_session_in_every_copy_of_its_cookie(
    visit: Callable[..., Visit], keyed_server: Api
) -> None:
    page = visit(keyed_server.url).page()
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)  # before one has signed in
    sign_in(page, keyed_server.key)
    (cookie,) = [one for one in page.context.cookies() if one["name"] == COOKIE]
    copy = {"cookie": f"{COOKIE}={cookie['value']}"}
    assert keyed_server.anyone.get("/v1/shots", headers=copy).status_code == 200
    page.reload()  # the button is there also when the page was opened with a session
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("dialog", name="Sign in").wait_for()
    assert keyed_server.anyone.get("/v1/shots", headers=copy).status_code == 401
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)


def test_the_marks_of_a_photo_that_the_account_cannot_see_are_kept(
    visit: Callable[..., Visit], keyed_server: Api
) -> None:
    page = visit(keyed_server.url).page()
    sign_in(page, keyed_server.key)
    drawn_box(page, add_photo(page))
    marks = desk_of(page)["cuts"]
    page.context.clear_cookies()
    page.reload()
    sign_in(page, keyed_server.store.keys.create("somebody").secret)
    expect(page.get_by_role("alert").first).to_contain_text("gone from the server")
    assert [cut["strokes"] for cut in desk_of(page)["cuts"].values()] == [cut["strokes"] for cut in marks.values()]


def test_a_clock_that_is_set_back_does_not_hide_a_new_shot(visit: Callable[..., Visit], light: Light) -> None:
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Render").click()
    with light.painting(painter(light)):
        page.get_by_role("button", name="Generate").click()
        page.get_by_role("img", name="Result 2").wait_for()
        page.clock.set_fixed_time("2001-01-01T00:00:00Z")
        page.get_by_role("button", name="Marble").click()
        page.get_by_role("button", name="Generate").click()
        page.get_by_role("img", name="Result 4").wait_for()
    first = page.locator(".shot").first
    expect(first).to_contain_text("on a marble table")
    expect(first).to_contain_text("just now")
    page.get_by_role("tab", name="Choose").click()
    expect(page.locator("#results img").first).to_have_attribute("alt", "Result 4")


def test_on_a_slow_line_a_step_says_that_it_is_loading(visit: Callable[..., Visit]) -> None:
    page = visit().page()
    script = Held(page, "**/studio/choose.js")
    page.get_by_role("tab", name="Choose").click()
    panel = page.locator("#panel-choose")
    expect(panel).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("heading", name="No pictures yet")).to_be_hidden()
    script.let_go()
    expect(page.get_by_role("heading", name="No pictures yet")).to_be_visible()
    expect(panel).not_to_have_attribute("aria-busy", "true")
