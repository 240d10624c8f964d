"""P17: what the audit trail costs: the accept of a shot with and without it, bytes of a shot, an export's memory.

PACKSHOT_DATABASE_URL names a PostgreSQL server on this machine, whose user may create databases; without it, SQLite
is measured. Both sides of a row take turns on one store, in one process. Times are processor times: of this process,
and of the server's process that answers it. `--lines` is how many lines the export has, and `--repeats` how many pairs
are timed.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import JsonValue
from sqlalchemy import event, make_url, text

import packshot.store.shots as accepting
from bench.harness import Row, Sides, print_row, report
from bench.p12_queue import SPEC
from packshot.settings import Settings
from packshot.store.audit import link
from packshot.store.audit_reads import AuditReads
from packshot.store.audit_rows import record_asked, record_each
from packshot.store.database import open_engine
from packshot.store.records import Tenant
from packshot.store.store import Store

ACCEPT = Row("P17-accept", "an accept with the audit trail ÷ without it, processor time with the database's", 1.03)
CHAINED = Row("P17-chained", "an accept that also links its line into the chain ÷ without the trail", 1.03)
CHAIN_MS = Row("P17-chain-ms", "linking a line in batches, ms of processor time a line", 0.5)
READ_US = Row("P17-read-us", "noting a read and writing it in a batch of 100, µs of processor time a read", 100.0)
READ_ALONE_US = Row("P17-read-alone-us", "a read in a transaction of its own, µs of processor time", 1e9)
READS = 100
BYTES = Row("P17-bytes", "bytes of the database a line, indexes included", 1000.0)
EXPORT_S = Row("P17-export-s", "an export of all lines, s of processor time for 100,000", 10.0)
EXPORT_MB = Row("P17-export-mb", "memory that the export of all lines adds, MB", 20.0)


@contextmanager
def opened() -> Iterator[Store]:
    """A new store, on the settings' PostgreSQL server or on SQLite."""
    url = make_url(Settings().store_url)
    with tempfile.TemporaryDirectory() as home:
        if url.get_backend_name() == "postgresql":
            engine = open_engine(url.render_as_string(hide_password=False))
            with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(text("DROP DATABASE IF EXISTS audit_bench"))
                connection.execute(text("CREATE DATABASE audit_bench"))
            engine.dispose()
            own = url.set(database="audit_bench").render_as_string(hide_password=False)
        else:
            own = f"sqlite:///{home}/bench.sqlite"
        store = Store.from_settings(Settings(home=Path(home), database_url=own, max_queued_shots=1_000_000))
        try:
            yield store
        finally:
            store.close()


class Backends:
    """The processor seconds of the server's processes that answer a store; SQLite has none.

    They are read before and after a call, not around each statement, which would count against the side with more.
    """

    def __init__(self, store: Store) -> None:
        self._pids = set[int]()
        event.listen(store.database.engine, "connect", self._connected)
        store.database.engine.dispose()  # its connections were made before this listened

    def _connected(self, connection: Any, _: object) -> None:
        if hasattr(connection, "info"):
            self._pids.add(connection.info.backend_pid)

    @property
    def seconds(self) -> float:
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self._pids) / 1e9


def accept(store: Store, clock: Backends, tenant: Tenant, recorded: Callable[..., None]) -> float:
    """Accept a shot and cancel it. Gives the processor seconds of the accept. `recorded` is what writes the trail."""
    accepting.record_asked = recorded  # type: ignore[attr-defined]
    try:
        began, before = time.process_time(), clock.seconds
        shot, _ = store.shots.add(tenant.id, SPEC)
        spent = time.process_time() - began + clock.seconds - before
    finally:
        accepting.record_asked = record_asked  # type: ignore[attr-defined]
    store.shots.cancel(tenant.id, shot.id)
    return spent


def without(*_: Any, **__: Any) -> None:
    """No trail."""


def paired(ours: Callable[[], float], theirs: Callable[[], float], repeats: int) -> Sides:
    """Both in turn, the first one first every other time."""
    for call in (ours, theirs) * 8:
        call()
    found = Sides([], [])
    for nth in range(repeats):
        calls = [(found.ours_s, ours), (found.theirs_s, theirs)]
        for times, call in calls if nth % 2 else reversed(calls):
            times.append(call())
    return found


READ: dict[str, JsonValue] = {"image_id": f"im_{0:020}", "preset": "amazon-main"}


def spent(call: Callable[[], object], clock: Backends) -> float:
    """The processor seconds of a call, the database's included."""
    began, before = time.process_time(), clock.seconds
    call()
    return time.process_time() - began + clock.seconds - before


def reads(store: Store, clock: Backends, tenant: Tenant, batches: int) -> list[float]:
    """The microseconds of each of READS different reads, noted one by one and written together."""
    trail = AuditReads(store.database, lambda _, __: None)

    def batch() -> None:
        for number in range(READS):
            trail.note(tenant.id, "file.read", f"df_{number:020}", details=READ)
        trail.flush()

    return [1e6 * spent(batch, clock) / READS for _ in range(batches)]


def size_of(store: Store) -> int:
    """Bytes of the trail in the database, with its indexes."""
    with store.database.read() as connection:
        if connection.dialect.name == "postgresql":
            return int(connection.execute(text("SELECT pg_total_relation_size('audit_event')")).scalar_one())
        pages = "SELECT sum(pgsize) FROM dbstat WHERE name LIKE '%audit_event%'"
        return int(connection.execute(text(pages)).scalar_one())


def main() -> int:
    """Measure, and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=400)
    chosen = parser.parse_args()
    lines: int = chosen.lines
    repeats: int = chosen.repeats
    held = []
    with opened() as store:
        print(f"database: {store.database.engine.dialect.name}")
        clock = Backends(store)
        tenant = store.tenants.get_or_create("brand")

        def chained(connection: Any, tenant_id: str, *arguments: Any, **named: Any) -> None:
            record_asked(connection, tenant_id, *arguments, **named)
            link(connection, tenant_id)

        plain = lambda: accept(store, clock, tenant, without)  # noqa: E731
        recorded = lambda: accept(store, clock, tenant, record_asked)  # noqa: E731
        held.append(report(ACCEPT, paired(recorded, plain, repeats), "the same answer"))
        store.audit.chain(tenant.id)
        report(CHAINED, paired(lambda: accept(store, clock, tenant, chained), plain, repeats), "the same answer")
        held.append(print_row(READ_US, reads(store, clock, tenant, repeats // 10 + 1)))
        alone = lambda: store.audit.record(tenant.id, "file.read", "df_0", details=READ)  # noqa: E731
        print_row(READ_ALONE_US, [1e6 * spent(alone, clock) for _ in range(repeats // 4 + 1)])
        empty = store.tenants.get_or_create("export")
        with store.database.write() as connection:
            models = dict.fromkeys(("manifest", "text", "unet", "vae", "control"), "0" * 64)
            for start in range(0, lines, 1000):
                objects = [(f"im_{n:020}", {"shot_id": f"sh_{n:020}"}) for n in range(start, start + 1000)]
                record_each(connection, empty.id, "image.made", objects, models=models if start % 4000 == 0 else None)
        began, before = time.process_time(), clock.seconds
        linked = store.audit.chain(empty.id)
        spent_s = time.process_time() - began + clock.seconds - before
        held.append(print_row(CHAIN_MS, [1000 * spent_s / linked], lines=linked))
        held.append(print_row(BYTES, [size_of(store) / (linked + store.audit.count(tenant.id))]))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, size = time.process_time(), 0
        for line in store.audit.export(empty.id):
            size += len(line)
        export_s = time.process_time() - began
        held.append(print_row(EXPORT_S, [export_s * 100_000 / lines], lines=lines, bytes=size))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
        held.append(print_row(EXPORT_MB, [grown]))
        assert store.audit.check(empty.id).broken_at is None
    idle = [_calibration_s() for _ in range(5)]
    print(f"calibration: {median(idle):.3f} s of processor time for 2,000,000 additions")
    return 0 if all(held) else 1


def _calibration_s() -> float:
    began = time.process_time()
    sum(range(2_000_000))
    return time.process_time() - began


if __name__ == "__main__":
    raise SystemExit(main())
