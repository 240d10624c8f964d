"""Projects hold photos and shots by name; styles hold scenes and their thumbnails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from packshot.errors import BadInput, Conflict, NotFound
from packshot.store.records import Tenant
from packshot.store.shot_filter import ShotFilter
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import PNG, add_photo


@pytest.fixture
def stranger(store: Store) -> Tenant:
    return store.tenants.get_or_create("stranger")


def test_a_project_is_its_tenants_alone(store: Store, tenant: Tenant, stranger: Tenant) -> None:
    made = store.projects.add(tenant.id, "Spring")
    assert store.projects.get(tenant.id, made.id) == made
    calls: list[Callable[[], object]] = [
        lambda: store.projects.get(stranger.id, made.id),
        lambda: store.projects.rename(stranger.id, made.id, "Mine"),
        lambda: store.projects.delete(stranger.id, made.id),
        lambda: store.shots.add(stranger.id, spec_of(), project_id=made.id),
        lambda: store.projects.get(tenant.id, "pj_\x00"),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
    assert store.projects.page(stranger.id) == ([], None)
    assert store.projects.add(stranger.id, "Spring").name == "Spring"


def test_two_projects_of_a_tenant_have_two_names(store: Store, tenant: Tenant) -> None:
    spring = store.projects.add(tenant.id, "Spring")
    with pytest.raises(Conflict, match="name_taken"):
        store.projects.add(tenant.id, "Spring")
    summer = store.projects.add(tenant.id, "Summer")
    with pytest.raises(Conflict, match="name_taken"):
        store.projects.rename(tenant.id, summer.id, "Spring")
    assert store.projects.rename(tenant.id, spring.id, "Spring").name == "Spring"
    assert store.projects.rename(tenant.id, summer.id, "Autumn").name == "Autumn"


def test_pages_of_projects_meet_without_a_gap(store: Store, tenant: Tenant) -> None:
    made = [store.projects.add(tenant.id, f"number {number}").id for number in range(5)]
    first, cursor = store.projects.page(tenant.id, limit=2)
    rest, end = store.projects.page(tenant.id, cursor=cursor, limit=3)
    assert sorted(one.id for one in first + rest) == sorted(made)
    times = [one.created_at for one in first + rest]
    assert times == sorted(times, reverse=True)
    assert end is None
    with pytest.raises(BadInput, match="cursor"):
        store.projects.page(tenant.id, cursor="pj_none")


def test_photos_and_shots_outlive_their_project(store: Store, tenant: Tenant) -> None:
    project = store.projects.add(tenant.id, "Spring")
    photo = add_photo(store, tenant, project_id=project.id)
    shot, _ = store.shots.add(tenant.id, spec_of(), project_id=project.id)
    assert (photo.project_id, shot.project_id) == (project.id, project.id)
    store.projects.delete(tenant.id, project.id)
    assert store.photos.get(tenant.id, photo.id).project_id is None
    assert store.shots.get(tenant.id, shot.id).project_id is None
    assert store.projects.page(tenant.id) == ([], None)


def test_a_repeated_upload_moves_a_photo_only_to_a_named_project(store: Store, tenant: Tenant) -> None:
    spring, summer = (store.projects.add(tenant.id, name).id for name in ("Spring", "Summer"))
    assert add_photo(store, tenant).project_id is None
    assert add_photo(store, tenant, project_id=spring).project_id == spring
    assert add_photo(store, tenant).project_id == spring
    assert add_photo(store, tenant, project_id=summer).project_id == summer
    with pytest.raises(NotFound):
        add_photo(store, tenant, "b", project_id="pj_none")


def test_the_list_of_shots_is_filtered_by_project_and_words(store: Store, tenant: Tenant) -> None:
    spring = store.projects.add(tenant.id, "Spring").id
    inside, _ = store.shots.add(tenant.id, spec_of(prompt="On a Marble table, 100% linen"), project_id=spring)
    outside, _ = store.shots.add(tenant.id, spec_of(prompt="on a café table"))

    def found(project_id: str | None = None, words: str = "") -> list[str]:
        wanted = ShotFilter(project_id=project_id, words=words)
        return [one.id for one in store.shots.page(tenant.id, wanted)[0]]

    assert found(project_id=spring) == [inside.id]
    assert found(words="table") == [outside.id, inside.id]
    assert found(words="table marble") == found(words="MARBLE") == [inside.id]
    assert found(words="café") == [outside.id]
    assert found(words="0% l") == [inside.id]
    assert found(words="10_%") == found(words="marble", project_id="pj_none") == []


def test_a_key_repeats_a_shot_of_the_same_project_only(store: Store, tenant: Tenant) -> None:
    spring = store.projects.add(tenant.id, "Spring").id
    first, _ = store.shots.add(tenant.id, spec_of(), idempotency_key="k", project_id=spring)
    again, created = store.shots.add(tenant.id, spec_of(), idempotency_key="k", project_id=spring)
    assert (again.id, created) == (first.id, False)
    with pytest.raises(BadInput, match="idempotency_mismatch"):
        store.shots.add(tenant.id, spec_of(), idempotency_key="k")


def test_a_style_keeps_its_thumbnail_until_it_is_replaced_or_deleted(store: Store, tenant: Tenant) -> None:
    made = store.styles.add(tenant.id, name="Marble", prompt="on marble", thumbnail=PNG + b"1")
    other = store.styles.add(tenant.id, name="Twin", thumbnail=PNG + b"1")
    assert made.thumbnail_key is not None
    assert made.thumbnail_key == other.thumbnail_key
    store.retention.sweep()
    changed = store.styles.change(tenant.id, made.id, {"prompt": "on slate", "shadow": "none"}, thumbnail=PNG + b"2")
    assert (changed.name, changed.prompt, changed.shadow) == ("Marble", "on slate", "none")
    assert changed.thumbnail_key is not None
    assert store.assets.get(changed.thumbnail_key) == PNG + b"2"
    assert store.assets.get(made.thumbnail_key) == PNG + b"1"  # the twin's
    assert store.styles.change(tenant.id, made.id, {}) == changed
    for style in (made, other):
        store.styles.delete(tenant.id, style.id)
    assert list(store.assets.files()) == []


def test_a_style_is_its_tenants_alone_and_its_name_is_unique(store: Store, tenant: Tenant, stranger: Tenant) -> None:
    made = store.styles.add(tenant.id, name="Marble")
    with pytest.raises(Conflict, match="name_taken"):
        store.styles.add(tenant.id, name="Marble", thumbnail=PNG)
    other = store.styles.add(stranger.id, name="Marble")
    with pytest.raises(NotFound):
        store.styles.change(stranger.id, made.id, {"name": "Mine"})
    with pytest.raises(NotFound):
        store.styles.delete(stranger.id, made.id)
    second = store.styles.add(tenant.id, name="Slate")
    with pytest.raises(Conflict, match="name_taken"):
        store.styles.change(tenant.id, second.id, {"name": "Marble"})
    assert {one.id for one in store.styles.page(tenant.id)[0]} == {made.id, second.id}
    assert store.styles.page(stranger.id) == ([other], None)
