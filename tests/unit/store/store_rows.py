"""Small rows for stores under test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import String, case, cast, func, literal, select, true, update

from packshot.contract.verdict import Finding, Verdict
from packshot.imaging.fingerprint import Fingerprint
from packshot.store.delivered_records import NewDelivered
from packshot.store.records import Claim, NewImage, NewMask, PhotoRecord, Tenant
from packshot.store.schema import Now, shot
from packshot.store.store import Store
from packshot.store.training_records import TrainingOrder, TrainingPicture
from tests.specs import recipe_of, spec_of

NO_VERDICT = Verdict()
PNG = b"\x89PNG not really, and nobody looks"


def training_order(*pictures: TrainingPicture, **changed: Any) -> TrainingOrder:
    """A LoRA of a look, four epochs of one step for each picture."""
    order = TrainingOrder(
        kind="lora",
        tag="acmelook7",
        class_words="",
        init_words="",
        vectors=1,
        prior=0,
        rank=2,
        text_encoder=False,
        repeats=1,
        epochs=4,
        batch=1,
        learning_rate=None,
        samples=(),
        seed=0,
        licence="",
        source=f"{len(pictures)} photos",
        pictures=pictures,
    )
    return replace(order, **changed)


def add_photo(
    store: Store,
    tenant: Tenant,
    upload: str = "a",
    own_alpha: tuple[NewMask, bytes] | None = None,
    project_id: str | None = None,
) -> PhotoRecord:
    return store.photos.add(
        tenant.id,
        png=PNG + upload.encode(),
        width=4,
        height=3,
        format="JPEG",
        bytes=99,
        sha256=upload * 64,
        own_alpha=own_alpha,
        project_id=project_id,
    )


def new_mask(png: bytes = b"mask") -> NewMask:
    return NewMask(score=0.9, area_px=6, bbox_xyxy=(0, 0, 2, 3), png=png)


def new_image(
    index: int = 0,
    png: bytes = b"image",
    *,
    verdict: Verdict = NO_VERDICT,
    gain_png: bytes | None = None,
    fingerprint: Fingerprint | None = None,
) -> NewImage:
    return NewImage(index, 7 + index, 8, 8, png, verdict, recipe_of(7 + index), gain_png, fingerprint)


def add_shots(store: Store, tenant: Tenant, count: int, **changes: Any) -> list[str]:
    return [store.shots.add(tenant.id, spec_of(**changes))[0].id for _ in range(count)]


def claim(store: Store, worker: str = "w") -> Claim:
    """Claim the next shot. A shot must be due."""
    claimed = store.queue.claim(worker)
    assert claimed is not None
    return claimed


def tamper(store: Store, shot_id: str, **values: Any) -> None:
    """Change a row directly in the database, for example to let time pass."""
    with store.database.write() as connection:
        assert connection.execute(update(shot).where(shot.c.id == shot_id).values(values)).rowcount == 1


def copy_shot(
    store: Store, shot_id: str, count: int, tenants: Sequence[Tenant] = (), mark: str = "a", **values: Any
) -> None:
    """Add `count` copies of a stored shot, in turn for each of `tenants`; without any, for the shot's own.

    The copies have the columns `values`, and ids with `mark`. The database makes them in one statement, because 50,000
    single ones would take a minute.
    """
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < count))
    owners = [(numbers.c.n % len(tenants) == at, one.id) for at, one in enumerate(tenants)]
    changed = {
        "id": func.replace(shot.c.id, "sh_", f"sh_{mark}") + "_" + cast(numbers.c.n, String),
        "tenant_id": case(*owners, else_=shot.c.tenant_id) if owners else shot.c.tenant_id,
        "created_at": Now(),
        "due_at": Now(),
        **{name: literal(value) for name, value in values.items()},
    }
    columns = [column for column in shot.c if column.name not in ("seq", "idempotency_key")]
    rows = select(*(changed.get(column.name, column) for column in columns)).join_from(shot, numbers, true())
    with store.database.write() as connection:
        connection.execute(shot.insert().from_select(columns, rows.where(shot.c.id == shot_id).order_by(numbers.c.n)))


def new_delivered(data: bytes = b"file", recipe: str = "v1 ebay") -> NewDelivered:
    """A file that was delivered of a picture."""
    return NewDelivered(
        preset="ebay",
        recipe=recipe,
        data=data,
        extension="jpg",
        media_type="image/jpeg",
        width=8,
        height=6,
        source_type=None,
        changes=("enlarged",),
        findings=(Finding("fill", "warning", "small", 0.5),),
    )
