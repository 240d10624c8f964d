"""P12: a long queue in the database: what a claim and another tenant's accept cost with 50,000 waiting shots.

PACKSHOT_DATABASE_URL names a PostgreSQL server on this machine, whose user may create databases. Two are made
and dropped: one has 50,000 waiting shots, the other has 100.
The times are processor times of the server's processes, so that other work on the machine does not count.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url, text

from bench.harness import Row, Sides, not_measured, print_row, report
from bench.plain_shot import plain_shot
from packshot.contract.shot_spec import Background, Canvas, Condition
from packshot.settings import Settings
from packshot.store.database import open_engine
from packshot.store.records import Tenant
from packshot.store.store import Store

LONG, SHORT, TENANTS, REPEATS = 50_000, 100, 100, 41
CLAIM = Row("P12-claim", f"a claim with {LONG} waiting of {TENANTS} tenants ÷ with {SHORT}, database time", 1.5)
ONE = Row("P12-claim-one", f"the same, all of one tenant: {LONG} waiting ÷ {SHORT}", 1.5)
CLAIM_MS = Row("P12-claim-ms", f"a claim with {LONG} waiting of {TENANTS} tenants, ms of database time", 5.0)
ACCEPT = Row("P12-accept", f"a tenant's accept beside another tenant's {LONG} waiting ÷ beside {SHORT}", 1.2)
ACCEPT_MS = Row("P12-accept-ms", "the same, ms of database time more", 5.0)
READ_MS = Row("P12-read-ms", f"reading a shot at the end of {LONG}, ms of database time", 5.0)
SHARE = Row("P12-share", f"claims of the tenant with most of the line ÷ of any other, of {TENANTS}", 1.0)


SPEC = plain_shot(
    canvas=Canvas(64, 64),
    layers=(),
    background=Background("white"),
    seed=7,
    steps=4,
    conditions=(Condition(scale=0.8),),
    priority="catalogue",
)

_COPY = text("""
    INSERT INTO shot (id, tenant_id, status, priority, request, request_sha256, attempt, crashes, epoch, due_at,
        cancel_requested, step, steps, preview_version, version, images, row_steps, created_at)
    SELECT 'sh_' || :mark || n, (CAST(:owners AS text[]))[1 + n % :tenants], status, priority, request, request_sha256,
        0, 0, 0, due_at, false, 0, steps, 0, 1, images, row_steps, created_at
    FROM shot, generate_series(1, :count) AS n WHERE id = :one ORDER BY n
""")


def add_copies(store: Store, one: str, count: int, owners: Sequence[Tenant], mark: str) -> None:
    """Add copies of a queued shot, in turn for each owner, in one statement."""
    ids = [owner.id for owner in owners]
    with store.database.write() as connection:
        values = {"one": one, "count": count, "owners": ids, "tenants": len(ids), "mark": mark}
        connection.execute(_COPY, values)


class DatabaseClock:
    """Counts the processor seconds of the server's processes that answer this store's statements."""

    def __init__(self, store: Store) -> None:
        self.seconds = 0.0
        self._began = 0.0
        event.listen(store.database.engine, "before_cursor_execute", self._begin)
        event.listen(store.database.engine, "after_cursor_execute", self._end)

    def _begin(self, connection: Any, cursor: Any, *_: Any) -> None:
        self._began = _processor_s(cursor)

    def _end(self, connection: Any, cursor: Any, *_: Any) -> None:
        self.seconds += _processor_s(cursor) - self._began

    def of(self, call: Callable[[], object]) -> float:
        """The database's seconds of one call."""
        before = self.seconds
        call()
        return self.seconds - before


def _processor_s(cursor: Any) -> float:
    """The processor seconds that the server's process of this cursor has used."""
    return int(Path(f"/proc/{cursor.connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


@contextmanager
def stores(waiting: Sequence[int], tenants: int) -> Iterator[list[tuple[Store, DatabaseClock, Tenant, Tenant]]]:
    """A store for each number of waiting catalogue shots, with the first of their tenants and one that has none."""
    url = Settings().store_url
    with tempfile.TemporaryDirectory() as home:
        opened = []
        for number in waiting:
            engine = open_engine(url).execution_options(isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text(f"DROP DATABASE IF EXISTS waiting_{number}"))
                connection.execute(text(f"CREATE DATABASE waiting_{number}"))
            engine.dispose()
            own = make_url(url).set(database=f"waiting_{number}").render_as_string(hide_password=False)
            store = Store.from_settings(
                Settings(home=Path(home) / str(number), database_url=own, database_statement_timeout_s=0)
            )
            owners = [store.tenants.get_or_create(f"t{each}") for each in range(tenants)]
            first, _ = store.shots.add(owners[0].id, SPEC)
            add_copies(store, first.id, number - 1, owners, "a")
            with store.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(text("VACUUM ANALYZE"))
            opened.append((store, DatabaseClock(store), owners[0], store.tenants.get_or_create("other")))
        try:
            yield opened
        finally:
            for store, *_ in opened:
                store.close()
            engine = open_engine(url).execution_options(isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                for number in waiting:
                    connection.execute(text(f"DROP DATABASE waiting_{number}"))
            engine.dispose()


def sides(calls: Sequence[Callable[[], float]]) -> Sides:
    """Both sides in turn, after as many warm-up calls as a connection makes before PostgreSQL keeps its plans."""
    for _ in range(12):
        for call in calls:
            call()
    pairs = [[call() for call in calls] for _ in range(REPEATS)]
    return Sides([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def claiming(store: Store, clock: DatabaseClock) -> Callable[[], float]:
    """Claims a shot and gives it back, so that the queue stays as it is. Gives the seconds of the claim."""

    def call() -> float:
        claims: list[Any] = []
        seconds = clock.of(lambda: claims.append(store.queue.claim("bench")))
        store.queue.release(claims[0])
        return seconds

    return call


def accepting(store: Store, clock: DatabaseClock, tenant: Tenant) -> Callable[[], float]:
    """Accepts a catalogue shot of a tenant that has no other, and cancels it. Gives the seconds of the accept."""

    def call() -> float:
        accepted: list[Any] = []

        seconds = clock.of(lambda: accepted.append(store.shots.add(tenant.id, SPEC)))
        store.shots.cancel(tenant.id, accepted[0][0].id)
        return seconds

    return call


def in_ms(row: Row, seconds: Sequence[float]) -> bool:
    """Print a row whose value is milliseconds."""
    return print_row(row, [1000 * one for one in seconds])


def shares(store: Store) -> tuple[int, int]:
    """Of the next 200 claims, how many the tenant with most of the line gets, and how many the next tenant does."""
    owners = [claim.tenant for _ in range(200) if (claim := store.queue.claim("bench")) is not None]
    counts = sorted((owners.count(name) for name in set(owners)), reverse=True)
    return counts[0], statistics.mode(counts)


def main() -> int:
    """Measure, and print the rows."""
    if not Settings().store_url.startswith("postgresql"):
        for row in (CLAIM, CLAIM_MS, READ_MS, SHARE, ONE, ACCEPT, ACCEPT_MS):
            not_measured(row, "PACKSHOT_DATABASE_URL names no PostgreSQL server")
        return 0
    held = []
    with stores((LONG, SHORT), TENANTS) as ((long, long_clock, first, _), (short, short_clock, _, _)):
        measured = sides((claiming(long, long_clock), claiming(short, short_clock)))
        held.append(report(CLAIM, measured, "the same order as the sorted line (tests/unit/store/test_long_queue.py)"))
        held.append(in_ms(CLAIM_MS, measured.ours_s))
        last = long.shots.page(first.id, limit=1)[0][0]
        reads = [long_clock.of(lambda: long.shots.get(first.id, last.id)) for _ in range(REPEATS)]
        held.append(in_ms(READ_MS, reads))
        add_copies(long, last.id, LONG, [first], "b")
        most, usual = shares(long)
        held.append(print_row(SHARE, [most / usual], claims=200))
    with stores((LONG, SHORT), 1) as ((long, long_clock, _, other), (short, short_clock, _, short_other)):
        measured = sides((claiming(long, long_clock), claiming(short, short_clock)))
        held.append(report(ONE, measured, "the same order as the sorted line"))
        measured = sides((accepting(long, long_clock, other), accepting(short, short_clock, short_other)))
        held.append(report(ACCEPT, measured, "the same answer"))
        held.append(
            in_ms(ACCEPT_MS, [ours - theirs for ours, theirs in zip(measured.ours_s, measured.theirs_s, strict=True)])
        )
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
