"""The receiver in docs/integrator.md verifies what the sender sends, by copy and paste."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from cluster.local import free_port
from packshot.contract.webhooks import ImageReviewed
from packshot.store.outbox import publish
from packshot.store.store import Store
from packshot.webhooks import Egress, Sender
from tests.receiver import wait_until

PAGE = Path(__file__).parents[3] / "docs/integrator.md"
REVIEWED = ImageReviewed(id="im_1", url="/v1/images/im_1", shot_id="sh_1", version=1, state="approved")


def test_the_receiver_of_the_page_takes_what_is_signed_and_refuses_the_rest(store: Store, tmp_path: Path) -> None:
    [program] = re.findall(r"^```python\n(.*?standardwebhooks.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "receiver.py").write_text(program)
    port = free_port("127.0.0.1")
    tenant = store.tenants.local().id
    ours, theirs = (store.webhooks.add(tenant, f"http://127.0.0.1:{port}/", ["image.reviewed"]) for _ in range(2))
    environment = {**os.environ, "WEBHOOK_SECRET": ours.secret, "PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "receiver.py"],
        cwd=tmp_path,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as running:
        try:
            wait_for(port)
            with store.database.write() as connection:
                publish(connection, tenant, REVIEWED)
            assert asyncio.run(Sender(store.outbound, Egress(allow_loopback=True)).send_due()) == 2
        finally:
            running.terminate()
            told = running.communicate()[0].split()
    [[received], [refused]] = (store.webhooks.attempts(tenant, one.record.id)[0] for one in (ours, theirs))
    assert (received.status, refused.status) == (204, 400)
    assert told == [received.message_id, "image.reviewed", "im_1"]


def wait_for(port: int) -> None:
    def listens() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens)
