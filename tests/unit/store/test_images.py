"""Images: a review is stored, and another tenant's images are not found."""

from __future__ import annotations

import pytest

from packshot.errors import BadInput, NotFound
from packshot.store.records import Tenant
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
    with pytest.raises(BadInput):
        store.images.review(tenant.id, image.id, "maybe")  # type: ignore[arg-type]
    for note in ("\x00", "\ud800"):
        with pytest.raises(BadInput):
            store.images.review(tenant.id, image.id, "approved", note)


def test_another_tenants_image_does_not_exist(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 1)
    (image,) = store.queue.commit(claim(store), [new_image()]).images
    other = store.tenants.get_or_create("other")
    with pytest.raises(NotFound):
        store.images.get(other.id, image.id)
    with pytest.raises(NotFound):
        store.images.review(other.id, image.id, "approved")
    assert store.images.get(tenant.id, image.id) == image
