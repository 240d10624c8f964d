"""The server that `packshot shoot` uses: dead, foreign, running, of another version."""

import socket
import sys
import threading
from pathlib import Path

import pytest

import packshot
from packshot.cli import up
from packshot.cli.running import announced, find_running
from packshot.cli.servers import ANSWERS_WITHIN_S
from tests.api_graph import Api
from tests.cli_server import call, last_json, shoot


def test_a_piped_command_says_what_it_waits_for(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    result = shoot(served, monkeypatch, photo, "--background", "white")
    for words in ("waiting until", "mug: uploading", "mug: 1 picture"):
        assert words in result.stderr


def test_a_dead_host_is_refused_within_3_seconds(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is shorter here. That it ends at all proves the limit: the host never answers."""
    assert ANSWERS_WITHIN_S == 3.0
    monkeypatch.setattr("packshot.cli.servers.ANSWERS_WITHIN_S", 0.5)
    with socket.socket() as deaf:  # it accepts connections and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        for host in ("http://127.0.0.1:9", f"http://127.0.0.1:{deaf.getsockname()[1]}"):
            result = call("shoot", photo, "--background", "white", "--host", host)
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


SERVER = """
import signal
from packshot.cli.running import announced
from packshot.settings import Settings
signal.signal(signal.SIGTERM, lambda *_: exit())
with announced(Settings().home_dir, "http://127.0.0.1:1", opened=True):
    signal.pause()
"""


def test_up_returns_when_the_server_is_ready_and_down_when_it_has_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PACKSHOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(up, "SERVE", [sys.executable, "-c", SERVER])
    told = last_json(call("up", "--json"))
    try:
        assert (told["url"], told["version"]) == ("http://127.0.0.1:1", packshot.__version__)
        assert "already" in call("up").stderr
    finally:
        assert last_json(call("down", "--json"))["stopped"] == "http://127.0.0.1:1"
    assert find_running(tmp_path / "home") is None
    assert not (tmp_path / "home" / "server.json").exists()


def test_a_server_that_does_not_start_says_why_and_where_its_log_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PACKSHOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(up, "SERVE", [sys.executable, "-c", "import sys; sys.exit('the port is taken')"])
    result = call("up")
    assert result.exit_code == 1
    assert "the port is taken" in result.stderr
    assert str(tmp_path / "home" / "server.log") in result.stderr.replace("\n", "")
