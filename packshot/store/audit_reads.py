"""Reads in the audit trail: who read a delivered file, and who asked whether a file was made here.

    note ──memory, equal ones counted──> flush, once a second in one transaction ──> audit_event

A read changes nothing that its line could share a transaction with, and a transaction for each would cost more than the
read. So lines wait in the process for FLUSH_S at most. A process that is killed in that second loses them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, exc, select

from packshot.contract.audit import AuditAction
from packshot.errors import Unavailable
from packshot.store.audit_rows import SYSTEM, Details
from packshot.store.database import Database
from packshot.store.schema import Now, tenant
from packshot.store.schema_audit import audit_event
from packshot.telemetry import context

__all__ = ["FLUSH_S", "AuditReads"]

_log = logging.getLogger(__name__)

FLUSH_S = 1.0
"""Seconds after which a line is written."""

MOST_HELD = 20_000
"""Different lines that wait. Without a database no more are taken, and each that is lost counts in the log."""

_INSERT = audit_event.insert().values(at=Now() - bindparam("age_s"))

_Key = tuple[str, str, AuditAction, str, tuple[tuple[str, Any], ...]]


@dataclass
class _Waiting:
    """What one line says of equal reads: the first one's request and time, and how many there were."""

    request_id: str | None
    at_s: float
    times: int = 1


class AuditReads:
    """Collects the lines of reads and writes them in batches. It is thread-safe.

    `start` runs `flush` after a time in seconds on a thread of its own, and `clock` counts seconds; tests give others.
    """

    def __init__(
        self,
        database: Database,
        start: Callable[[float, Callable[[], None]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._start = start or _start_timer
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[_Key, _Waiting] = {}
        self._started = False
        self._lost = 0

    def note(
        self, tenant_id: str, action: AuditAction, object_id: str, *, details: Details | None = None, by: str = ""
    ) -> None:
        """Add a read to the tenant's trail, within a second. It takes microseconds and waits for nothing.

        Equal reads of one second are one line with `times`, and the first one's request. `by` says who reads, and then
        the line names no request; "" takes both from the context. `details` hold scalars; those that are None are left
        out.
        """
        fields = context.fields()
        named = tuple(sorted((name, value) for name, value in (details or {}).items() if value is not None))
        key = (tenant_id, (by or fields.get("actor", SYSTEM))[:100], action, object_id, named)
        with self._lock:
            known = self._waiting.get(key)
            if known is not None:
                known.times += 1
                return
            if len(self._waiting) >= MOST_HELD:
                self._lost += 1
                return
            self._waiting[key] = _Waiting(None if by else fields.get("request"), self._clock())
            if self._started:
                return
            self._started = True
        self._start(FLUSH_S, self._flush_on_thread)

    def flush(self) -> int:
        """Write the lines that wait. Returns how many. Raises as the database does; then they wait on.

        The lines of a tenant that was deleted meanwhile are dropped.
        """
        with self._lock:
            taken, self._waiting = self._waiting, {}
        if not taken:
            return 0
        try:
            return self._write(taken)
        except BaseException:
            with self._lock:
                self._waiting = taken | self._waiting
            raise

    def _write(self, taken: dict[_Key, _Waiting]) -> int:
        now = self._clock()
        owners = sorted({key[0] for key in taken})
        kept = select(tenant.c.id).where(tenant.c.id.in_(owners)).with_for_update(read=True, key_share=True)
        with self._database.write() as connection:
            known = set(connection.execute(kept).scalars())
            rows = [
                {
                    "tenant_id": owner,
                    "by": by,
                    "action": action,
                    "object_id": object_id,
                    "request_id": one.request_id,
                    "details": dict(named) | ({"times": one.times} if one.times > 1 else {}) or None,
                    "age_s": max(0.0, now - one.at_s),
                }
                for (owner, by, action, object_id, named), one in taken.items()
                if owner in known
            ]
            if rows:
                connection.execute(_INSERT, rows)
        return len(rows)

    def _flush_on_thread(self) -> None:
        with self._lock:
            self._started = False
        try:
            self.flush()
        except (Unavailable, exc.SQLAlchemyError) as problem:
            _log.warning("the audit trail's lines of reads wait, because the store does not answer: %s", problem)
            with self._lock:
                again = not self._started and bool(self._waiting)
                self._started = self._started or again
            if again:
                self._start(FLUSH_S, self._flush_on_thread)
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            _log.error("%d lines of reads are missing in the audit trail: the store did not take them in time", lost)


def _start_timer(after_s: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(after_s, call)
    timer.daemon = True
    timer.name = "audit-reads"
    timer.start()
