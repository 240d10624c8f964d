"""`packshot verify` and the clients' `verify`: the answer in words, and exit codes for scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from packshot.client import AsyncClient, Client
from tests.api_graph import Api, png, running
from tests.cli_server import call, last_json


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Path]]:
    """A server, and a folder with `ours.png`, `foreign.png` and `letter.pdf`."""
    folder = tmp_path_factory.mktemp("asked")
    with running(folder / "home") as api:
        shown = api.finish(api.shot(background="white"))["images"][0]
        (folder / "ours.png").write_bytes(api.http.get(shown["url"]).content)
        (folder / "foreign.png").write_bytes(png(64, 64, shade=200))
        (folder / "letter.pdf").write_bytes(b"%PDF-1.7 letter")
        yield api, folder


def test_the_exit_code_says_whether_all_are_ours(asked: tuple[Api, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    api, folder = asked
    monkeypatch.setenv("PACKSHOT_KEY", api.key)
    ours = call("verify", folder / "ours.png", "--host", api.url, "--json")
    assert ours.exit_code == 0, ours.stderr
    assert "made here, by these very bytes, im_" in ours.stderr
    [row] = last_json(ours)["files"]
    assert (row["path"], row["ours"], row["match"]) == (str(folder / "ours.png"), True, "exact")
    mixed = call("verify", folder / "ours.png", folder / "foreign.png", "--host", api.url)
    assert mixed.exit_code == 1
    assert "foreign.png: not made here" in mixed.stderr
    names = ("letter.pdf", "missing.png", "ours.png")
    unread = call("verify", *(folder / name for name in names), "--host", api.url, "--json")
    assert unread.exit_code == 2
    codes = [row["error"]["code"] if "error" in row else row["match"] for row in last_json(unread)["files"]]
    assert codes == ["photo_format", "bad_usage", "exact"]


def test_both_clients_ask(asked: tuple[Api, Path]) -> None:
    api, folder = asked
    data = (folder / "ours.png").read_bytes()
    with Client(api.url, api.key) as client:
        found = client.verify(data)

    async def ask() -> bool:
        async with AsyncClient(api.url, api.key) as other:
            return await other.verify(data) == found

    assert found.ours
    assert found.recipe is not None
    assert asyncio.run(ask())
