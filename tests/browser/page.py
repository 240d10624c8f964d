"""The studio page in Debian's Chromium, on the server that the fixture `url` names. Each page records errors and
violations."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from playwright.sync_api import Browser, Page

from packshot.imaging.codec import encode_png
from tests.browser.visits import WAIT_MS, Visit
from tests.debian_tools import missing

WITHOUT = (
    # Two pages of the address bar that nobody sees, in a process of their own for each context: 40 % of a visit's time.
    "WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,"
    # Those that Playwright leaves out. Chromium heeds the last list alone.
    "AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,"
    "LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,AvoidCorsURLLoaderRestartOnRedirect,"
    "TcpPortRandomizationWin,OptimizationHints,NetworkTimeServiceQuerying,AimEnabled,PreconnectToSearch"
)
"""Chromium's features that the tests do without."""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", f"--disable-features={WITHOUT}"]
CUP_POINT = (0.55, 0.52)
"""On the cup of the coffee photo, as shares of its width and height."""


def chromium_path() -> str:
    """Debian's Chromium: if it is there, the program without windows, which takes half as long to open a page."""
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        missing("chromium", "Debian's packages chromium-headless-shell and chromium carry it")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A Chromium for each file: Playwright's loop ends with it, before any asyncio test starts."""
    path = chromium_path()
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)  # its own five seconds are short on a machine that others use
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, url: str) -> Iterator[Callable[..., Visit]]:
    """The visits of a test: `visit()` opens one on the shared server. Their complaints fail the test."""
    visits: list[Visit] = []

    def new(server: str = url, **options: Any) -> Visit:
        options = {"viewport": {"width": 1280, "height": 800}, **options}
        visits.append(Visit(chromium, server, **options))
        return visits[-1]

    yield new
    for one in visits:
        for page in one.context.pages:
            page.unroute_all(behavior="ignoreErrors")  # a request may be on its way
        one.context.close()
    assert [complaint for one in visits for complaint in one.complaints] == []


@pytest.fixture(scope="session")
def coffee_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "coffee.png"
    path.write_bytes(encode_png(skimage.data.coffee()))
    return path


@pytest.fixture(scope="session")
def cut_coffee(coffee_file: Path) -> Callable[..., Page]:
    """Add the coffee photo, click the cup, put it on the canvas `times` times."""

    def cut(page: Page, times: int = 1) -> Page:
        page.get_by_label("Add photos").set_input_files(coffee_file)
        photo = page.get_by_role("img", name="Photo")
        photo.hover()  # waits until it is there and rests
        box = photo.bounding_box()
        assert box is not None
        photo.click(position={"x": CUP_POINT[0] * box["width"], "y": CUP_POINT[1] * box["height"]})
        page.locator("#photo-mask").wait_for()  # nothing of the click is under way any more
        for number in range(1, times + 1):
            page.get_by_role("button", name="Add to canvas").click()
            page.locator("#count-place", has_text=str(number)).wait_for()
        return page

    return cut


def quick(page: Page, steps: int = 4) -> None:
    """Set a small canvas and few steps, so that a picture takes a second."""
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Width").fill("256")
    page.get_by_label("Height").fill("256")
    page.get_by_role("tab", name="Render").click()
    page.get_by_role("spinbutton", name="Steps").fill(str(steps))


@pytest.fixture(scope="session")
def made_quick() -> Callable[..., None]:
    return quick
