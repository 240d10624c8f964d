"""The set report over HTTP, of a catalogue whose pictures are in the store."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from packshot.contract.set_report import SetReport
from packshot.imaging.codec import encode_png
from packshot.imaging.composite import composite
from packshot.store.catalogue_records import CatalogueRecord
from packshot.store.records import NewImage
from packshot.types import Flat
from packshot.verdict.inspect import inspect
from tests.api_graph import Api
from tests.specs import recipe_of
from tests.unit.store.catalogue_steps import accept_all, add_catalogue, collect, items_of

CANVAS = (200, 200)
LINE = 164
HIGH = 140


def image(bottom: int) -> NewImage:
    """A product of the size that the catalogue's look asks for, with its lower edge in row `bottom`, on white."""
    pixels = np.zeros((*CANVAS, 4), np.uint8)
    pixels[bottom - HIGH : bottom, 70:130] = (150, 20, 20, 255)
    flat = Flat(pixels)
    picture = composite(flat, np.full((*CANVAS, 3), 255, np.uint8))
    return NewImage(0, 7, *CANVAS, encode_png(picture), inspect(flat, picture), recipe_of(7))


@pytest.fixture(scope="module")
def record(api_server: Api) -> CatalogueRecord:
    """A catalogue of four SKUs named <S0…>, the second of which stands 3 % of the height too low."""
    api, store = api_server, api_server.store
    photo, mask = api.photo()["id"], api.mask()["id"]
    tenant = store.keys.tenant_of(api.key)
    assert tenant is not None
    frame = {
        "name": "Spring <b>",
        "defaults": {"canvas": CANVAS, "fill": HIGH / CANVAS[1], "ground": LINE / CANVAS[1]},
        "deliver": [{"preset": "ebay", "scene": "white"}],
    }
    made = add_catalogue(store, tenant, items_of(4, photo), **frame)
    store.catalogues.start(tenant.id, made.id)
    accept_all(store, made, mask)
    rows, _ = store.catalogues.rows(tenant.id, made.id)
    bottoms = itertools.chain([LINE, LINE + 6], itertools.repeat(LINE))
    for row, bottom in zip(rows, bottoms, strict=False):
        store.queue.commit(api.claim(row.shots[0].shot_id), [image(bottom)])
    collect(store, made)
    return made


def test_the_report_names_the_outlier(api: Api, record: CatalogueRecord) -> None:
    answer = api.http.get(f"/v1/catalogues/{record.id}/report.json")
    report = SetReport.model_validate(answer.json())
    assert (report.pictures, report.measured, report.outliers_total) == (4, 4, 1)
    assert (report.outliers[0].sku, report.outliers[0].measure) == ("S00001", "ground")
    assert [spread.outliers for spread in report.sets[0].spreads] == [1, 0, 0, 0]


def test_the_report_is_a_picture_with_the_outliers_own(api: Api, record: CatalogueRecord) -> None:
    answer = api.http.get(f"/v1/catalogues/{record.id}/report.png")
    with Image.open(io.BytesIO(answer.content)) as drawn:
        pixels = np.asarray(drawn.convert("RGB"))
    assert pixels.shape[1] == 1400
    assert (pixels == (150, 20, 20)).all(axis=2).sum() > 5_000, "the product of the outlier is in it"


def test_the_report_is_a_page_that_runs_nothing(api: Api, record: CatalogueRecord) -> None:
    answer = api.http.get(f"/v1/catalogues/{record.id}/report")
    assert answer.headers["content-type"].startswith("text/html")
    assert "Spring &lt;b&gt;" in answer.text
    assert "Spring <b>" not in answer.text
    assert "script" not in answer.text
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    thumbnail = answer.text.split('<img src="')[1].split('"')[0]
    assert api.http.get(thumbnail).status_code == 200


@pytest.mark.parametrize("ending", ["report", "report.json", "report.png"])
def test_another_tenants_report_does_not_exist(api: Api, record: CatalogueRecord, ending: str) -> None:
    assert api.stranger.get(f"/v1/catalogues/{record.id}/{ending}").status_code == 404
