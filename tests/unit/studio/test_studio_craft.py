"""The page's weight, policy, accessible names and contrast; and its geometry, which must equal the server's."""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import flatten, layer_size
from packshot.types import Cutout, Layer, Layout
from tests.browser.light import Light
from tests.browser.visits import WAIT_MS, Visit
from tests.waiting import WAIT_S

STUDIO = Path(__file__).parents[3] / "studio"
MOST_BYTES = 150_000
NAMES: dict[str, list[tuple[Any, str]]] = {
    "cut": [("img", "Photo"), ("button", "Add to canvas"), ("button", "Undo"), ("button", "Clear")],
    "place": [("spinbutton", name) for name in ("X", "Y", "Scale", "Rotation")],
    "render": [
        ("button", "Generate"),
        ("textbox", "Prompt"),
        ("textbox", "Negative prompt"),
        *(("spinbutton", name) for name in ("Pictures", "Seed", "Steps", "Guidance", "Control scale")),
    ],
    "choose": [("img", "Result 1"), *(("button", name) for name in ("Approve", "Reject", "Download"))],
}


def test_the_first_load_weighs_little_and_comes_from_here_alone(visit: Callable[..., Visit], url: str) -> None:
    here = visit()
    here.page().wait_for_load_state("networkidle")
    files = {asked.removeprefix(f"{url}/studio/") for asked in here.requests if "/studio/" in asked}
    assert {"main.js", "cut.js", "studio.css"} <= files <= {path.name for path in STUDIO.iterdir()}
    assert {asked.removeprefix(f"{url}/studio/") for asked in here.requests} - files == {
        f"{url}/",
        f"{url}/v1/engines",
    }
    plain = {"accept-encoding": "identity"}
    assert sum(len(httpx.get(asked, headers=plain, timeout=WAIT_S).content) for asked in here.requests) <= MOST_BYTES


def test_only_files_of_this_server_may_run(visit: Callable[..., Visit], url: str) -> None:
    answer = httpx.get(url, timeout=WAIT_S)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{url}/studio/main.js", timeout=WAIT_S).headers["content-security-policy"]
    here = visit()
    refused = here.page().evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            const image = new Image();
            image.src = "http://127.0.0.1:9/elsewhere.png";
        })"""
    )
    assert refused == "img-src"
    here.complaints.clear()  # that one was meant


def test_no_script_or_style_stands_in_the_page() -> None:
    page = (STUDIO / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", page)


def test_nothing_names_another_host() -> None:
    for file in STUDIO.iterdir():
        named = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.\w+", file.read_text()))
        assert named <= {"http://www.w3.org"}, file


@pytest.fixture(scope="module")
def full_context(chromium: Browser, url: str, light: Light, cut_coffee: Callable[..., Page]) -> Iterator[Page]:
    """One browser that has a photo, a cut, two layers and a finished picture."""
    context = chromium.new_context(base_url=url, viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto("/")
    cut_coffee(page, times=2)
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Background", exact=True).select_option("White")
    page.get_by_role("tab", name="Render").click()
    with light.painting():
        page.get_by_role("button", name="Generate").click()
        page.get_by_role("img", name="Result 1").wait_for()
    page.get_by_role("button", name="Paint a scene").click()
    yield page
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("step", NAMES)
def test_each_step_is_accessible(full_context: Page, step: str, theme: Literal["light", "dark"]) -> None:
    page = full_context
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.get_by_role("tab", name=step.title()).click()
    for role, name in NAMES[step]:
        expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)
    expect(page.get_by_role("status")).to_have_count(1)
    assert serious(page) == []


def serious(page: Page) -> list[tuple[str, list[Any]]]:
    found = Axe().run(page).response["violations"]
    return [
        (rule["id"], [node["target"] for node in rule["nodes"]])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


def test_each_step_is_accessible_while_it_is_empty(visit: Callable[..., Visit]) -> None:
    page = visit().page()
    for step in NAMES:
        page.get_by_role("tab", name=step.title()).click()
        expect(page.get_by_role("tabpanel", name=step.title())).to_be_visible()
        assert serious(page) == [], step


def test_every_page_links_to_the_others() -> None:
    names = ("index", "catalogues", "review", "trainings", "verify")
    for name in names:
        page = (STUDIO / f"{name}.html").read_text()
        links = re.findall(r'href="/(\w*)"', page.split('<nav class="pages"')[1].split("</nav>")[0])
        assert {link or "index" for link in links} | {name} == set(names)


def test_the_tab_panels_follow_the_tabs(visit: Callable[..., Visit]) -> None:
    page = visit().page()
    page.get_by_role("tab", name="Cut").focus()
    page.keyboard.press("End")
    expect(page.get_by_role("tabpanel", name="Choose")).to_be_visible()
    expect(page.get_by_role("tabpanel")).to_have_count(1)
    page.go_back()
    expect(page.get_by_role("tabpanel", name="Cut")).to_be_visible()


@pytest.fixture(scope="module")
def functions(chromium: Browser, url: str) -> Iterator[Page]:
    """A page of the server whose pure functions tests call. Nothing of the studio is loaded but what they import."""
    context = chromium.new_context(base_url=url)
    page = context.new_page()
    page.goto("/studio/icon.svg")
    yield page
    context.close()


def test_layers_are_as_large_on_the_page_as_on_the_server(functions: Page) -> None:
    chance = random.Random(5)
    rows: list[dict[str, Any]] = [
        {
            "cutout": {"width": chance.randint(1, 900), "height": chance.randint(1, 900)},
            "canvas": {"width": chance.randint(64, 4096), "height": chance.randint(64, 4096)},
            "scale": chance.choice([0.5, 0.333, 1.0, 0.617]),
        }
        for _ in range(200)
    ]
    told = functions.evaluate(
        """async (rows) => {
            const { layerSize } = await import("/studio/geometry.js");
            return rows.map((row) => layerSize(row, row.canvas));
        }""",
        rows,
    )
    for row, size in zip(rows, told, strict=True):
        cutout = Cutout(np.zeros((row["cutout"]["height"], row["cutout"]["width"], 4), np.uint8))
        layer = Layer(cutout, scale=row["scale"])
        assert layer_size(layer, Canvas(**row["canvas"])) == (size["width"], size["height"])


@pytest.mark.parametrize(("rotation", "flip"), [(0, False), (30, False), (30, True), (-75, True)])
def test_a_layer_lies_on_the_page_where_the_server_paints_it(functions: Page, rotation: int, flip: bool) -> None:
    canvas, cutout = Canvas(400, 300), Cutout(np.full((40, 120, 4), 255, np.uint8))
    layer = Layer(cutout, x=0.4, y=0.55, scale=0.5, rotation_deg=rotation, flip=flip)
    rows, columns = np.nonzero(flatten(Layout(canvas, (layer,))).alpha >= 128)
    box = functions.evaluate(
        """async ([layer, canvas]) => (await import("/studio/geometry.js")).bounds(layer, canvas)""",
        [
            {"x": 0.4, "y": 0.55, "scale": 0.5, "rotation_deg": rotation, "cutout": {"width": 120, "height": 40}},
            {"width": 400, "height": 300},
        ],
    )
    painted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.allclose(painted, [box["x0"], box["y0"], box["x1"], box["y1"]], atol=1.5)


def test_what_is_dragged_near_a_line_rests_on_it(functions: Page) -> None:
    rest = functions.evaluate(
        """async () => {
            const { snapped } = await import("/studio/geometry.js");
            const canvas = { width: 1000, height: 1000 };
            const at = (x, y) => ({ x, y, scale: 0.2, rotation_deg: 0, cutout: { width: 100, height: 100 } });
            const other = at(0.2, 0.7);
            return {
                centre: snapped(at(0.503, 0.3), [other], canvas, 8),
                margin: snapped(at(0.163, 0.3), [], canvas, 8),
                foot: snapped(at(0.7, 0.695), [other], canvas, 8),
                free: snapped(at(0.6, 0.3), [], canvas, 8),
            };
        }"""
    )
    assert rest["centre"]["x"] == pytest.approx(0.5)
    assert rest["margin"]["x"] == pytest.approx(0.16)
    assert rest["foot"]["y"] == pytest.approx(0.7)
    assert rest["free"] == {"x": 0.6, "y": 0.3, "guides": []}


def test_a_phrase_takes_its_groups_place_in_the_prompt(functions: Page) -> None:
    prompts = functions.evaluate(
        """async () => {
            const { GROUPS, toggled } = await import("/studio/scenes.js");
            const [surface, , light] = GROUPS;
            const one = toggled("", surface, surface.scenes[0][1]);
            const two = toggled(one, light, light.scenes[0][1]);
            const three = toggled(two, surface, surface.scenes[1][1]);
            const four = toggled(three, surface, surface.scenes[1][1]);
            return [one, two, three, four, toggled("my own words.", light, light.scenes[2][1])];
        }"""
    )
    assert prompts == [
        "on a marble table",
        "on a marble table, soft warm morning light",
        "on a dark wooden table, soft warm morning light",
        "soft warm morning light",
        "my own words, bright daylight",
    ]
