"""Reviews: decisions, comments, versions and the gate of approval; share links."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from packshot.contract.reviews import MarkAnswer
from packshot.contract.status import Decision
from packshot.contract.verdict import Finding, Verdict
from packshot.errors import BadInput, Conflict, NotFound, PreconditionFailed
from packshot.store.catalogue_records import EndedShot
from packshot.store.records import ImageRecord, Tenant
from packshot.store.schema import Now, image
from packshot.store.schema_reviews import share_link
from packshot.store.schema_webhooks import webhook_message
from packshot.store.shot_filter import ShotFilter
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.catalogue_steps import accept_all, add_catalogue, items_of, run_shots
from tests.unit.store.store_rows import NO_VERDICT, add_photo, claim, new_delivered, new_image, new_mask

MARK = MarkAnswer(kind="rect", points=((0.1, 0.2), (0.5, 0.6)))


def made(store: Store, tenant: Tenant, *, verdict: Verdict = NO_VERDICT, **of_the_shot: str) -> ImageRecord:
    """A finished picture."""
    store.shots.add(tenant.id, spec_of(), **of_the_shot)  # type: ignore[arg-type]
    (picture,) = store.queue.commit(claim(store), [new_image(verdict=verdict)]).images
    return picture


def test_a_picture_goes_from_draft_through_decisions_and_the_log_keeps_each(store: Store, tenant: Tenant) -> None:
    picture = made(store, tenant)
    assert (picture.state, picture.etag) == ("draft", '"0-draft"')
    decide = store.reviews.decide
    opened = decide(tenant.id, picture.id, "in_review", by="key ky_1")
    assert (opened.state, opened.review) == ("in_review", None)
    wrong = decide(
        tenant.id, picture.id, "changes_requested", by="key ky_1", reason="shadow", note="too hard", marks=[MARK]
    )
    assert (wrong.state, wrong.review, wrong.reason, wrong.note) == (
        "changes_requested",
        "rejected",
        "shadow",
        "too hard",
    )
    remark = store.reviews.comment(tenant.id, picture.id, "I see it too", by="share sl_1", reviewer="Ada")
    assert (remark.number, remark.state, remark.reviewer) == (3, None, "Ada")
    right = decide(tenant.id, picture.id, "approved", by="local", reviewer="Grace", expected=[wrong.etag])
    assert (right.state, right.reason, right.note, right.etag) == ("approved", None, None, '"4-approved"')
    now, log = store.reviews.log(tenant.id, picture.id)
    assert now == right == store.images.get(tenant.id, picture.id)
    assert [(line.number, line.state, line.reason, line.by) for line in log] == [
        (1, "in_review", None, "key ky_1"),
        (2, "changes_requested", "shadow", "key ky_1"),
        (3, None, None, "share sl_1"),
        (4, "approved", None, "local"),
    ]
    assert log[1].marks == (MARK,)
    with pytest.raises(BadInput):
        decide(tenant.id, picture.id, "approved", by="local", note="\x00")


def test_of_two_reviewers_who_saw_the_same_state_one_is_told_the_other_one_s(store: Store, tenant: Tenant) -> None:
    picture = made(store, tenant)
    start = threading.Barrier(2)

    def review(state: Decision) -> ImageRecord | PreconditionFailed:
        start.wait()
        try:
            return store.reviews.decide(tenant.id, picture.id, state, by="local", expected=[picture.etag])
        except PreconditionFailed as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(review, ("approved", "in_review"))
    (won,) = [one for one in (first, second) if isinstance(one, ImageRecord)]
    (lost,) = [one for one in (first, second) if isinstance(one, PreconditionFailed)]
    assert (lost.state, lost.etag) == (won.state, won.etag)
    assert len(store.reviews.log(tenant.id, picture.id)[1]) == 1


def test_a_webhook_hears_of_a_decision_and_of_no_comment(store: Store, tenant: Tenant) -> None:
    store.webhooks.add(tenant.id, "https://example.org/hook", ["image.reviewed"])
    picture = made(store, tenant)
    store.reviews.comment(tenant.id, picture.id, "hm", by="local")
    store.reviews.decide(tenant.id, picture.id, "changes_requested", by="local", reason="light", note="dark")
    with store.database.read() as connection:
        [body] = connection.execute(select(webhook_message.c.body)).scalars()
    told = json.loads(body)["data"]
    assert (told["id"], told["state"], told["reason"], told["note"]) == (
        picture.id,
        "changes_requested",
        "light",
        "dark",
    )


def test_a_decision_of_code_of_an_earlier_version_counts(store: Store, tenant: Tenant) -> None:
    picture = made(store, tenant)
    with store.database.write() as connection:
        connection.execute(update(image).where(image.c.id == picture.id).values(review="rejected"))
    seen = store.images.get(tenant.id, picture.id)
    assert (seen.state, seen.etag) == ("changes_requested", '"0-changes_requested"')


def test_a_redo_makes_the_next_version_and_two_at_once_make_two(store: Store, tenant: Tenant) -> None:
    first = made(store, tenant)
    store.reviews.decide(tenant.id, first.id, "approved", by="local")
    for _ in range(2):
        store.shots.add(tenant.id, spec_of(), supersedes=first.id)
    second, third = (store.queue.commit(claim(store), [new_image()]).images[0] for _ in range(2))
    assert (second.version, second.supersedes, second.state, second.review_number) == (2, first.id, "in_review", 1)
    assert (third.version, third.supersedes) == (3, second.id)
    assert store.images.get(tenant.id, first.id).superseded_by == second.id
    assert store.images.newest(tenant.id, first.id) == third
    assert store.images.get(tenant.id, first.id).state == "approved", "an approval belongs to one version"
    with pytest.raises(Conflict, match=r"superseded.*has replaced"):
        store.shots.add(tenant.id, spec_of(), supersedes=first.id)
    with pytest.raises(NotFound):
        store.shots.add(store.tenants.get_or_create("other").id, spec_of(), supersedes=third.id)
    open_shots, _ = store.shots.page(tenant.id, ShotFilter(review="none"))
    assert [one.images[0].id for one in open_shots] == [third.id], "superseded pictures need no review"


def test_under_require_approval_and_in_a_category_only_approved_pictures_leave(store: Store, tenant: Tenant) -> None:
    plain, medical = made(store, tenant), made(store, tenant, category="medical")
    gate = store.reviews.require_approved
    gate(tenant.id, [plain.id])
    with pytest.raises(Conflict, match=rf"not_approved.*{medical.id} is not"):
        gate(tenant.id, [plain.id, medical.id])
    store.reviews.decide(tenant.id, medical.id, "approved", by="local")
    gate(tenant.id, [plain.id, medical.id])
    store.tenants.set_require_approval(tenant.id, True)
    with pytest.raises(Conflict, match="not_approved"):
        gate(tenant.id, [plain.id])
    assert [one.require_approval for one in store.tenants.all() if one.id == tenant.id] == [True]
    store.reviews.decide(tenant.id, plain.id, "approved", by="local")
    store.reviews.decide(tenant.id, plain.id, "changes_requested", by="local", reason="other")
    with pytest.raises(Conflict, match="not_approved"):
        gate(tenant.id, [plain.id])
    store.tenants.set_require_approval(tenant.id, False)
    gate(tenant.id, [plain.id])


def test_a_picture_with_changed_text_leaves_when_a_person_approved_it_and_in_a_category_not_even_then(
    store: Store, tenant: Tenant
) -> None:
    gate, wrong = store.reviews.require_approved, Finding("text", "failed", "the photo says '30 ml'")
    small = Finding("text", "warning", "the line 'mg' is unreadable")
    plain, medical = (
        made(store, tenant, verdict=Verdict((small, wrong))),
        made(store, tenant, category="medical", verdict=Verdict((wrong,))),
    )
    unproven = made(store, tenant, verdict=Verdict((small,)))
    gate(tenant.id, [unproven.id])
    with pytest.raises(Conflict, match=rf"not_approved.*{plain.id} is not"):
        gate(tenant.id, [unproven.id, plain.id])
    store.reviews.decide(tenant.id, plain.id, "approved", by="local")
    gate(tenant.id, [plain.id])
    store.reviews.decide(tenant.id, medical.id, "approved", by="local")
    with pytest.raises(Conflict, match=rf"text_changed.*{medical.id} differs.*redo it"):
        gate(tenant.id, [plain.id, medical.id])
    better = made(store, tenant, category="medical", verdict=Verdict((small,)), supersedes=medical.id)
    with pytest.raises(Conflict, match="not_approved"):
        gate(tenant.id, [better.id])
    store.reviews.decide(tenant.id, better.id, "approved", by="local")
    gate(tenant.id, [better.id])


def test_a_catalogue_makes_a_pictures_files_when_it_is_approved_and_anew_when_it_is_redone(
    store: Store, tenant: Tenant
) -> None:
    photo = add_photo(store, tenant)
    [mask] = store.masks.add(tenant.id, photo.id, [new_mask()])
    record = add_catalogue(store, tenant, items_of(1, photo.id))
    record = store.catalogues.start(tenant.id, record.id)
    assert accept_all(store, record, mask.id) == 1
    run_shots(store, 1)
    work = store.catalogue_work
    [live] = work.live_shots(record.id)
    first = store.shots.get(tenant.id, live.shot_id).images[0]
    work.shots_ended(record.id, [EndedShot(live.place, live.key, first.id, ((0, 1, None),))])
    [file] = work.files_to_make(record.id, 9)
    work.file_held(record.id, file)
    assert work.files_to_make(record.id, 9) == []
    store.reviews.decide(tenant.id, first.id, "changes_requested", by="local", reason="light")
    assert work.files_to_make(record.id, 9) == []
    store.reviews.decide(tenant.id, first.id, "approved", by="local")
    assert work.files_to_make(record.id, 9) == [file]
    made = store.delivered.add(tenant.id, first.id, new_delivered(b"one"))
    work.reserve_name(record.id, file, "S00000.jpg")
    work.file_made(record.id, file, made.id)
    store.shots.add(tenant.id, spec_of(), supersedes=first.id)
    [second] = store.queue.commit(claim(store), [new_image()]).images
    assert [one.image_id for one in work.files_to_make(record.id, 9)] == [second.id]
    sitting, _ = store.shots.page(tenant.id, ShotFilter(catalogue_id=record.id))
    assert [picture.id for one in sitting for picture in one.images] == [second.id]


def test_another_tenants_picture_is_not_found(store: Store, tenant: Tenant) -> None:
    picture, other = made(store, tenant), store.tenants.get_or_create("other")
    for call in (
        lambda: store.reviews.decide(other.id, picture.id, "approved", by="local"),
        lambda: store.reviews.comment(other.id, picture.id, "x", by="local"),
        lambda: store.reviews.log(other.id, picture.id),
        lambda: store.images.newest(other.id, picture.id),
        lambda: store.shares.add(other.id, [picture.id], name="x", life_s=9, by="local"),
    ):
        with pytest.raises(NotFound):
            call()
    assert store.images.get(tenant.id, picture.id) == picture


def test_a_share_link_shows_its_pictures_until_it_ends_or_is_revoked(store: Store, tenant: Tenant) -> None:
    first, second = made(store, tenant, sku="MUG-1"), made(store, tenant)
    new = store.shares.add(tenant.id, [second.id, first.id, second.id], name="Spring", life_s=3600, by="local")
    assert store.shares.opened(new.token) == new.record
    author = new.record.author
    store.reviews.comment(tenant.id, first.id, "lovely", by=author, reviewer="Ada", at_most=1)
    store.reviews.comment(tenant.id, first.id, "ours alone", by="local")
    with pytest.raises(Conflict, match="comments_full"):
        store.reviews.comment(tenant.id, first.id, "again", by=author, at_most=1)
    shown = store.shares.images(new.record)
    assert [(one.image.id, one.sku, [line.note for line in one.comments]) for one in shown] == [
        (second.id, None, []),
        (first.id, "MUG-1", ["lovely"]),
    ]
    for wrong in ("", "sl_", new.token[:-1] + "!", "sl_" + "A" * 43, new.record.id):
        assert store.shares.opened(wrong) is None
    with pytest.raises(NotFound):
        store.shares.revoke(store.tenants.get_or_create("other").id, new.record.id)
    store.shares.revoke(tenant.id, new.record.id)
    assert store.shares.opened(new.token) is None
    brief = store.shares.add(tenant.id, [first.id], name="Brief", life_s=60, by="local")
    with store.database.write() as connection:
        past = update(share_link).where(share_link.c.id == brief.record.id)
        connection.execute(past.values(expires_at=Now() - 0.001))
    assert store.shares.opened(brief.token) is None
    listed, _ = store.shares.page(tenant.id)
    assert {one.id: one.revoked_at is None for one in listed} == {new.record.id: False, brief.record.id: True}
