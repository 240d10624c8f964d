"""Connections to PostgreSQL that never hang: a server that is stopped or gone is noticed by this process.

A server can only end a statement while it runs itself, and a stopped server's kernel still acknowledges packets. So the
limits are this process's own. They also work through a pooler such as PgBouncer, where a session's settings do not.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import URL, Dialect, Engine, create_engine, event, exc

from packshot.settings import Settings
from packshot.store.circuit_breaker import CircuitBreaker

CANCEL_TIMEOUT_S = 1.0
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 10_000}
"""Notice a peer that vanished without a word, as a dead node does. `tcp_user_timeout` is in milliseconds."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class ConnectionLimits:
    """How a process uses its database. On SQLite only `pool_size` and `pool_overflow` have a meaning.

    `pool_size` connections stay open, and `pool_overflow` more are opened when needed. `connect_timeout_s` limits the
    wait for a connection, and that for the first answer of a pooled one. `statement_timeout_s` limits the wait for a
    statement. `prepare` lets the server keep plans of repeated statements.
    """

    pool_size: int = 5
    pool_overflow: int = 5
    connect_timeout_s: int = 2
    statement_timeout_s: float = 30.0
    prepare: bool = True

    @classmethod
    def of(cls, settings: Settings) -> ConnectionLimits:
        return cls(
            settings.database_pool_size,
            settings.database_pool_overflow,
            settings.database_connect_timeout_s,
            settings.database_statement_timeout_s,
            settings.database_prepare,
        )


class PromptConnection(psycopg.Connection[Any]):
    """A connection whose statements end within `timeout_s` seconds: by an OperationalError and a closed connection."""

    timeout_s: float | None = None
    pinged = False
    """Whether it waits for the answer to a ping, which needs no cancellation at the server."""

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        try:
            return super().wait(gen, interval, self.timeout_s if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            if timeout is not None:
                raise
            if not self.pinged:  # the server may be alive and busy with a statement nobody waits for
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_TIMEOUT_S)
            self.close()
            raise psycopg.OperationalError(
                f"no answer within {self.timeout_s:g} s; the connection was closed"
            ) from error


def open_postgresql(url: URL, limits: ConnectionLimits, breaker: CircuitBreaker, **options: Any) -> Engine:
    """Make an engine whose connections keep `limits`. `options` are passed to `create_engine`.

    While `breaker` says that the server is down, a connection that is refused is not tried again.
    """
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    parameters: dict[str, object] = {**KEEPALIVES, "connect_timeout": limits.connect_timeout_s}
    engine = create_engine(
        url,
        pool_size=limits.pool_size,
        max_overflow=limits.pool_overflow,
        pool_timeout=limits.connect_timeout_s,
        pool_use_lifo=True,
        connect_args={name: value for name, value in parameters.items() if name not in url.query}
        | ({} if limits.prepare else {"prepare_threshold": None}),
        **options,
    )

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Dialect, record: object, args: list[Any], parameters: dict[str, object]) -> PromptConnection:
        connection = _connect(limits.connect_timeout_s, breaker, args, parameters)
        connection.timeout_s = limits.statement_timeout_s or None
        return connection

    @event.listens_for(engine, "checkout")
    def ping(connection: PromptConnection, record: object, proxy: object) -> None:
        """Replace a connection whose server has restarted, or does not answer."""
        usual, connection.timeout_s = connection.timeout_s, limits.connect_timeout_s
        connection.pinged = True
        try:
            engine.dialect.do_ping(cast(Any, connection))
        except psycopg.Error as error:
            raise exc.DisconnectionError("the server does not answer on a pooled connection") from error
        finally:
            connection.timeout_s, connection.pinged = usual, False

    return engine


def _connect(
    timeout_s: float, breaker: CircuitBreaker, args: list[Any], parameters: dict[str, object]
) -> PromptConnection:
    """Connect, and try again for `timeout_s` seconds while the server refuses: it starts, or has no free connection."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            return PromptConnection.connect(*args, **cast(Any, parameters))
        except psycopg.errors.ConnectionTimeout:
            raise
        except psycopg.OperationalError:
            if breaker.down or time.monotonic() > give_up_at:
                raise
        time.sleep(random.uniform(0.02, 0.1))
