"""One example of every request and answer of catalogues, for `/openapi.json`."""

from __future__ import annotations

from datetime import UTC, datetime

from packshot.contract.answers import FindingAnswer
from packshot.contract.catalogue import Axis, Budget, BudgetCheck, Deliver, DryRunAnswer, Item, Manifest, RowProblem
from packshot.contract.catalogue_answers import (
    CatalogueAnswer,
    CataloguePage,
    CountsAnswer,
    MissingPhotoAnswer,
    PhotosZipAnswer,
    PutPhotoAnswer,
    RefusedPhoto,
    RowAnswer,
    RowFileAnswer,
    RowShotAnswer,
    RowsPage,
    SpentAnswer,
)
from packshot.contract.delivery_examples import DELIVERIES
from packshot.contract.examples import IMAGE, PHOTO, SHOT
from packshot.contract.set_report import Defective, Outlier, SetOfReport, SetReport, Spread

_ID, _PATH = "ct_2d7b9e1c4f60", "photos/ring.png"
MANIFEST = Manifest(
    name="spring-2027",
    budget=Budget(images=400, on_exceed="pause"),
    axes=[Axis(name="scene", values={"marble": "on a marble table", "linen": "on draped linen"})],
    deliver=[Deliver(preset="shopify", name="{sku}-{scene}-{n:02}.{ext}")],
    items=[Item(sku="B01-RED", photo=_PATH, box=(200.0, 120.0, 1340.0, 1010.0), meta={"gtin14": "04006381333931"})],
)
DRY_RUN = DryRunAnswer(
    ok=False,
    rows=1,
    shots=2,
    pictures=2,
    deliveries=2,
    device_s=6.4,
    ends_at=datetime(2026, 11, 26, 8, 0, 6, tzinfo=UTC),
    basis="measured",
    budget=BudgetCheck(images=400, device_s=3600.0, exceeded=False),
    problems=(
        RowProblem(
            row=1,
            sku="B01-RED",
            column="meta.gtin14",
            value="04006381333930",
            code="gtin_invalid",
            rule="the last digit of 0400638133393? must be 1",
            remedy="Compare it with the barcode; digits may be swapped.",
        ),
    ),
    problems_total=1,
)
CATALOGUE = CatalogueAnswer(
    id=_ID,
    name="spring-2027",
    state="done",
    url=f"/v1/catalogues/{_ID}",
    rows=1,
    counts=CountsAnswer(waiting=0, running=0, done=1, failed=0, skipped=0),
    version=3,
    spent=SpentAnswer(images=2, device_s=6.4, allowed_images=400, allowed_device_s=3600.0),
    created_at=datetime(2026, 11, 26, 8, 0, tzinfo=UTC),
    started_at=datetime(2026, 11, 26, 8, 0, 30, tzinfo=UTC),
    ended_at=datetime(2026, 11, 26, 8, 1, tzinfo=UTC),
)
DRAFT = CATALOGUE.model_copy(
    update={
        "state": "draft",
        "missing_photos": (MissingPhotoAnswer(path=_PATH, kind="photo", rows=(1,)),),
        "missing_photos_total": 1,
    }
)
CATALOGUES = CataloguePage(catalogues=(CATALOGUE,), next_cursor="1795680000.0:ct_2d7b9e1c4f60")
ROWS = RowsPage(
    rows=(
        RowAnswer(
            row=1,
            sku="B01-RED",
            state="done",
            attempt=1,
            shots=(RowShotAnswer(shot_id=SHOT.id, view="front", scene="marble", state="done", image_id=IMAGE.id),),
            files=(
                RowFileAnswer(
                    preset="shopify",
                    entry=0,
                    n=1,
                    state="made",
                    image_id=IMAGE.id,
                    name="B01-RED-marble-01.jpg",
                    url=f"/v1/deliveries/{DELIVERIES.deliveries[0].id}/B01-RED-marble-01.jpg",
                ),
            ),
            ended_at=datetime(2026, 11, 26, 8, 1, tzinfo=UTC),
        ),
    ),
    next_cursor="0",
)
PUT_PHOTO = PutPhotoAnswer(path=_PATH, stored=True, photo_id=PHOTO.id)
PHOTOS_ZIP = PhotosZipAnswer(
    stored=12,
    refused=(RefusedPhoto(path="photos/mug.jpg", code="photo_unreadable", detail="The photo ends too early."),),
    unused=("notes.txt",),
    missing_photos_total=0,
)
SET_REPORT = SetReport(
    catalogue_id="ct_2d7b9e1c4f60",
    name="spring-2027",
    pictures=30,
    measured=30,
    within=False,
    sets=(
        SetOfReport(
            scene="marble",
            canvas=(1600, 1600),
            fill=0.7,
            pictures=30,
            background_lab=(71.4, 2.1, 8.3),
            shadow_deg=28,
            spreads=(
                Spread(
                    measure="ground",
                    unit="share of the height",
                    target=0.82,
                    tolerance=0.01,
                    measured=30,
                    mean=0.8203,
                    least=0.8194,
                    most=0.8351,
                    outliers=1,
                    values=(0.82, 0.8351),
                ),
            ),
        ),
    ),
    outliers=(
        Outlier(
            sku="MUG-01",
            view="front",
            scene="marble",
            canvas=(1600, 1600),
            image_id=IMAGE.id,
            measure="ground",
            value=0.8351,
            target=0.82,
            off=1.51,
            detail="stands 1.5% of the height below the line; look at its mask's lower edge",
        ),
    ),
    outliers_total=1,
    defective=(
        Defective(
            sku="MUG-07",
            view="front",
            scene="marble",
            canvas=(1600, 1600),
            image_id=IMAGE.id,
            findings=(
                FindingAnswer(
                    check="hallucination",
                    level="failed",
                    detail="something of the product's colours, 31% of its size, stands beside it; use another seed",
                    value=0.31,
                    box=(0.71, 0.52, 0.88, 0.83),
                ),
            ),
        ),
    ),
    defective_total=1,
)
