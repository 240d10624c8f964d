"""What the processes of a local cluster listen on, and who may read its token and its files."""

import stat

import httpx
import psutil

from cluster.private_ray import ray_folder
from tests.waiting import WAIT_S

LOOPBACK = ("127.", "::1", "::ffff:127.")


def test_every_socket_listens_on_loopback_alone(url: str) -> None:
    """Ray's processes exchange pickles: whoever reaches one of its ports with the token can run code."""
    me = psutil.Process()
    listening = [
        (found.laddr.ip, found.laddr.port, process.name())
        for process in (me, *me.children(recursive=True))
        for found in process.net_connections("inet")
        if found.status == psutil.CONN_LISTEN
    ]
    assert len({name for _, _, name in listening}) > 3  # the GCS, the raylet, the agents, the proxy, replicas
    assert [row for row in listening if not row[0].startswith(LOOPBACK)] == []


def test_the_clusters_token_and_files_are_the_users_alone(url: str) -> None:
    folder = ray_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "ray").is_dir()  # Ray itself makes this one open to all
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600


def test_a_client_cannot_change_serves_policies(url: str) -> None:
    """With a time-out of nothing, Serve's proxy would answer 408 for itself."""
    for value in ("0", "0.000001"):
        answer = httpx.get(
            f"{url}/v1/engines", headers={"x-request-timeout-seconds": value}, trust_env=False, timeout=WAIT_S
        )
        assert answer.status_code == 200
