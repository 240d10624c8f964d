"""An asset root belongs to one database. On a folder and on S3 alike, nothing in it is lost."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fsspec.config import conf
from fsspec.registry import _registry
from s3fs import S3FileSystem
from sqlalchemy import update

from packshot.errors import BadInput, Unavailable
from packshot.settings import Settings
from packshot.store.asset_keys import CONTENT_FOLDERS
from packshot.store.assets import MARKER, Assets, StoredFile
from packshot.store.records import Tenant
from packshot.store.schema import duty
from packshot.store.store import Store
from tests.migrated import FILE, migrated_home
from tests.s3_server import S3Server
from tests.unit.store.store_rows import add_photo


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """One database will do: these tests are about files."""
    return f"sqlite:///{migrated_home(tmp_path) / FILE}"


@pytest.fixture(params=["file", "s3"])
def assets_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "assets").as_uri()
    server: S3Server = request.getfixturevalue("s3")
    return server.new_root()


def of_another_process(store: Store) -> Assets:
    """The same root through a client that shares nothing with the store's."""
    other = Assets(store.assets.root_url)
    other._fs = type(store.assets._fs)(skip_instance_cache=True, **store.assets._fs.storage_options)
    return other


def test_bytes_that_another_process_deleted_are_stored_again(store: Store) -> None:
    key = store.assets.put(b"data", ".png")
    list(store.assets.files())  # a sweep fills whatever cache there is
    of_another_process(store).delete(key)
    assert not store.assets.exists(key)
    assert store.assets.put(b"data", ".png") == key
    assert of_another_process(store).get(key) == b"data"


def test_a_photo_uploaded_after_another_process_deleted_it_is_stored(store: Store, tenant: Tenant) -> None:
    photo = add_photo(store, tenant)
    store.retention.sweep()
    other = Store(store.database.url, of_another_process(store), store.settings)
    try:
        other.photos.delete(tenant.id, photo.id)
        again = add_photo(store, tenant)
        assert other.assets.get(again.asset_key)
    finally:
        other.close()


@pytest.fixture
def everything_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as old at once; an object store's dates cannot be set."""
    monkeypatch.setattr("packshot.store.retention.ORPHAN_AGE_S", -60.0)


def put_by_hand(store: Store, name: str, data: bytes) -> None:
    """Write a file into the asset root as a person would."""
    if store.assets._folder is not None:
        (store.assets._folder / name).parent.mkdir(parents=True, exist_ok=True)
    store.assets._fs.pipe_file(f"{store.assets._root}/{name}", data)


def read_by_hand(store: Store, name: str) -> bytes:
    return store.assets._fs.cat_file(f"{store.assets._root}/{name}")


@pytest.mark.usefixtures("everything_is_old")
def test_the_sweep_leaves_what_is_not_of_our_shape(
    store: Store, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    photo = add_photo(store, tenant)
    orphan = store.assets.put(b"its transaction never came", ".png")
    odd = ["README", "notes/2026 plan (final).txt", "ab/cd.png", "ff/" + "0" * 64 + ".png", "tmp/keep me"]
    for name in odd:
        put_by_hand(store, name, b"not ours")
    with caplog.at_level(logging.WARNING):
        assert store.retention.sweep()["files"] == 1
        store.retention.sweep()
    assert not store.assets.exists(orphan)
    assert store.assets.exists(photo.asset_key)
    assert {read_by_hand(store, name) for name in odd} == {b"not ours"}
    assert sum("not packshot's" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.usefixtures("everything_is_old")
def test_a_second_database_is_refused_and_deletes_nothing(
    store: Store, tenant: Tenant, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = add_photo(store, tenant)
    second = Settings(home=migrated_home(tmp_path / "second"), assets_url=store.assets.root_url)
    with pytest.raises(BadInput, match=r"must be this database's own asset root, but .* holds the"):
        Store.from_settings(second)
    unclaimed = Store(second.store_url, Assets(store.assets.root_url), second)
    try:
        with caplog.at_level(logging.ERROR):
            assert unclaimed.retention.sweep()["files"] == 0
        assert "no orphan in it is deleted" in caplog.text
    finally:
        unclaimed.close()
    assert store.assets.get(photo.asset_key)
    Store.from_settings(store.settings).close()  # the owner may come again


def test_a_root_of_an_older_version_is_taken_over_by_the_database_that_knows_its_files(
    store: Store, tenant: Tenant, tmp_path: Path
) -> None:
    add_photo(store, tenant)
    store.assets._fs.rm_file(f"{store.assets._root}/{MARKER}")  # as versions before the marker left it
    second = Settings(home=migrated_home(tmp_path / "second"), assets_url=store.assets.root_url)
    with pytest.raises(BadInput, match="holds files that this database does not know"):
        Store.from_settings(second)
    Store.from_settings(store.settings).close()
    assert store.asset_root.is_own()


def test_another_empty_root_is_refused_to_a_database_with_files(
    store: Store, tenant: Tenant, tmp_path: Path, s3: S3Server
) -> None:
    add_photo(store, tenant)
    other = s3.new_root() if "s3" in store.assets.root_url else (tmp_path / "other").as_uri()
    with pytest.raises(BadInput, match="has none of the files that this database knows"):
        Store.from_settings(store.settings.model_copy(update={"assets_url": other}))


def test_a_person_may_give_a_root_to_a_database(store: Store, tenant: Tenant) -> None:
    add_photo(store, tenant)
    put_by_hand(store, MARKER, b"{}")
    with pytest.raises(BadInput, match="the database unknown") as refused:
        Store.from_settings(store.settings)
    (line,) = re.findall(r"write (\{.*\}) into", refused.value.detail)
    put_by_hand(store, MARKER, line.encode())
    Store.from_settings(store.settings).close()


def test_one_process_sweeps_and_each_sweep_lists_the_next_folders(
    open_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    directors = [open_store() for _ in range(3)]
    listed: list[str] = []
    for director in directors:
        listing = director.assets.files

        def files(folder: str = "", listing: Callable[[str], Iterator[StoredFile]] = listing) -> Iterator[StoredFile]:
            listed.append(folder)
            return listing(folder)

        monkeypatch.setattr(director.assets, "files", files)
    assert sum(director.retention.sweep_if_due() is not None for director in directors) == 1
    assert listed == ["tmp/", "previews/", "uploads/", "answers/", "00", "01"]
    with directors[0].database.write() as connection:
        connection.execute(update(duty).values(due_at=0.0, page=len(CONTENT_FOLDERS) - 1))
    assert sum(director.retention.sweep_if_due() is not None for director in directors) == 1
    assert listed[6:] == ["tmp/", "previews/", "uploads/", "answers/", "cutouts"]
    with directors[0].database.write() as connection:
        assert connection.execute(update(duty).values(due_at=0.0).returning(duty.c.page)).scalar_one() == 0


def s3_settings(tmp_path: Path, url: str) -> Settings:
    return Settings(home=migrated_home(tmp_path / "s3"), assets_url=url)


def test_a_bucket_that_does_not_exist_is_refused(tmp_path: Path, s3: S3Server) -> None:
    with pytest.raises(BadInput, match="must name a bucket that exists, got s3://packshot-none/assets"):
        Store.from_settings(s3_settings(tmp_path, "s3://packshot-none/assets"))


def test_wrong_credentials_are_refused(tmp_path: Path, s3: S3Server) -> None:
    root = s3.new_root()
    with (
        s3.checking_credentials(),
        pytest.raises(BadInput, match=r"credentials must allow .* refused \(PermissionError"),
    ):
        Store.from_settings(s3_settings(tmp_path, root))


def test_an_object_store_that_does_not_answer_is_named(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(Unavailable, match=r"object store of PACKSHOT_ASSETS_URL must answer.*check the endpoint"):
        Store.from_settings(s3_settings(tmp_path, "s3://bucket/of-nobody"))
    S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("url", "module"), [("s3://bucket/x", "s3fs"), ("gs://bucket/x", "gcsfs"), ("az://container/x", "adlfs")]
)
def test_no_object_store_keeps_listings(url: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conf, "gcs", {"token": "anon"})
    monkeypatch.setitem(conf, "abfs", {"account_name": "nobody", "anon": True})
    monkeypatch.setitem(conf, "az", {"account_name": "nobody", "anon": True})
    opened = Assets(url)._fs
    assert type(opened).__module__.startswith(module)
    opened.dircache["bucket/x"] = [{"name": "bucket/x/y"}]
    assert "bucket/x" not in opened.dircache


def test_a_scheme_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.delitem(_registry, "gs", raising=False)
    with pytest.raises(BadInput, match=r"pip install 'packshot\[gcs\]'"):
        Assets("gs://bucket/x")
    for wrong in ("wrong://x", "simplecache::s3://bucket/x"):
        with pytest.raises(BadInput, match="use file://, s3://, gs:// or az://"):
            Assets(wrong)
