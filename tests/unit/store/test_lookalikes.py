"""Files are found by their bytes, and look-alikes by fingerprints, which go with their picture."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from sqlalchemy import delete, func, select, update

from packshot.imaging.codec import encode_png, read_png
from packshot.imaging.fingerprint import WINDOWS, Fingerprint, fingerprint_of
from packshot.shots.fingerprinting import fingerprint_some
from packshot.store.records import ImageRecord, Tenant
from packshot.store.schema import shot
from packshot.store.schema_fingerprints import fingerprint
from packshot.store.store import Store
from packshot.types import U8
from tests.specs import spec_of
from tests.unit.imaging.test_product_print import packshot
from tests.unit.store.store_rows import claim, new_delivered, new_image


def picture(seed: int) -> U8:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC), np.uint8)


def made(store: Store, tenant: Tenant, seeds: Sequence[int], *, fingerprinted: bool = True) -> tuple[ImageRecord, ...]:
    """Pictures of one shot."""
    store.shots.add(tenant.id, spec_of(images=len(seeds)))
    images = []
    for index, seed in enumerate(seeds):
        found = fingerprint_of(picture(seed)) if fingerprinted else None
        images.append(new_image(index, png=encode_png(picture(seed)), fingerprint=found))
    return store.queue.commit(claim(store), images).images


def rows(store: Store) -> int:
    with store.database.read() as connection:
        return connection.execute(select(func.count()).select_from(fingerprint)).scalar_one()


def asked(seed: int) -> Fingerprint:
    found = fingerprint_of(picture(seed))
    assert found is not None
    return found


def test_a_file_is_found_by_its_bytes(store: Store, tenant: Tenant) -> None:
    first, _ = made(store, tenant, [1, 2])
    sent = store.delivered.add(tenant.id, first.id, new_delivered(b"a channel's file"))
    [stored] = store.fingerprints.exact(hashlib.sha256(encode_png(picture(1))).hexdigest())
    [file] = store.fingerprints.exact(sent.sha256)
    assert (stored.file_id, stored.shot_id, stored.width) == (first.id, first.shot_id, first.width)
    assert (file.file_id, file.image_id, file.media_type) == (sent.id, first.id, sent.media_type)
    assert store.fingerprints.exact("0" * 64) == []
    assert store.fingerprints.known([sent.id, first.id, "im_nothing"]) == [stored, file]


def test_look_alikes_come_as_they_are_made_and_go_with_their_shot(store: Store, tenant: Tenant) -> None:
    first, second = made(store, tenant, [11, 12])
    assert [one.file_id for one in store.lookalikes.search(asked(12))] == [second.id]
    (third,) = made(store, tenant, [13])
    assert [one.file_id for one in store.lookalikes.search(asked(13))] == [third.id]
    assert store.lookalikes.search(asked(14)) == []
    before = rows(store)
    with store.database.write() as connection:
        connection.execute(delete(shot).where(shot.c.id == first.shot_id))
    assert rows(store) == before - 2
    assert store.lookalikes.search(asked(12)) == []


def test_a_crop_and_a_mirror_are_found(store: Store, tenant: Tenant) -> None:
    (only,) = made(store, tenant, [21])
    turned = fingerprint_of(np.ascontiguousarray(picture(21)[:, ::-1]))
    part = fingerprint_of(np.ascontiguousarray(picture(21)[4:86, 10:92]))
    assert turned is not None
    assert part is not None
    [found] = store.lookalikes.search(turned)
    assert (found.file_id, found.mirrored) == (only.id, True)
    [found] = store.lookalikes.search(part)
    assert (found.file_id, found.mirrored) == (only.id, False)
    assert found.likeness.window == pytest.approx((10 / 96, 4 / 96, 92 / 96, 86 / 96), abs=0.03)


def test_old_files_get_theirs_a_few_at_a_time(store: Store, tenant: Tenant) -> None:
    images = made(store, tenant, [31, 32, 33])
    with store.database.write() as connection:
        connection.execute(delete(fingerprint))
    store.assets.delete(images[2].asset_key)
    keys = []

    async def find(asset_key: str) -> Fingerprint | None:
        keys.append(asset_key)
        return fingerprint_of(read_png(store.assets.get(asset_key)))

    while asyncio.run(fingerprint_some(store, find, most=2)):
        pass
    assert sorted(keys) == sorted(one.asset_key for one in images)
    assert store.fingerprints.missing(10) == []
    assert [one.file_id for one in store.lookalikes.search(asked(32))] == [images[1].id]


def test_products_on_white_are_found_apart_from_scenes(store: Store, tenant: Tenant) -> None:
    made(store, tenant, [61])
    images = shelved(store, tenant, [1, 2])
    found = store.lookalikes.search(fingerprint_of(packshot(2)) or asked(61))
    assert [(one.file_id, one.mirrored) for one in found] == [(images[1].id, False)]
    turned = store.lookalikes.search(fingerprint_of(np.ascontiguousarray(packshot(1)[:, ::-1])) or asked(61))
    assert [(one.file_id, one.mirrored) for one in turned] == [(images[0].id, True)]
    assert store.lookalikes.search(fingerprint_of(packshot(3)) or asked(61)) == []
    assert len(store.lookalikes) >= 3


def test_what_an_earlier_version_called_plain_is_looked_at_again(store: Store, tenant: Tenant) -> None:
    (image,) = shelved(store, tenant, [4])
    made(store, tenant, [71], fingerprinted=False)

    async def nothing(asset_key: str) -> None:
        """By this version too it is plain."""

    assert asyncio.run(fingerprint_some(store, nothing)) == 1
    assert store.lookalikes.search(fingerprint_of(packshot(4)) or asked(71))
    with store.database.write() as connection:
        before = update(fingerprint).where(fingerprint.c.file_id == image.id).values(hashes=None, sketch=None)
        connection.execute(before)
    store.lookalikes._reloaded_at = -1e9  # another process, which has not read it
    assert [one.file_id for one in store.fingerprints.missing(10)] == [image.id]

    async def find(asset_key: str) -> Fingerprint | None:
        return fingerprint_of(read_png(store.assets.get(asset_key)))

    assert asyncio.run(fingerprint_some(store, find)) == 1
    assert store.fingerprints.missing(10) == []
    assert [one.file_id for one in store.lookalikes.search(fingerprint_of(packshot(4)) or asked(71))] == [image.id]


def shelved(store: Store, tenant: Tenant, seeds: Sequence[int]) -> tuple[ImageRecord, ...]:
    """Pictures of products on white, of one shot."""
    store.shots.add(tenant.id, spec_of(images=len(seeds)))
    pictures = [packshot(seed) for seed in seeds]
    images = [new_image(at, png=encode_png(one), fingerprint=fingerprint_of(one)) for at, one in enumerate(pictures)]
    return store.queue.commit(claim(store), images).images


def test_a_file_that_was_deleted_meanwhile_gets_none(store: Store, tenant: Tenant) -> None:
    (gone,) = made(store, tenant, [41])
    [file] = store.fingerprints.known([gone.id])
    with store.database.write() as connection:
        connection.execute(delete(shot).where(shot.c.id == gone.shot_id))
    store.fingerprints.add(file, asked(41))
    assert store.fingerprints.known([gone.id]) == []


def test_a_row_that_is_committed_late_is_read(store: Store, tenant: Tenant) -> None:
    early, late = made(store, tenant, [51, 52])
    with store.database.write() as connection:
        held = connection.execute(delete(fingerprint).where(fingerprint.c.file_id == early.id).returning(fingerprint))
        row = dict(held.one()._mapping)
    assert [one.file_id for one in store.lookalikes.search(asked(52))] == [late.id]
    with store.database.write() as connection:
        connection.execute(fingerprint.insert().values(**row))
    assert [one.file_id for one in store.lookalikes.search(asked(51))] == [early.id]
    assert len(asked(51).hashes) == 8 * len(WINDOWS)
