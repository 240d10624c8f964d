"""Projects, templates, search, variants side by side, layers, and what a bad line does. A fake painter paints."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from packshot.references import References
from packshot.shots.stages import Fitted, Painted, Step
from packshot.types import Brief, ConditionMaps, EdgeMap, Render
from tests.api_graph import running
from tests.browser.visits import Visit
from tests.directed import Directed, directed
from tests.specs import STAMP
from tests.unit.shots.painter import Painter

STUDIO = Path(__file__).parents[3] / "studio"
PRODUCT = (0.3, 0.2, 0.8, 0.9)
"""A box on a photo, as shares of its width and height. The server's segmenter takes the box as the product."""


class Colours(Painter):
    """Paints one colour for each seed, with a preview after the first step."""

    async def paint(
        self,
        fitted: Fitted,
        edges: EdgeMap,
        brief: Brief,
        *,
        interactive: bool,
        alone: bool,
        maps: ConditionMaps | None = None,
        references: References | None = None,
    ) -> AsyncIterator[Step | Painted]:
        colour = np.random.default_rng(brief.seed).integers(60, 220, 3)
        pixels = np.broadcast_to(colour, fitted.product.shape).astype(np.uint8)
        yield Step(1, brief.steps, pixels[:16, :16].copy())
        await self.let_go.wait()
        yield Painted(Render(pixels, brief.seed, ()), STAMP, {"steps": 1.0})


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directed]:
    with (
        running(tmp_path_factory.mktemp("desk"), studio_dir=STUDIO, open_access=True, heartbeat_s=0.2) as api,
        directed(api, Colours(api.store)) as at_work,
    ):
        yield at_work


@pytest.fixture(scope="module")
def url(studio: Directed) -> str:
    """In place of the cluster's: the tests of this file need none."""
    return studio.url


@pytest.fixture
def page(visit: Callable[..., Visit], studio: Directed) -> Page:
    return visit(studio.url, accept_downloads=True).page()


def open_photo(page: Page, file: Path) -> None:
    page.get_by_label("Add photos").set_input_files(file)
    expect(page.locator("#photo-image")).to_have_js_property("complete", True)
    page.get_by_role("img", name="Photo").hover()


def box(page: Page) -> None:
    """Drag a box around the product."""
    photo = page.get_by_role("img", name="Photo").bounding_box()
    assert photo is not None
    x0, y0, x1, y1 = PRODUCT
    page.mouse.move(photo["x"] + x0 * photo["width"], photo["y"] + y0 * photo["height"])
    page.mouse.down()
    page.mouse.move(photo["x"] + x1 * photo["width"], photo["y"] + y1 * photo["height"], steps=3)
    page.mouse.up()


def cut(page: Page, file: Path, times: int = 1) -> None:
    open_photo(page, file)
    box(page)
    page.locator("#photo-mask").wait_for()
    for number in range(1, times + 1):
        page.get_by_role("button", name="Add to canvas").click()
        expect(page.locator("#count-place")).to_have_text(str(number))


def render(page: Page, prompt: str, pictures: int) -> None:
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("textbox", name="Prompt", exact=True).fill(prompt)
    page.get_by_role("spinbutton", name="Pictures").fill(str(pictures))
    page.get_by_role("button", name="Generate").click()


def create_project(page: Page, name: str) -> None:
    page.locator("#project").click()
    page.get_by_role("textbox", name="Name of a new project").fill(name)
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#project-now")).to_have_text(name)


def test_a_project_holds_its_photos_shots_and_canvas(page: Page, coffee_file: Path, studio: Directed) -> None:
    create_project(page, "Spring")
    cut(page, coffee_file)
    render(page, "on spring grass", 1)
    page.get_by_role("img", name="Result 1").wait_for()

    create_project(page, "Summer")
    expect(page.locator("#count-place")).to_have_text("")
    expect(page.locator(".shot")).to_have_count(0)
    page.locator("#project").click()
    page.get_by_role("button", name="Spring", exact=True).click()
    expect(page.locator("#count-place")).to_have_text("1")
    expect(page.locator(".shot")).to_have_count(1)

    page.locator("#project").click()
    page.get_by_role("button", name="Rename Spring").click()
    page.get_by_role("textbox", name="New name of Spring").fill("Summer")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#project-problem")).to_contain_text("This name is taken")
    page.get_by_role("textbox", name="New name of Spring").fill("Early spring")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#project-now")).to_have_text("Early spring")
    page.get_by_role("button", name="Delete Early spring").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#project-now")).to_have_text("No project")


def test_another_browser_opens_a_project_with_its_photos(
    visit: Callable[..., Visit], studio: Directed, coffee_file: Path
) -> None:
    first, second = visit(studio.url).page(), visit(studio.url).page()
    create_project(first, "Shared")
    open_photo(first, coffee_file)
    second.locator("#project").click()
    second.get_by_role("button", name="Shared", exact=True).click()
    expect(second.locator("#strip-photos li")).to_have_count(1)


def test_the_pack_paints_the_starter_scenes_and_one_press_takes_one(page: Page) -> None:
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("button", name="Paint 6 starter scenes").click()
    tiles = page.locator("#template-list .template")
    expect(tiles).to_have_count(6)
    expect(page.locator("#template-list img")).to_have_count(6)
    page.get_by_role("button", name="Oak and garden").first.click()
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value(re.compile("oak table.*garden"))
    expect(tiles.nth(1)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("textbox", name="Prompt", exact=True).fill("on black glass")
    page.get_by_role("button", name="Save this scene").click()
    page.get_by_role("textbox", name="Name of the template").fill("Black glass")
    page.get_by_role("textbox", name="Name of the template").press("Enter")
    expect(tiles).to_have_count(7)
    page.get_by_role("button", name="Delete the template Black glass").click()
    expect(tiles).to_have_count(6)


def test_variants_stand_side_by_side_at_one_zoom(
    page: Page, coffee_file: Path, studio: Directed, tmp_path: Path
) -> None:
    """Every picture has a preview while it is painted; a download is named after the product."""
    cut(page, coffee_file)
    studio.hold()
    render(page, "by a blue lagoon", 3)
    expect(page.locator(".slot img")).to_have_count(3)
    studio.let_go()
    page.get_by_role("img", name="Result 3").wait_for()
    page.get_by_role("tab", name="Choose").click()
    page.get_by_role("button", name="Side by side").click()
    cells = page.locator(".side-cell")
    expect(cells).to_have_count(3)
    page.locator(".side-room").first.hover()
    fitted = page.locator(".side-content").last.get_attribute("style") or ""
    page.mouse.wheel(0, -120)
    expect(page.locator(".side-content").last).not_to_have_attribute("style", fitted)
    widths = page.locator(".side-content").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().width)")
    rooms = page.locator(".side-room").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().width)")
    assert max(widths) - min(widths) < 1
    assert min(widths) > 0.5 * max(rooms)
    page.get_by_role("button", name="Reject picture 2").click()
    expect(page.get_by_role("heading", name="Picture 2")).to_be_visible()
    expect(page.get_by_role("button", name="Reject", exact=True)).to_have_attribute("aria-pressed", "true")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "coffee-2.png"


def test_the_search_finds_a_shot_of_another_browser(
    visit: Callable[..., Visit], studio: Directed, coffee_file: Path
) -> None:
    first, second = visit(studio.url).page(), visit(studio.url).page()
    cut(first, coffee_file)
    render(first, "in a quiet tearoom", 1)
    first.get_by_role("img", name="Result 1").wait_for()
    cut(second, coffee_file)
    render(second, "elsewhere", 1)
    second.get_by_role("img", name="Result 1").wait_for()
    second.get_by_role("tab", name="Choose").click()
    second.get_by_role("searchbox").fill("TEAROOM quiet")
    expect(second.locator("#found li")).to_have_count(1)
    second.locator("#found button").click()
    expect(second.locator("#chosen-prompt")).to_have_text("in a quiet tearoom")
    second.get_by_role("button", name="Edit layout").click()
    expect(second.locator("#layers li")).to_have_count(1)
    second.get_by_role("tab", name="Choose").click()
    second.get_by_role("searchbox").fill("no such words")
    expect(second.locator("#search-words")).to_contain_text("No shot has these words")


def test_layers_are_hidden_locked_renamed_and_reordered(page: Page, coffee_file: Path) -> None:
    cut(page, coffee_file, times=2)
    page.get_by_role("tab", name="Place").click()
    rows = page.locator("#layers li")
    rows.nth(0).locator(".layer-item").click()
    page.get_by_role("textbox", name="Name").fill("Front cup")
    page.get_by_role("textbox", name="Name").press("Tab")
    expect(rows.nth(0)).to_contain_text("Front cup")
    grip, target = rows.nth(0).locator(".grip").bounding_box(), rows.nth(1).bounding_box()
    assert grip is not None
    assert target is not None
    page.mouse.move(grip["x"] + 5, grip["y"] + grip["height"] / 2)
    page.mouse.down()
    page.mouse.move(grip["x"] + 5, target["y"] + target["height"] - 4, steps=4)
    page.mouse.up()
    expect(rows.nth(1)).to_contain_text("Front cup")
    page.get_by_role("button", name="Lock Front cup").click()
    expect(page.locator("#handles")).to_be_hidden()
    expect(page.get_by_role("spinbutton", name="X")).to_be_disabled()
    page.get_by_role("button", name="Hide coffee").click()
    expect(page.locator(".layer:not([hidden])")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".layer:not([hidden])")).to_have_count(2)
    page.get_by_role("button", name="Hide coffee").click()
    render(page, "one layer alone", 1)
    page.get_by_role("img", name="Result 1").wait_for()
    sent = page.evaluate("async () => (await import('/studio/store.js')).shots()[0].request.layers.length")
    assert sent == 1


def test_the_canvas_zooms_at_the_pointer_and_a_drag_still_follows_it(page: Page, coffee_file: Path) -> None:
    cut(page, coffee_file)
    page.get_by_role("tab", name="Place").click()
    handles = page.locator("#handles")
    before = handles.bounding_box()
    assert before is not None
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    page.mouse.move(x, y)
    fit = page.locator("#board-zoom-fit").inner_text()
    page.mouse.wheel(0, -120)
    expect(page.locator("#board-zoom-fit")).not_to_have_text(fit)
    larger = handles.bounding_box()
    assert larger is not None
    assert larger["width"] == pytest.approx(1.35 * before["width"], rel=0.02)
    assert larger["x"] + larger["width"] / 2 == pytest.approx(x, abs=2)
    page.keyboard.down("Alt")  # no snapping
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=3)
    page.mouse.up()
    page.keyboard.up("Alt")
    moved = handles.bounding_box()
    assert moved is not None
    assert (moved["x"] - larger["x"], moved["y"] - larger["y"]) == pytest.approx((60, 40), abs=2)
    page.locator("#board-zoom-fit").click()
    whole = handles.bounding_box()
    assert whole is not None
    assert whole["width"] == pytest.approx(before["width"], abs=1)


def test_a_click_that_the_line_lost_is_sent_again(page: Page, coffee_file: Path) -> None:
    open_photo(page, coffee_file)
    page.context.set_offline(True)
    box(page)
    told = page.get_by_role("alert").filter(has_text="Your mark is kept")  # beside what still loaded, and was lost, too
    expect(told).to_be_visible()
    expect(page.locator(".mark-box:not(.band)")).to_have_count(1)
    page.context.set_offline(False)
    page.locator("#photo-mask").wait_for()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_upload_shows_its_progress_and_can_be_cancelled(page: Page, coffee_file: Path) -> None:
    page.route("**/v1/photos", lambda route: None)  # the server never answers
    page.get_by_label("Add photos").set_input_files(coffee_file)
    expect(page.locator("#cut-loading")).to_contain_text("coffee.png")
    expect(page.locator("#cut-loading progress")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status").first).to_contain_text("The upload was cancelled")
    expect(page.locator("#cut-empty")).to_be_visible()
    page.unroute("**/v1/photos")
    open_photo(page, coffee_file)
    expect(page.locator("#strip-photos li")).to_have_count(1)
