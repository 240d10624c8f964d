"""What comes out of a catalogue over HTTP: its manifest, its archive, its feeds. The producer's steps are simulated."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api_graph import Api, code_of, png, running
from tests.unit.store.catalogue_steps import accept_all, collect, run_shots

FEED = {"published_at": "https://cdn.example/spring/"}


@dataclass(frozen=True)
class Ended:
    """A server with a catalogue that has ended: row A is done, row B failed, and row C was skipped."""

    api: Api
    url: str

    def get(self, path: str, **params: Any) -> Any:
        return self.api.http.get(f"{self.url}/{path}", params=params)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    with running(tmp_path_factory.mktemp("files")) as api:
        photo = api.photo()["id"]
        body = {
            "name": "Frühling 1",
            "axes": [{"name": "scene", "values": {"marble": "on marble"}}],
            "deliver": [
                {"preset": "amazon-main", "scene": "white", "name": "{sku}-{n}.{ext}", "to": "amazon"},
                {"preset": "shopify", "name": "{sku}-{n}.{ext}"},
            ],
            "items": [
                {"sku": "A-0", "photo": photo, "meta": {"title": "=SUM(1)", "brand": "Brand, Inc."}},
                {"sku": "B-1", "photo": photo},
                {"sku": "C-2", "photo": "../c.jpg"},
            ],
        }
        made = api.http.post("/v1/catalogues?on_problem=skip", json=body)
        assert made.status_code == 201, made.text
        url = made.json()["url"]
        assert api.http.post(f"{url}/start").status_code == 202
        record = api.store.catalogues.get(api.tenant_id, made.json()["id"])
        accepted = accept_all(api.store, record, api.mask()["id"])
        assert accepted == 4
        run_shots(api.store, accepted, fail=[accepted - 1])
        collect(api.store, record)
        yield Ended(api, url)


def test_the_catalogue_and_its_rows_say_what_became_of_them(ended: Ended) -> None:
    found = ended.api.http.get(ended.url).json()
    assert (found["state"], found["counts"]) == (
        "done",
        {"waiting": 0, "running": 0, "done": 1, "failed": 1, "skipped": 1},
    )
    assert found["spent"]["images"] == 4
    first = ended.get("rows", limit=1).json()
    second = ended.get("rows", limit=2, cursor=first["next_cursor"]).json()
    assert [row["sku"] for row in (*first["rows"], *second["rows"])] == ["A-0", "B-1", "C-2"]
    [done] = first["rows"]
    assert [(file["preset"], file["state"], file["name"]) for file in done["files"]] == [
        ("amazon-main", "made", "A-0-0-1.jpg"),
        ("shopify", "made", "A-0-1-1.jpg"),
    ]
    assert ended.api.http.get(done["files"][0]["url"]).status_code == 200
    [failed] = ended.get("rows", state="failed").json()["rows"]
    assert (failed["sku"], failed["code"]) == ("B-1", "engine_nan")
    assert code_of(ended.get("rows", state="gone")) == (422, "invalid_request")
    assert code_of(ended.get("rows", cursor="x")) == (422, "invalid_request")


def test_the_manifest_as_it_came_out(ended: Ended) -> None:
    answer = ended.get("manifest.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "filename*=UTF-8''Fr%C3%BChling%201.csv" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {(row["sku"], row["state"]) for row in rows} == {("A-0", "done"), ("B-1", "failed"), ("C-2", "skipped")}
    files = {row["name"]: row for row in rows if row["name"]}
    assert (files["A-0-1-1.jpg"]["scene"], files["A-0-1-1.jpg"]["preset"]) == ("marble", "shopify")
    assert files["A-0-0-1.jpg"]["to"] == "amazon"
    assert all(row["url"] and row["image_id"] and row["shot_id"] for row in files.values())
    assert next(row for row in rows if row["state"] == "skipped")["code"] == "invalid_request"


def test_the_archive_has_every_file_in_its_routes_folder(ended: Ended) -> None:
    answer = ended.get("archive.zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert {"amazon/A-0-0-1.jpg", "A-0-1-1.jpg"} <= names
        [row] = ended.get("rows", limit=1).json()["rows"]
        assert archive.read("A-0-1-1.jpg") == ended.api.http.get(row["files"][1]["url"]).content
    assert ended.get("archive.zip").content == answer.content


def test_feeds_list_the_public_pictures(ended: Ended) -> None:
    shop = list(csv.DictReader(io.StringIO(ended.get("feeds/shopify", **FEED).text)))
    first = shop[0]
    assert (first["Handle"], first["Image Position"], first["Title"]) == ("a-0", "1", "'=SUM(1)")
    assert first["Image Src"].startswith("https://cdn.example/spring/A-0-1-1.jpg?v=")
    amazon = ended.get("feeds/amazon", **FEED).text.splitlines()
    assert amazon[0].startswith("TemplateType=")
    cells = dict(zip(amazon[1].split("\t"), amazon[2].split("\t"), strict=True))
    assert cells["main_image_url"] == "https://cdn.example/spring/amazon/A-0-0-1.jpg"
    listed = ended.get("feeds/google-merchant", preset="shopify", **FEED).text
    assert listed.startswith("id\timage_link\tadditional_image_link\ttitle\tbrand\nA-0\thttps://cdn.example/")
    assert code_of(ended.get("feeds/google-merchant", **FEED)) == (422, "invalid_request")  # no file of its preset
    assert code_of(ended.get("feeds/shopify", published_at="http://cdn.example/")) == (422, "url_not_allowed")
    assert code_of(ended.get("feeds/shopify")) == (422, "invalid_request")
    assert code_of(ended.get("feeds/etsy", **FEED)) == (422, "invalid_request")


def test_files_leave_only_while_their_pictures_are_approved(ended: Ended) -> None:
    """The tenant's setting holds delivered files back too; another scene's rows are not asked for by a feed."""
    store = ended.api.store
    store.tenants.set_require_approval(ended.api.tenant_id, True)
    try:
        assert code_of(ended.get("archive.zip")) == (409, "not_approved")
        assert code_of(ended.get("feeds/shopify", **FEED)) == (409, "not_approved")
        for row in csv.DictReader(io.StringIO(ended.get("manifest.csv").text)):
            if row["name"] and row["preset"] == "shopify":
                store.reviews.decide(ended.api.tenant_id, row["image_id"], "approved", by="a test")
        assert ended.get("feeds/shopify", **FEED).status_code == 200
        assert code_of(ended.get("archive.zip")) == (409, "not_approved")
    finally:
        store.tenants.set_require_approval(ended.api.tenant_id, False)


def painted(ended: Ended) -> set[str]:
    """The shots whose picture was chosen."""
    rows = csv.DictReader(io.StringIO(ended.get("manifest.csv").text))
    return {row["shot_id"] for row in rows if row["image_id"]}


def test_failed_rows_are_opened_again_and_nothing_is_made_twice(ended: Ended) -> None:
    api, catalogue_id = ended.api, ended.url.rpartition("/")[2]
    before = painted(ended)
    again = api.http.post(f"{ended.url}/retry?only=failed").json()
    assert (again["state"], again["counts"]["waiting"], again["counts"]["done"]) == ("running", 1, 1)
    record = api.store.catalogues.get(api.tenant_id, catalogue_id)
    assert accept_all(api.store, record, api.mask()["id"]) == 1
    run_shots(api.store, 1)
    collect(api.store, record)
    found = api.http.get(ended.url).json()
    assert (found["state"], found["counts"]["done"], found["counts"]["failed"]) == ("done", 2, 0)
    assert len(before) == 3
    assert before < painted(ended)
    assert len(painted(ended)) == 4


def test_an_upload_after_the_end_is_no_error(ended: Ended) -> None:
    made = ended.api.http.put(f"{ended.url}/photos", params={"path": "c.jpg"}, content=png())
    assert code_of(made) == (404, "not_found")
