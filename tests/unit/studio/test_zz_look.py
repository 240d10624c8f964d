from tests.unit.studio.test_studio_clips import studio, url, page  # noqa
from playwright.sync_api import expect
def test_look(page):
    page.get_by_label("Move").select_option("Orbit")
    page.get_by_label("Length").select_option("1 second")
    page.screenshot(path="/tmp/clip/dlg-light.png")
    page.get_by_role("button", name="Make clip").click()
    expect(page.locator("#clip-state")).to_contain_text("256 × 256 px, 1 s")
    page.get_by_role("button", name="Play").click()
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(500)
    page.screenshot(path="/tmp/clip/dlg-dark.png")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    page.screenshot(path="/tmp/clip/dlg-phone.png")
