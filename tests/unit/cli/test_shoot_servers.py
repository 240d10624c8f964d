"""The server that `packshot shoot` uses: dead, foreign, running, of another version."""

import socket
import threading
import time
from pathlib import Path

import pytest

from tests.api_graph import Api
from tests.cli_server import call, shoot


def test_a_piped_command_says_what_it_waits_for(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    result = shoot(served, monkeypatch, photo, "--background", "white")
    for words in ("waiting until", "mug: uploading", "mug: 1 picture"):
        assert words in result.stderr


def test_a_dead_host_is_refused_within_3_seconds(photo: Path) -> None:
    with socket.socket() as deaf:  # it accepts connections and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        for host in ("http://127.0.0.1:9", f"http://127.0.0.1:{deaf.getsockname()[1]}"):
            started_at = time.monotonic()
            result = call("shoot", photo, "--background", "white", "--host", host)
            assert time.monotonic() - started_at < 3.6
            assert (result.exit_code, "not_ready" in result.stderr, host in result.stderr) == (1, True, True)


def test_a_wrong_key_exits_with_1(served: Api, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", "pk_wrong")
    result = call("shoot", photo, "--background", "white", "--host", served.url)
    assert (result.exit_code, "unauthorized" in result.stderr) == (1, True)
    assert "set PACKSHOT_KEY" in result.stderr


def test_a_server_of_another_version_is_told_and_used(
    served: Api, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packshot.cli.servers.packshot.__version__", "9.9.9")
    monkeypatch.setattr("packshot.cli.servers.VERSION_HEADER", "content-type")  # any header that the server sends
    result = shoot(served, monkeypatch, photo, "--background", "white")
    assert result.exit_code == 0
    assert "this command 9.9.9. It goes on" in result.stderr


@pytest.mark.parametrize("more", [("--in-process",), ("--cluster",)])
def test_two_servers_at_once_are_bad_usage(photo: Path, more: tuple[str, ...]) -> None:
    assert call("shoot", photo, "--background", "white", "--host", "http://127.0.0.1:9", *more).exit_code == 2


def test_a_running_server_is_used_and_a_left_over_file_is_not(
    served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path
) -> None:
    from packshot.cli.running import announced, find_running

    home = tmp_path / "home"
    monkeypatch.setenv("PACKSHOT_HOME", str(home))
    monkeypatch.setenv("PACKSHOT_KEY", served.key)
    assert find_running(home) is None
    ready, stop = threading.Event(), threading.Event()

    def server() -> None:  # filelock counts the locks of one thread, so it is another one that holds it
        with announced(home, served.url, opened=False):
            ready.set()
            stop.wait()

    thread = threading.Thread(target=server)
    thread.start()
    try:
        ready.wait()
        with announced(home, "http://127.0.0.1:1", opened=True) as first:
            assert first is False
        result = call("shoot", photo, "--background", "white", "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert f"using the server {served.url}" in result.stderr
    finally:
        left_over = (home / "server.json").read_text()
        stop.set()
        thread.join()
    (home / "server.json").write_text(left_over)
    assert find_running(home) is None
    assert "No server runs" in call("down").stderr
