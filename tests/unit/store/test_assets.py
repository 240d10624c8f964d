"""Assets: written atomically, addressed by content, limited by a quota."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from packshot.errors import NotFound, StorageFull
from packshot.store.assets import Assets
from tests.s3_server import S3Server


@pytest.fixture(params=["file", "s3"])
def assets(request: pytest.FixtureRequest, tmp_path: Path) -> Assets:
    if request.param == "file":
        return Assets(tmp_path.as_uri())
    server: S3Server = request.getfixturevalue("s3")
    return Assets(server.new_root())


def test_a_key_is_the_contents_hash(assets: Assets) -> None:
    key = assets.put(b"data", ".png")
    digest = hashlib.sha256(b"data").hexdigest()
    assert key == f"{digest[:2]}/{digest}.png" == assets.key_of(b"data", ".png")
    assert assets.put(b"data", ".png") == key
    assert assets.get(key) == b"data"
    assert [(file.key, file.bytes) for file in assets.files()] == [(key, 4)]
    assert assets.used_bytes() == 4
    assert pickle.loads(pickle.dumps(assets)).get(key) == b"data"


def test_what_was_deleted_is_not_found(assets: Assets) -> None:
    key = assets.put(b"data", ".png")
    assets.delete(key)
    assets.delete(key)
    assert not assets.exists(key)
    with pytest.raises(NotFound):
        assets.get(key)


def test_a_preview_is_overwritten(assets: Assets) -> None:
    for data in (b"first", b"second"):
        assets.put_at("previews/sh_1.png", data)
    assert assets.get("previews/sh_1.png") == b"second"


@pytest.mark.parametrize(
    "key", ["../x.png", "/etc/passwd", "a/../../x", "", "a//b", "a\x00b", "a/.hidden", "a/b.png/../c"]
)
def test_a_key_that_leaves_the_root_is_not_found(assets: Assets, key: str) -> None:
    for call in (assets.get, assets.exists, assets.delete, lambda one: assets.put_at(one, b"")):
        with pytest.raises(NotFound):
            call(key)


def test_over_the_quota_is_storage_full_and_deleting_makes_room(tmp_path: Path) -> None:
    assets = Assets(tmp_path.as_uri(), max_bytes=10)
    first = assets.put(b"12345678", ".png")
    with pytest.raises(StorageFull) as caught:
        assets.put(b"abc", ".png")
    assert caught.value.code == "storage_full"
    assert assets.put(b"12345678", ".png") == first  # what is there takes no room
    assets.delete(first)
    assets.put(b"abc", ".png")
    assert assets.used_bytes() == 3


def test_a_full_disk_is_storage_full_and_leaves_no_scrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets = Assets(tmp_path.as_uri())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        assets.put(b"data", ".png")
    assert list(assets.files()) == []


def test_a_marker_is_whole_as_soon_as_it_is_there(tmp_path: Path) -> None:
    writers = 4
    at_once = threading.Barrier(writers)

    def write_and_read(number: int) -> str:
        root = Assets((tmp_path / str(number // writers)).as_uri())
        at_once.wait()
        with suppress(FileExistsError):
            root.write_marker(f"{number:04}" * 1000)
        return root.read_marker()

    with ThreadPoolExecutor(writers) as pool:
        read = list(pool.map(write_and_read, range(100 * writers)))
    assert {len(text) for text in read} == {4000}
    assert all(len(set(read[first : first + writers])) == 1 for first in range(0, len(read), writers))
