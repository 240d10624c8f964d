"""Notifications between processes: PostgreSQL says when a shot waits or changes, or an event waits.

A notification only starts a poll before its time. One that is lost costs no more than the poll's interval, so nothing
depends on them; SQLite has none. They need a connection that stays open, which PgBouncer gives in session mode only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from sqlalchemy import Connection, func, make_url, select

from packshot.settings import Settings

log = logging.getLogger(__name__)

Channel = Literal["packshot_queued", "packshot_changed", "packshot_catalogues", "packshot_outbox"]
QUEUED: Channel = "packshot_queued"
"""A shot waits for a worker."""
CHANGED: Channel = "packshot_changed"
"""A shot was claimed or has ended."""
CATALOGUES: Channel = "packshot_catalogues"
"""A catalogue has work for its producer."""
OUTBOX: Channel = "packshot_outbox"
"""An event for a webhook waits."""

RETRY_S = 10.0
"""Seconds before a new attempt when the database does not answer."""


def notify(connection: Connection, channel: Channel) -> None:
    """Wake the listeners of `channel` when this transaction commits. Equal ones of a transaction are sent once."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(channel, "")))


async def listen(settings: Settings, channel: Channel, woken: Callable[[], None]) -> None:
    """Call `woken` for each notification of `channel`, until the task is cancelled.

    Returns at once on SQLite, and when the settings say so. It holds one connection beside the pool. `woken` is called
    after each new connection too, for what it missed before.
    """
    url = make_url(settings.store_url)
    if url.get_backend_name() != "postgresql" or not settings.database_listen:
        return
    import psycopg

    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    warned = False
    while True:
        with suppress(psycopg.Error, OSError):
            connection = await psycopg.AsyncConnection.connect(
                conninfo,
                autocommit=True,
                connect_timeout=settings.database_connect_timeout_s,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
            )
            async with connection:
                await connection.execute(f"LISTEN {channel}")
                warned = False
                woken()
                async for _ in connection.notifies():
                    woken()
        if not warned:
            log.warning("no notifications from the database now; polls find what changed")
            warned = True
        await asyncio.sleep(RETRY_S)
