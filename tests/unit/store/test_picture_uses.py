"""Pictures that are references: nobody can delete their photo, and retention spares them, while they are needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from packshot.contract.style import Reference, Style
from packshot.errors import Conflict, NotFound
from packshot.store.schema import Now, picture_use
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import add_photo, claim, new_image, new_mask, tamper
from tests.unit.store.test_retention import DAY_S, age_everything, finished_shot


def style_of(*picture_ids: str) -> Style:
    return Style(references=tuple(map(Reference, picture_ids)), palette=("#aabbcc",), strength=1.0, parts=("palette",))


def uses(store: Store) -> int:
    with store.database.read() as connection:
        return connection.execute(select(func.count()).select_from(picture_use)).scalar_one()


def test_retention_spares_the_pictures_of_styles_and_of_live_shots(open_store: Callable[..., Store]) -> None:
    store = open_store(retention_days=30)
    tenant = store.tenants.get_or_create("acme")
    of_style, of_shot, unused, product = (add_photo(store, tenant, name) for name in "abcd")
    (used,) = store.masks.add(tenant.id, product.id, [new_mask()])
    kept_shot, gone_shot = (finished_shot(store, tenant, used.id, png) for png in (b"kept", b"gone"))
    image_id = store.shots.get(tenant.id, kept_shot).images[0].id
    kit = store.styles.add(tenant.id, name="kit", references=[Reference(of_style.id), Reference(image_id, 2.0)])
    live, _ = store.shots.add(tenant.id, spec_of(used.id, style=style_of(of_shot.id)))
    age_everything(store, 31)
    for shot_id in (kept_shot, gone_shot):
        tamper(store, shot_id, finished_at=Now() - 31 * DAY_S)
    swept = store.retention.sweep()
    assert (swept["photos"], swept["shots"]) == (1, 1)
    with pytest.raises(NotFound):
        store.photos.get(tenant.id, unused.id)
    assert store.images.get(tenant.id, image_id).asset_key
    for photo, user in ((of_style, kit.id), (of_shot, live.id)):
        with pytest.raises(Conflict, match=user):
            store.photos.delete(tenant.id, photo.id)
    store.styles.delete(tenant.id, kit.id)
    store.shots.cancel(tenant.id, live.id)
    for photo in (of_style, of_shot):
        store.photos.delete(tenant.id, photo.id)
    assert store.retention.sweep()["shots"] == 1


def test_references_of_others_and_of_nobody_do_not_exist(store: Store) -> None:
    mine, theirs = (store.tenants.get_or_create(name) for name in ("mine", "theirs"))
    foreign = add_photo(store, theirs)
    for picture_id in (foreign.id, "ph_none", "im_none"):
        with pytest.raises(NotFound):
            store.styles.add(mine.id, name=picture_id, references=[Reference(picture_id)])
        with pytest.raises(NotFound):
            store.shots.add(mine.id, spec_of(style=style_of(picture_id)))
    assert uses(store) == 0


def test_uses_go_with_their_style_and_their_shot(store: Store) -> None:
    tenant = store.tenants.get_or_create("acme")
    photos = [add_photo(store, tenant, name) for name in "ab"]
    kit = store.styles.add(tenant.id, name="kit", references=[Reference(one.id) for one in photos])
    assert uses(store) == 2
    assert store.styles.change(tenant.id, kit.id, {"references": [Reference(photos[0].id)]}).references[0].weight == 1
    assert uses(store) == 1
    store.photos.delete(tenant.id, photos[1].id)
    store.shots.add(tenant.id, spec_of(style=style_of(photos[0].id)))
    store.queue.commit(claim(store), [new_image()])
    assert uses(store) == 2
    store.deletions.delete(tenant.id, by="a test")
    assert uses(store) == 0
