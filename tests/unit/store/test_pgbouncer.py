"""The recipe of docs/operator.md, on a real PgBouncer in transaction mode: 64 directors on 8 server connections."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from deployments.director import DIRECTOR_CONNECTIONS
from packshot.settings import Settings
from packshot.store.store import Store
from tests.debian_tools import missing
from tests.unit.store.postgres_server import empty
from tests.unit.store.store_rows import add_shots, new_image
from tests.waiting import WAIT_S

CONFIG = """\
[databases]
postgres = host={server} user=packshot
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {home}
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
"""

pytestmark = pytest.mark.soak  # Debian's pgbouncer is not among the programs of CI


@pytest.fixture(scope="module")
def bouncer_url(postgres_url: str) -> Iterator[str]:
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        missing("pgbouncer", "apt-get install pgbouncer")
    home = Path(tempfile.mkdtemp(prefix="packshot-pgb-"))
    (home / "pgbouncer.ini").write_text(CONFIG.format(home=home, server=make_url(postgres_url).query["host"]))
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None  # PgBouncer refuses root
    if user:
        os.chown(home, user.pw_uid, user.pw_gid)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(home / "pgbouncer.ini")],
            stdout=log,
            stderr=log,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
        )
    try:
        give_up_at = time.monotonic() + WAIT_S
        while not _listens(home / ".s.PGSQL.6432"):
            assert time.monotonic() < give_up_at, (home / "log").read_text()
            time.sleep(0.05)
        yield f"postgresql+psycopg://packshot@/postgres?host={home}&port=6432"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_directors_share_few_server_connections(bouncer_url: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=bouncer_url, database_prepare=False, lease_s=120)
    empty(bouncer_url)
    first = Store.from_settings(settings)
    shots = add_shots(first, first.tenants.local(), 100)
    stores = [Store.from_settings(settings.model_copy(update=DIRECTOR_CONNECTIONS)) for _ in range(64)]

    def direct(store: Store) -> int:
        done = 0
        while (mine := store.queue.claim("w")) is not None:
            store.queue.heartbeat(mine, step=1, steps=4)
            done += store.queue.commit(mine, [new_image()]).status == "done"
        return done

    try:
        with ThreadPoolExecutor(64) as directors:
            done = sum(directors.map(direct, stores))
        done += direct(first)
        with first.database.read() as connection:
            servers = connection.execute(text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'packshot'"))
            assert servers.scalar_one() <= 10
    finally:
        for store in (first, *stores):
            store.close()
    assert done == len(shots)


def test_prepared_statements_need_the_setting(bouncer_url: str, tmp_path: Path) -> None:
    """PgBouncer before 1.21 gives each transaction any server connection, and the statement is prepared on another."""
    version = subprocess.run(["/usr/sbin/pgbouncer", "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(int(part) for part in version.split()[1].split(".")[:2]) >= (1, 21):
        pytest.skip("this PgBouncer prepares statements in transaction mode")
    empty(bouncer_url)
    stores = [Store.from_settings(Settings(home=tmp_path, database_url=bouncer_url)) for _ in range(12)]
    try:
        with pytest.raises(Exception, match=r"prepared statement|not answer"), ThreadPoolExecutor(12) as callers:
            list(callers.map(lambda store: [store.queue.counts() for _ in range(40)], stores))
    finally:
        for store in stores:
            store.close()
