"""Keys: shown once, stored as a hash, refused once revoked."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy import select

from packshot.errors import BadInput, NotFound
from packshot.store.schema import api_key
from packshot.store.store import Store


def test_a_key_opens_its_tenant_and_is_stored_only_as_a_hash(store: Store) -> None:
    first, second = store.keys.create("acme"), store.keys.create("acme")
    assert re.fullmatch(r"pk_[A-Za-z0-9_-]{43}", first.secret)  # 43 base64 characters: 256 bits
    mine = store.keys.tenant_of(first.secret)
    assert mine is not None
    assert mine == store.keys.tenant_of(second.secret) == store.tenants.get_or_create("acme")
    with store.database.read() as connection:
        stored = [str(value) for row in connection.execute(select(api_key)) for value in row]
    assert not [value for value in stored if first.secret in value]
    assert [record.prefix for record in store.keys.all()] == [first.secret[:11], second.secret[:11]]
    assert {record.tenant for record in store.keys.all()} == {"acme"}


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1] + ("A" if s[-1] != "A" else "B"), lambda s: s[:20], lambda s: s + "A"]
)
def test_a_key_off_by_one_character_opens_nothing(store: Store, change: Callable[[str], str]) -> None:
    secret = store.keys.create("acme").secret
    assert store.keys.tenant_of(change(secret)) is None


@pytest.mark.parametrize(
    "secret", ["", "pk_", "pk_" + "A" * 43, "pk_\x00" + "A" * 42, "pk_\ud800" + "A" * 42, "x" * 100_000]
)
def test_what_was_never_a_key_opens_nothing(store: Store, secret: str) -> None:
    assert store.keys.tenant_of(secret) is None


def test_a_revoked_key_opens_nothing_and_stays_listed(store: Store) -> None:
    kept, lost = store.keys.create("acme"), store.keys.create("acme")
    store.keys.revoke(lost.record.id)
    (when,) = [record.revoked_at for record in store.keys.all() if record.id == lost.record.id]
    assert when is not None
    store.keys.revoke(lost.record.id)
    assert [record.revoked_at for record in store.keys.all() if record.id == lost.record.id] == [when]
    assert store.keys.tenant_of(lost.secret) is None
    assert store.keys.tenant_of(kept.secret) is not None
    for unknown in ("ky_none", "\x00"):
        with pytest.raises(NotFound):
            store.keys.revoke(unknown)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "\ud800", "n" * 101])
def test_an_unusable_tenant_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(BadInput):
        store.keys.create(name)
