"""Long queues: claims from the heads of the lines keep the order of claims, and far positions are estimates."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ColumnElement, select, text, update

from packshot.store import positions
from packshot.store.queue import CLAIM_AMONG
from packshot.store.queue_changes import claim_next
from packshot.store.queue_order import AGEING_S, queue_order
from packshot.store.records import Tenant
from packshot.store.schema import Now, shot
from packshot.store.schema import tenant as tenants
from packshot.store.store import Store
from tests.unit.store.sorted_line import sorted_line
from tests.unit.store.store_rows import add_shots, claim, copy_shot, tamper


def a_mess(store: Store, seed: int) -> list[str]:
    """Shots of several tenants in every state that matters for the order, by a seed. Returns the waiting ones."""
    chance = random.Random(seed)
    owners = [store.tenants.get_or_create(f"t{seed}-{number}") for number in range(chance.choice((1, 3, 12)))]
    with store.database.write() as connection:
        for owner in owners:
            weight = chance.choice((1.0, 1.0, 2.0, 0.5))
            connection.execute(update(tenants).where(tenants.c.id == owner.id).values(weight=weight))
    (one,) = add_shots(store, owners[0], 1)
    with store.database.read() as connection:
        base = dict(connection.execute(select(shot).where(shot.c.id == one)).one()._mapping)
    base.pop("seq")
    store.shots.cancel(owners[0].id, one)
    rows = [_any_row(chance, base, owners, f"sh_{seed}_{number}") for number in range(60)]
    with store.database.write() as connection:
        for row in rows:
            connection.execute(shot.insert().values(row))
    return [row["id"] for row in rows if row["status"] == "queued"]


def _any_row(chance: random.Random, base: dict[str, Any], owners: list[Tenant], shot_id: str) -> dict[str, Any]:
    def ago(*seconds: float) -> ColumnElement[float]:
        return Now() - chance.choice(seconds) - chance.random()

    status = chance.choices(("queued", "running", "done"), (8, 3, 1))[0]
    late = status == "queued" and chance.random() < 0.1
    return base | {
        "id": shot_id,
        "tenant_id": chance.choice(owners).id,
        "priority": chance.choice(("interactive", "catalogue", "catalogue")),
        "status": status,
        "created_at": ago(0, AGEING_S + 5),
        "due_at": Now() + chance.uniform(500, 1000) if late else ago(0),
        "claimed_at": None if status == "queued" else ago(0, AGEING_S + 5, AGEING_S + 5),
        "turn": None if status == "queued" else chance.choice((None, float(chance.randrange(60)))),
        "row_steps": chance.choice((4, 40)),
        "lease_until": ago(0, -1000, -1000) if status == "running" else None,
    }


SEEDS = (0, 1, 5)
"""Of `a_mess` with three tenants, one and twelve."""
OTHER_SEEDS = [pytest.param(seed, marks=pytest.mark.soak) for seed in (2, 3, 4)]


@pytest.mark.parametrize("seed", [*SEEDS, *OTHER_SEEDS])
def test_claims_keep_the_order_of_the_sorted_line(store: Store, seed: int) -> None:
    a_mess(store, seed)
    chance = random.Random(seed)
    while line := sorted_line(store, due=True):
        mine = claim(store)
        assert mine.shot_id == line[0]
        if chance.random() < 0.5:
            store.queue.commit(mine, [])
    assert store.queue.claim("w") is None


@pytest.mark.parametrize("seed", [*SEEDS[:2], *OTHER_SEEDS])
def test_every_position_near_the_front_is_exact(store: Store, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = a_mess(store, seed)
    line = sorted_line(store)
    assert _seen(store, queued) == {one: (line.index(one), False) for one in queued}
    monkeypatch.setattr(positions, "EXACT", 10)
    monkeypatch.setattr(positions, "DEPTHS", (2, 4))
    front = {one: (line.index(one), False) for one in queued if line.index(one) < 10}
    seen = _seen(store, queued)
    assert {one: place for one, place in seen.items() if not place[1]} == front
    assert all(position >= 10 for position, estimated in seen.values() if estimated)


def _seen(store: Store, shot_ids: list[str]) -> dict[str, tuple[int, bool]]:
    """The position of each shot as its tenant sees it, and whether it is an estimate."""
    with store.database.read() as connection:
        owners = dict(connection.execute(select(shot.c.id, shot.c.tenant_id).where(shot.c.id.in_(shot_ids))).all())
    records = [store.shots.get(owners[one], one) for one in shot_ids]
    return {record.id: (record.position, record.position_estimated) for record in records}


def test_a_far_position_is_an_estimate_by_fair_share(store: Store, tenant: Tenant) -> None:
    """Three tenants with lines of different lengths and weights. Each estimate is within 3 % of the line's length."""
    many, heavy = (store.tenants.get_or_create(name) for name in ("many", "heavy"))
    store.tenants.set_weight(heavy.id, 3.0)
    (one,) = add_shots(store, tenant, 1, priority="catalogue")
    copy_shot(store, one, 300)
    copy_shot(store, one, 1500, [many], "b")
    copy_shot(store, one, 750, [heavy], "c")
    copy_shot(store, one, 150, [many], "d", priority="interactive")
    line = sorted_line(store)
    wanted = [line[place] for place in (120, 149, 160, 350, 750, 1250, 2000, len(line) - 1)]
    for shot_id, (position, estimated) in _seen(store, wanted).items():
        assert estimated
        assert position == pytest.approx(line.index(shot_id), abs=0.03 * len(line))


def test_the_last_of_all_and_one_in_back_off_are_estimated_too(store: Store, tenant: Tenant) -> None:
    (one,) = add_shots(store, tenant, 1)
    copy_shot(store, one, 250)
    (last, late) = add_shots(store, tenant, 2)
    tamper(store, late, due_at=Now() + 1000)
    for shot_id in (last, late):
        record = store.shots.get(tenant.id, shot_id)
        assert record.position == pytest.approx(251, abs=2)
        assert record.position_estimated
    assert store.shots.get(tenant.id, one).position == 0


def test_the_line_is_shared_by_weight(store: Store, tenant: Tenant) -> None:
    heavy = store.tenants.get_or_create("heavy")
    store.tenants.set_weight(heavy.id, 2.0)
    add_shots(store, tenant, 6)
    add_shots(store, heavy, 6)
    owners = [claim(store).tenant for _ in range(6)]
    assert (owners.count(heavy.id), owners.count(tenant.id)) == (4, 2)


def test_a_hundred_tenants_get_equal_shares_of_a_long_line(store: Store, tenant: Tenant) -> None:
    """One of them has most of the line; none of them waits for it."""
    others = [store.tenants.get_or_create(f"t{number}") for number in range(99)]
    (one,) = add_shots(store, tenant, 1, priority="catalogue")
    copy_shot(store, one, 5000)
    copy_shot(store, one, 2 * 99, others, "b")
    owners = [claim(store).tenant for _ in range(200)]
    assert {owners[:100].count(name) for name in set(owners)} == {1}
    assert {owners.count(name) for name in set(owners)} == {2}


def test_claimers_at_the_same_moment_pass_the_shots_that_others_have_locked(store: Store, tenant: Tenant) -> None:
    """More of them than a claim looks among at first: each gets another shot."""
    if store.database.engine.dialect.name == "sqlite":
        return  # claims run one after the other there
    (one,) = add_shots(store, tenant, 1)
    copy_shot(store, one, 30)
    with store.database.write() as connection:
        front = select(shot.c.id).order_by(shot.c.seq).limit(20).with_for_update()
        locked = list(connection.execute(front).scalars())
        seen = {claim(store).shot_id for _ in range(11)}
        assert store.queue.claim("w") is None
    assert len(seen) == 11
    assert not seen & set(locked)
    assert claim(store).shot_id == locked[0]


def _work(store: Store, statement: Any) -> tuple[int, set[str]]:
    """The pages of the database that a statement touches, and its ways to rows of `shot`: indexes, or `Seq Scan`."""
    dialect = store.database.engine.dialect
    compiled = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})).replace("%", "%%")
    with store.database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled}").scalar_one()
        connection.rollback()
    (plan,) = (row["Plan"] for row in rows)
    nodes = list(_nodes(plan))
    of_shot = [node for node in nodes if node.get("Relation Name") == "shot" or "shot" in node.get("Index Name", "")]
    scans = {node["Index Name"] for node in of_shot if "Index Name" in node}
    scans |= {node["Node Type"] for node in of_shot if node["Node Type"] == "Seq Scan"}
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], scans


def _nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("analysed", [False, True], ids=["no-statistics", "statistics"])
def test_a_claim_reads_as_much_of_a_long_queue_as_of_a_short_one(store: Store, tenant: Tenant, analysed: bool) -> None:
    """20,000 waiting shots behind 20,000 that have ended, with PostgreSQL's statistics and without."""
    with store.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM pg_statistic"))  # of other tests' rows
    owners = [store.tenants.get_or_create(f"t{number}") for number in range(20)]
    (one,) = add_shots(store, tenant, 1, priority="catalogue")
    copy_shot(store, one, 20_000, owners, "done", status="done", turn=5.0)
    copy_shot(store, one, 100, owners, "short")
    queries = {
        "claim": claim_next("w", 30.0, "postgresql", CLAIM_AMONG),
        "front": select(queue_order("postgresql", positions.EXACT, positions.DEPTHS[0])),
    }
    short = {name: _work(store, query)[0] for name, query in queries.items()}
    copy_shot(store, one, 20_000, owners, "long")
    if analysed:
        with store.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("ANALYZE shot"))
    for name, query in queries.items():
        pages, scans = _work(store, query)
        assert pages <= 1.5 * short[name] + 100, (name, pages, short)
        assert scans <= LINES, name


LINES = {
    "ix_shot_line",
    "ix_shot_status_seq",
    "ix_shot_catalogue_claimed",
    "ix_shot_turn",
    "ix_shot_line_turn",
    "pk_shot",
}
"""The indexes that find the front of the queue. Any other walks through shots that ended, or sorts a whole line."""
