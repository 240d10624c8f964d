"""Finished pictures: a review is kept, and another tenant's images do not exist."""

from __future__ import annotations

from typing import Any

import pytest

from packshot.errors import BadInput, PackshotError
from packshot.store.records import ImageRecord, Tenant
from packshot.store.store import Store
from tests.unit.store.store_rows import add_shots, claim, new_image


def test_a_review_is_kept_with_its_note(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 1)
    (image,) = store.queue.commit(claim(store), [new_image()]).images
    assert store.images.get(tenant.id, image.id) == image
    reviewed = store.images.review(tenant.id, image.id, "approved", "crisp")
    assert (reviewed.review, reviewed.note) == ("approved", "crisp")
    assert store.images.review(tenant.id, image.id, None).note == "crisp"
    assert store.images.review(tenant.id, image.id, "rejected", "").note is None
    refused: tuple[tuple[Any, str | None], ...] = (("maybe", None), ("approved", "\x00"), ("approved", "\ud800"))
    for bad in refused:
        with pytest.raises(BadInput):
            store.images.review(tenant.id, image.id, *bad)

    def approve(tenant_id: str, image_id: str) -> ImageRecord:
        return store.images.review(tenant_id, image_id, "approved")

    for call in (store.images.get, approve):
        with pytest.raises(PackshotError) as caught:
            call(store.tenants.get_or_create("other").id, image.id)
        assert caught.value.code == "not_found"
