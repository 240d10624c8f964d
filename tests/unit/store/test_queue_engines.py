"""The queue with several engines: claims of some engines only, in order and at one look, and each engine's load."""

from __future__ import annotations

from sqlalchemy import select

from packshot.contract.shot_spec import Background
from packshot.store.load_records import Flow, Load
from packshot.store.queue_order import Engines
from packshot.store.records import Tenant
from packshot.store.schema import shot
from packshot.store.store import Store
from tests.unit.store.store_rows import add_shots, copy_shot, tamper


def next_of(
    store: Store, people: tuple[str, ...], catalogue: tuple[str, ...] = (), *, people_only: bool = False
) -> str | None:
    claim = store.queue.claim("w", engines=Engines(people, catalogue), people_only=people_only)
    return None if claim is None else claim.shot_id


def test_a_claim_takes_only_shots_of_its_engines_in_their_order(store: Store, tenant: Tenant) -> None:
    first, second = (add_shots(store, tenant, 2, engine=name) for name in ("a", "b"))
    (mass,) = add_shots(store, tenant, 1, engine="b", priority="catalogue")
    assert next_of(store, ("b",)) == second[0]
    assert next_of(store, ("c",)) is None
    assert next_of(store, ("b",), ("b",)) == second[1]
    assert next_of(store, ("b",)) is None, "no catalogue shot of b"
    assert next_of(store, ("b",), ("b",), people_only=True) is None
    assert next_of(store, (), ("b",)) == mass
    assert [next_of(store, ("a", "b")) for _ in range(3)] == [*first, None]


def test_work_without_an_engine_and_that_of_older_code_is_anyones(store: Store, tenant: Tenant) -> None:
    (white,) = add_shots(store, tenant, 1, engine="a", background=Background("white"))
    (older,) = add_shots(store, tenant, 1, engine="a")
    tamper(store, older, engine=None)  # a column that it does not know
    assert [next_of(store, ("b",)) for _ in range(3)] == [white, older, None]


def test_an_expired_lease_is_claimed_by_a_director_of_its_engine(store: Store, tenant: Tenant) -> None:
    (one,) = add_shots(store, tenant, 1, engine="a")
    assert next_of(store, ("a",)) == one
    tamper(store, one, lease_until=0.0)
    assert next_of(store, ("b",)) is None
    assert next_of(store, ("a",)) == one


def test_tenants_take_turns_within_an_engine(store: Store, tenant: Tenant) -> None:
    other = store.tenants.get_or_create("other")
    add_shots(store, tenant, 3, engine="busy")
    mine, theirs = add_shots(store, tenant, 2, engine="a"), add_shots(store, other, 2, engine="a")
    claimed = [next_of(store, ("a",)) for _ in range(4)]
    assert claimed == [mine[0], theirs[0], mine[1], theirs[1]]


def test_ten_thousand_blocked_shots_do_not_slow_a_claim_of_another_engine(store: Store, tenant: Tenant) -> None:
    """The index of the engines' lines has only the other engine's shot."""
    (blocked,) = add_shots(store, tenant, 1, engine="busy", priority="catalogue")
    (one,) = add_shots(store, tenant, 1, engine="a", priority="catalogue")
    copy_shot(store, blocked, 9_999)
    if store.database.engine.dialect.name == "sqlite":
        text = "SELECT seq FROM shot WHERE tenant_id = :tenant AND priority = 'catalogue' AND engine >= 'a' AND "
        text += "engine <= 'a' AND status = 'queued' ORDER BY tenant_id, priority, engine, seq LIMIT 1"
        with store.database.read() as connection:
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", {"tenant": tenant.id}).all())
        assert "ix_shot_engine_line" in plan, plan
    assert next_of(store, ("a",), ("a",)) == one


def test_the_load_of_each_engine_is_a_part_of_the_whole(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 2, engine="a", images=1, steps=10, guidance_scale=1.0)
    add_shots(store, tenant, 1, engine="b", images=1, steps=10, guidance_scale=1.0)
    add_shots(store, tenant, 1, engine="b", background=Background("white"))
    assert next_of(store, ("b",)) is not None
    load = store.queue.load(0)
    assert load.engines["a"]["interactive"] == Flow(waiting=Load(2, 2, 20), arrived=Load(2, 2, 20))
    assert load.engines["b"]["interactive"] == Flow(running=Load(1, 1, 10), arrived=Load(1, 1, 10))
    assert load.interactive.waiting == Load(3, 3, 20)
    rates = {"row_step_s": 1.0, "picture_s": 0.0}
    assert store.queue.pending_device_s("a", **rates) == {"interactive": 20.0, "catalogue": 0.0}


def test_a_shot_keeps_the_engine_that_it_needs(store: Store, tenant: Tenant) -> None:
    (painted,) = add_shots(store, tenant, 1, engine="a")
    (white,) = add_shots(store, tenant, 1, engine="a", background=Background("#ffffff"))
    with store.database.read() as connection:
        found = {row.id: row.engine for row in connection.execute(select(shot.c.id, shot.c.engine))}
    assert found == {painted: "a", white: None}
