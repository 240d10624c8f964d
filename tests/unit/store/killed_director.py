"""A process that directs shots until it is killed: the real store and director over quick stages.

python -m tests.unit.store.killed_director DATABASE_URL HOME NAME STEP_S
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from packshot.settings import Settings
from packshot.shots import Director
from packshot.store.store import Store
from tests.quick_stages import QuickStages

SHOTS_AT_ONCE = 3
LEASE_S = 3.0


async def direct(database_url: str, home: str, name: str, step_s: str) -> None:
    settings = Settings(
        home=Path(home),
        database_url=database_url,
        lease_s=LEASE_S,
        heartbeat_s=0.5,
        database_pool_size=1,
        database_pool_overflow=0,
        database_connect_timeout_s=30,
    )
    director = Director(Store.from_settings(settings), QuickStages(float(step_s)), settings, worker=name)

    async def keep_running() -> None:
        while True:
            if await director.run_next() is None:
                await asyncio.sleep(0.1)

    await asyncio.gather(*(keep_running() for _ in range(SHOTS_AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(direct(*sys.argv[1:]))
