"""The attack of `make attack`, smaller: seconds instead of minutes."""

from collections.abc import Iterator

import pytest

from tests.attack import doors
from tests.attack.__main__ import main
from tests.attack.disk import disk_full
from tests.attack.lasting import lasting
from tests.attack.target import Target, target
from tests.unit.imaging.test_corpus import mutations


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target() as server:
        yield server


def test_another_tenants_requests_leak_nothing(attacked: Target) -> None:
    row = doors.cross_tenant(attacked, 300)
    assert row.held, row.shown()


def test_a_leak_would_be_seen(attacked: Target) -> None:
    """With the owner's key every second request is a leak: the row must say so."""
    row = doors.cross_tenant(Target(**{**vars(attacked), "stranger": attacked.key}), 60)
    assert not row.held


def test_malformed_files_are_refused_quickly(attacked: Target) -> None:
    row = doors.malformed(attacked, mutations(40))
    assert row.held, row.shown()


def test_no_field_leads_to_an_address_of_this_machine(attacked: Target) -> None:
    row = doors.addresses(attacked, 130)
    assert row.held, row.shown()


def test_requests_made_from_the_schema_are_answered_as_it_says(attacked: Target) -> None:
    row = doors.from_schema(attacked, 2)
    assert row.held, row.shown()


def test_bodies_and_streams_that_last_are_bounded(attacked: Target) -> None:
    row = lasting(attacked, 150, 140, 40)
    assert int(row.seen["answers_200"]) > 0, row.shown()  # streams that were let in
    assert int(row.seen["answers_429"]) > 0, row.shown()  # what was over a tenant's places
    assert float(row.seen["p95_ms"]) < 20_000, row.shown()  # others are served; the factor is for a quiet machine


def test_a_full_disk_loses_nothing() -> None:
    row = disk_full(8)
    assert row.held, row.shown()


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_the_whole_attack() -> None:
    assert main() == 0
