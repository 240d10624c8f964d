"""screens"""
import pytest
from tests.unit.studio.test_studio_shadow import *
def test_look(visit, cut_coffee):
    for name, opts in (("desktop", DESKTOP), ("phone", PHONE)):
        page = cut_coffee(visit(**opts).page())
        cast(page)
        if name == "desktop":
            drag_to(page, right=0.8, back=0.7)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.wait_for_timeout(300)
            page.screenshot(path=f"/tmp/clip/dial-{name}-{theme}.png")
        page.get_by_role("tab", name="Render").click()
        page.locator("#shadow-on-canvas").scroll_into_view_if_needed()
        page.screenshot(path=f"/tmp/clip/dial-render-{name}.png")
