"""Routes and places: what is allowed, and that a file is written whole and once."""

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from packshot.catalogue.archive import PhotoArchive
from packshot.catalogue.places import Allowed, archive_folder, path_rule, route_rule
from packshot.catalogue.routes import archive_path, is_zipped, write_file, write_zip
from packshot.catalogue.urls import read_url
from packshot.errors import BadInput, Conflict, NotFound, PackshotError

PREFIXES = ("s3://bucket/spring", "https://cdn.example/photos/", "file:///srv/photos/")


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/spring-2/a.jpg",  # a prefix is a folder
        "s3://bucket/a.jpg",
        "s3://bucket/spring/../a.jpg",
        "s3://bucket/spring/%2e%2E/a.jpg",
        "s3://bucket/spring//a.jpg",
        "s3://bucket/spring/a::file:///etc/passwd",  # fsspec opens chains
        "https://cdn.example@169.254.169.254/photos/a.jpg",
        "https://cdn.example.evil.example/photos/a.jpg",
        "http://cdn.example/photos/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "https://cdn.example/photos/a b.jpg",
        "https://cdn.example/photos\\a.jpg",
        "https://[::1/photos/a.jpg",
        "file:///etc/passwd",
        "file:///srv/photos/../../etc/passwd",
        "file://localhost/srv/photos/a.jpg",
        "zip://a.jpg::s3://bucket/spring/a.zip",
    ],
)
def test_a_url_outside_the_prefixes_is_refused(url: str) -> None:
    assert path_rule(url, "ph_", PREFIXES) is not None
    assert route_rule(url, PREFIXES) is not None
    with pytest.raises(BadInput, match="ask the operator"):
        read_url(url, PREFIXES, max_bytes=10)


def test_a_url_under_a_prefix_is_allowed() -> None:
    for url in ("s3://bucket/spring/a.jpg", "https://CDN.example/photos/b/a.jpg?sig=1", "file:///srv/photos/a.jpg"):
        assert path_rule(url, "ph_", PREFIXES) is None
    assert route_rule("s3://bucket/spring", PREFIXES) is None


@pytest.mark.parametrize(
    "to", ["../out", "/out", "a/../b", "a\\b", "a//b", "con/x", "a/.hidden", "c:/x", "/".join("abcdefghi")]
)
def test_a_folder_that_leaves_the_archive_is_refused(to: str) -> None:
    assert route_rule(to, PREFIXES) is not None
    with pytest.raises(BadInput, match="use a folder of the archive"):
        write_file(to, "a.jpg", b"1", Allowed())


def test_two_routes_have_two_folders_in_the_archive() -> None:
    routes = [None, "spring/shop/", "s3://bucket/spring", "s3://bucket/all.zip", "file:///srv/out"]
    assert [archive_folder(to) for to in routes] == ["", "spring/shop", "bucket/spring", "bucket/all", "srv/out"]
    assert archive_path("spring", "a.jpg") == "spring/a.jpg"
    with pytest.raises(BadInput):
        archive_path("spring", "../a.jpg")


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, str, Allowed]:
    """A folder, its URL, and the permission to read and write there."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder, folder.as_uri(), Allowed((folder.as_uri(),), (folder.as_uri(),))


def test_a_file_is_written_once_and_over_no_other(place: tuple[Path, str, Allowed]) -> None:
    folder, url, allowed = place
    assert write_file(None, "a.jpg", b"1", allowed) is None
    written = write_file(f"{url}/shop", "a.jpg", b"one", allowed)
    file = folder / "shop" / "a.jpg"
    assert written == file.as_uri()
    assert file.read_bytes() == b"one"
    before = file.stat()
    assert write_file(f"{url}/shop", "a.jpg", b"one", allowed) == written
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    with pytest.raises(Conflict, match="another file") as refused:
        write_file(f"{url}/shop", "a.jpg", b"two", allowed)
    assert refused.value.code == "file_taken"
    write_file(f"{url}/shop", "a.jpg", b"two", allowed, replaces=[hashlib.sha256(b"one").hexdigest()])
    assert file.read_bytes() == b"two"
    assert os.listdir(file.parent) == ["a.jpg"]
    assert read_url(file.as_uri(), allowed.photos, max_bytes=3) == b"two"
    with pytest.raises(BadInput, match="may have 2 bytes"):
        read_url(file.as_uri(), allowed.photos, max_bytes=2)
    with pytest.raises(NotFound):
        read_url(f"{url}/none.jpg", allowed.photos, max_bytes=3)


WRITER = """
import os, sys
from packshot.catalogue import routes, urls
urls.os.fsync = lambda number: os.kill(os.getpid(), 9)  # dies with the file half made
routes.write_file(sys.argv[1], "a.jpg", b"one", routes.Allowed((sys.argv[1],), (sys.argv[1],)))
"""


def test_what_a_killed_writer_left_goes_with_the_next_writer(place: tuple[Path, str, Allowed]) -> None:
    folder, url, allowed = place
    killed = subprocess.run([sys.executable, "-c", WRITER, url], check=False)
    assert killed.returncode == -9
    [left] = os.listdir(folder)
    assert left != "a.jpg"
    write_file(url, "a.jpg", b"one", allowed)
    assert os.listdir(folder) == ["a.jpg"]


def test_a_link_does_not_lead_out_of_the_prefix(place: tuple[Path, str, Allowed], tmp_path: Path) -> None:
    folder, url, allowed = place
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.jpg").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput, match="link"):
        read_url(f"{url}/link/a.jpg", allowed.photos, max_bytes=10)
    with pytest.raises(BadInput, match="link"):
        write_file(f"{url}/link", "b.jpg", b"1", allowed)
    assert os.listdir(tmp_path / "secret") == ["a.jpg"]


def test_an_object_store_gets_a_file_once_and_an_archive_of_equal_bytes() -> None:
    import fsspec

    allowed = Allowed(("memory://routes/",), ("memory://routes/",))
    assert write_file("memory://routes/shop", "a.jpg", b"one", allowed) == "memory://routes/shop/a.jpg"
    with pytest.raises(Conflict):
        write_file("memory://routes/shop", "a.jpg", b"two", allowed)
    assert read_url("memory://routes/shop/a.jpg", allowed.photos, max_bytes=9) == b"one"
    to = "memory://routes/all.zip"
    assert is_zipped(to)
    assert not is_zipped("all.zip")
    assert write_file(to, "a.jpg", b"1", allowed) is None
    files = fsspec.filesystem("memory")
    made = []
    for _ in range(2):
        write_zip(to, [("a.jpg", lambda: b"1"), ("b.jpg", lambda: b"22")], allowed)
        made.append(files.cat_file("routes/all.zip"))
    assert made[0] == made[1]
    with zipfile.ZipFile(io.BytesIO(made[0])) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a.jpg": b"1", "b.jpg": b"22"}


def zipped(entries: dict[str, bytes], **attributes: int) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return out


def opened(file: io.BytesIO, *wanted: str) -> PhotoArchive:
    return PhotoArchive.opened(file, set(wanted), max_entry_bytes=1_000_000, max_total_bytes=2_000_000)


def test_an_archive_gives_the_photos_that_rows_name() -> None:
    entries = {
        "spring/photos/é.jpg": b"1",
        "spring/notes.txt": b"x",
        "__MACOSX/spring/._a": b"",
        "spring/.DS_Store": b"",
    }
    archive = opened(zipped(entries), "photos/é.jpg", "photos/b.jpg")
    assert {path: archive.read(path) for path in archive.entries} == {"photos/é.jpg": b"1"}
    assert archive.unused == ("notes.txt",)


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/a.jpg", "a/../../b.jpg", "c:/a.jpg", "a\\b.jpg", "a\x01.jpg", "~/a.jpg"]
)
def test_a_path_that_leaves_the_archive_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        opened(zipped({name: b"1"}), name)
    assert refused.value.code == "zip_refused"


def test_bombs_links_passwords_and_overlaps_are_refused() -> None:
    bomb = zipped({"a.jpg": bytes(64 * 1024 * 1024)})
    assert len(bomb.getvalue()) < 70_000
    with pytest.raises(PackshotError, match="An entry may have"):
        opened(bomb, "a.jpg")
    many = zipped({f"{n}.jpg": bytes(900_000) for n in range(3)})
    with pytest.raises(PackshotError, match="together"):
        opened(many, "0.jpg")
    with pytest.raises(BadInput, match="links"):
        opened(zipped({"a.jpg": b"/etc/passwd"}, external_attr=0o120777 << 16), "a.jpg")
    secret = bytearray(zipped({"a.jpg": b"1"}).getvalue())
    secret[secret.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadInput, match="encrypted"):
        opened(io.BytesIO(bytes(secret)), "a.jpg")
    lying = bytearray(bomb.getvalue())
    at = lying.index(b"PK\x01\x02") + 24
    lying[at : at + 4] = (1000).to_bytes(4, "little")  # the directory says 1,000 bytes
    archive = opened(io.BytesIO(bytes(lying)), "a.jpg")
    with pytest.raises(BadInput, match="archive is refused"):
        archive.read("a.jpg")
    two = bytearray(zipped({"a.jpg": b"1" * 100, "b.jpg": b"2" * 100}).getvalue())
    second = two.rindex(b"PK\x01\x02")
    two[second + 42 : second + 46] = bytes(4)  # both entries begin at the first one's data
    with pytest.raises(BadInput, match="overlap"):
        opened(io.BytesIO(bytes(two)), "a.jpg")
    with pytest.raises(BadInput, match="must be a ZIP archive"):
        opened(io.BytesIO(b"no archive"), "a.jpg")
