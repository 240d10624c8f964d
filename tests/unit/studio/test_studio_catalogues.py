"""The page Catalogues: a folder and a sheet become a plan, a draft, and a catalogue at work. A fake producer works."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from packshot.contract.verdict import Finding
from tests.api_graph import png, running
from tests.browser.light import STUDIO, Light
from tests.browser.overlaps import overlapping
from tests.browser.routes import meanwhile
from tests.browser.visits import Visit
from tests.unit.api.test_catalogue_report import image
from tests.unit.store.catalogue_steps import accept_all, collect
from tests.unit.store.store_rows import claim
from tests.unit.studio.test_studio_steps import violations

SHEET = """\
sku;photo;meta.gtin
MUG-1;photos/mug.png;4006381333931
MUG-2;photos/red.png;4006381333930
MUG-3;photos/blue.png;
MUG-4;photos/torn.png;
"""


def folder_of(tmp_path: Path) -> Path:
    """A folder with a sheet and its photos. One GTIN is wrong, and one photo is damaged."""
    folder = tmp_path / "spring"
    (folder / "photos").mkdir(parents=True)
    (folder / "catalogue.csv").write_text(SHEET)
    for shade, name in enumerate(("mug", "red", "blue")):
        (folder / f"photos/{name}.png").write_bytes(png(160, 120, shade=80 * shade))
    (folder / "photos/torn.png").write_bytes(png(160, 120)[:90])
    return folder


@pytest.fixture
def unused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Light]:
    """A server without a catalogue of another test."""
    with running(tmp_path_factory.mktemp("unused"), studio_dir=STUDIO, open_access=True) as api:
        yield Light(api)


def test_a_folder_and_a_sheet_become_a_catalogue_at_work(
    unused: Light, visit: Callable[..., Visit], tmp_path: Path
) -> None:
    page = visit(unused.api.url).page("", "/catalogues")
    assert violations(page) == []
    page.get_by_label("Pick a folder").set_input_files(folder_of(tmp_path))
    rows = page.locator("table tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(1)).to_contain_text("meta.gtin")
    expect(rows.nth(0).locator("canvas")).to_be_visible()
    page.get_by_label("Words of scene 1").fill("on a marble table")
    page.get_by_label("eBay", exact=False).first.check()
    start = page.get_by_role("button", name="Upload and start")
    expect(start).to_be_disabled()
    expect(page.locator("#make-words")).to_have_text(
        "Correct the problems, and drop the folder again, or leave their rows out."
    )
    page.get_by_label("Leave rows with problems out").check()
    expect(page.locator(".facts")).to_contain_text("4SKUsup to 4picturesup to 4files")
    assert violations(page) == []
    assert overlapping(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size({"width": 1280, "height": 800})
    start.click()

    state = page.locator(".catalogue-head .chip")
    expect(state).to_have_text("Running")
    expect(page.get_by_text("1 photo cannot be used.")).to_be_visible()
    expect(page.get_by_text("missing")).to_have_count(0)
    store = unused.api.store
    tenant = store.tenants.local()
    (record, *_), _ = store.catalogues.page(tenant.id, limit=1)
    photo = store.photos.page(tenant.id, limit=1)[0][0]
    answer = unused.api.anyone.post(f"/v1/photos/{photo.id}/masks", json={"boxes": [[20, 20, 80, 60]]})
    accept_all(store, record, answer.json()["masks"][0]["id"], window=2)
    beside = Finding("hallucination", "failed", "something stands beside it", 0.3, (0.7, 0.5, 0.9, 0.8))
    made = image(164)
    store.queue.commit(claim(store), [replace(made, verdict=made.verdict.with_findings(beside))])
    store.queue.fail(claim(store), "engine_nan", "not finite", retryable=False)
    collect(store, record)
    cards = page.locator(".card")
    expect(cards.filter(has_text="Done")).to_have_count(1)
    expect(cards.filter(has_text="not finite")).to_have_count(1)
    expect(cards.filter(has_text="MUG-2")).to_contain_text("Left out")
    page.get_by_role("group", name="Rows by state").get_by_role("button", name="Failed").click()
    expect(cards).to_have_count(1)

    expect(page.locator(".catalogue-head")).to_contain_text("1 of 4 rows done, 1 failed, 1 left out")
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel this catalogue?")
    expect(dialog).to_contain_text("1 row has not ended and will be left out.")
    assert violations(page) == []
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_have_count(0)
    expect(state).to_have_text("Running")
    meanwhile(page, "**/cancel", lambda: store.catalogues.pause(tenant.id, record.id))  # somebody else is quicker
    page.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Cancel the catalogue").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else changed this catalogue meanwhile")
    expect(state).to_have_text("Paused")
    page.get_by_role("button", name="Retry 1 failed").click()
    page.get_by_role("button", name="Resume").click()
    expect(state).to_have_text("Running")
    archive = page.request.get(page.get_by_role("link", name="All files, as a ZIP").get_attribute("href") or "")
    assert archive.body().startswith(b"PK")
    framed = page.locator(".framed li")
    expect(framed).to_contain_text("hallucination: something stands beside it")
    expect(framed.locator(".place")).to_be_visible()
    report = page.request.get(page.get_by_role("link", name="The whole report").get_attribute("href") or "")
    assert '<rect class="failed" ' in report.text()
    assert violations(page) == []

    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("Paused")
    page.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Cancel the catalogue").click()
    expect(state).to_have_text("Cancelled")
    page.get_by_role("link", name="Catalogues").click()
    expect(page.locator(".catalogue")).to_contain_text("Cancelled")
    page.set_viewport_size({"width": 390, "height": 844})
    assert overlapping(page) == []


def _with_a_photo_missing(page: Page, home: Path) -> Page:
    folder = folder_of(home)
    (folder / "catalogue.csv").write_text("sku;photo\nMUG-1;photos/mug.png\nMUG-9;photos/gone.png\n")
    page.get_by_label("Pick a folder").set_input_files(folder)
    page.get_by_label("Words of scene 1").fill("on a marble table")
    page.get_by_label("eBay", exact=False).first.check()
    return page


def test_a_photo_that_is_not_there_is_named_and_keeps_the_catalogue_from_starting(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    page = _with_a_photo_missing(visit().page("new", "/catalogues"), tmp_path)
    expect(page.locator("table tbody tr").nth(1)).to_contain_text("a path must lead to a file")
    expect(page.locator("#make-words")).to_contain_text("1 file of the sheet is not here.")
    page.get_by_role("button", name="Upload", exact=True).click()
    note = page.locator(".note", has_text="1 photo is missing.")
    expect(note).to_contain_text("photos/gone.png")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()


def test_a_row_whose_photo_is_not_there_is_left_out_and_the_rest_runs(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    page = _with_a_photo_missing(visit().page("new", "/catalogues"), tmp_path)
    page.get_by_label("Leave rows with problems out").check()
    page.get_by_role("button", name="Upload and start").click()
    expect(page.locator(".catalogue-head .chip")).to_have_text("Running")
    left_out = page.locator(".card", has_text="MUG-9")
    expect(left_out).to_contain_text("Left out")
    expect(left_out).to_contain_text("photos/gone.png")


def test_a_plan_says_that_rows_found_by_words_may_be_left_out(visit: Callable[..., Visit], tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "catalogue.csv").write_text("sku;photo;find\nMUG-1;photos/mug.png;mug\nMUG-2;photos/red.png;\n")
    page = visit().page("new", "/catalogues")
    page.get_by_label("Pick a folder").set_input_files(folder)
    page.get_by_label("Words of scene 1").fill("on a marble table")
    page.get_by_label("eBay", exact=False).first.check()
    expect(page.locator(".facts")).to_contain_text("2SKUsup to 2picturesup to 2files")
    expect(page.locator("#figures")).to_contain_text("The product of 1 SKU is found by words.")


def test_a_manifest_in_yaml_is_planned_with_the_files_at_hand(visit: Callable[..., Visit], tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "catalogue.csv").unlink()
    items = "{sku: A, photo: photos/mug.png}, {sku: B, photo: photos/gone.png}"
    (folder / "catalogue.yaml").write_text(
        f"{{name: spring, deliver: [{{preset: ebay, scene: white}}], items: [{items}]}}"
    )
    page = visit().page("new", "/catalogues")
    page.get_by_label("Pick a folder").set_input_files(folder)
    rows = page.locator("table tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("photos/gone.png")


def test_photos_too_small_for_a_channel_are_named_before_any_is_sent(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    """In each format whose header the page reads. A profile puts a JPEG's size beyond what is read at first."""
    folder = tmp_path / "small"
    folder.mkdir()
    picture = Image.new("RGB", (160, 120), "grey")
    picture.save(folder / "deep.jpg", icc_profile=bytes(90_000))
    for name in ("plain.jpg", "flat.png", "moving.gif", "lossy.webp"):
        picture.save(folder / name)
    picture.save(folder / "exact.webp", lossless=True)
    picture.putalpha(9)
    picture.save(folder / "clear.webp")
    Image.new("RGB", (2000, 2000)).save(folder / "large.jpg")
    (folder / "torn.png").write_bytes(png(160, 120)[:10])
    page = visit().page("new", "/catalogues")
    sent = []
    page.on("request", lambda request: sent.append(request.method) if request.method == "PUT" else None)
    page.get_by_label("Pick a folder").set_input_files(folder)
    page.get_by_label("Amazon", exact=False).first.check()
    expect(page.locator("#figures .note")).to_contain_text("7 rows have warnings.")
    rows = page.locator("table tbody tr")
    expect(rows).to_have_count(9)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(rows).to_have_count(7)
    for name in ("deep", "plain", "flat", "moving", "lossy", "exact", "clear"):
        expect(rows.filter(has_text=name)).to_contain_text("are enlarged more than")
    page.get_by_role("button", name="All rows").click()
    expect(rows.filter(has_text="large.jpg")).to_contain_text("Fine")
    assert sent == []


def test_a_new_catalogue_takes_a_style_of_ones_own(visit: Callable[..., Visit], light: Light, tmp_path: Path) -> None:
    style = light.api.anyone.post("/v1/styles", json={"name": "Harbour", "palette": ["#2233aa"]}).json()["id"]
    page = visit().page("new", "/catalogues")
    page.get_by_label("Pick a folder").set_input_files(folder_of(tmp_path))
    page.get_by_label("Words of scene 1").fill("on a marble table")
    with page.expect_request(lambda sent: f"style={style}" in sent.url) as asked:
        page.get_by_label("Style", exact=True).select_option("Harbour")
    answer = asked.value.response()
    assert answer is not None
    assert answer.status == 200
    assert not [one for one in answer.json()["problems"] if one["column"] == "defaults.style"]
    assert violations(page) == []
