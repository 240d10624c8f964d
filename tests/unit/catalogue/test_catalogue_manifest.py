"""Manifests: what is read, and what is refused by row and column."""

import json
from typing import Any

import pytest

from packshot.catalogue.manifest import Read, read_manifest
from packshot.catalogue.places import Allowed
from packshot.catalogue.plan import combinations, variants
from packshot.catalogue.proving import proof_of_item
from packshot.contract.catalogue import MAX_ROWS, Item, Look
from packshot.contract.requests import ProofIn
from packshot.errors import BadInput

FRAME = {
    "name": "spring",
    "axes": [{"name": "scene", "values": {"marble": "on a marble table", "linen": "on draped linen"}}],
    "deliver": [{"preset": "shopify"}],
}
YAML = b"""
name: spring
defaults: {canvas: [1600, 1200], fill: 0.6, ground: null}
axes: [{name: scene, values: {marble: on a marble table, none: ""}}]
items:
  - {sku: "4006381333931", photo: photos/mug.jpg, box: [200, 120, 1340, 1010], size_mm: {height: 95}}
  - {sku: B01-RED, photos: [{view: front, photo: a.png}, {view: back, photo: b.png}], scenes: [marble]}
"""


def sheet(text: str, **frame: Any) -> Read:
    return read_manifest(text.encode(), "text/csv", frame={**FRAME, **frame})


def told(read: Read) -> list[tuple[int | None, str, str]]:
    return [(one.row, one.column, one.code) for one in read.problems]


def test_yaml_is_read() -> None:
    read = read_manifest(YAML, "application/yaml")
    assert read.problems == []
    assert read.manifest is not None
    assert read.manifest.defaults.canvas == (1600, 1200)
    assert read.manifest.defaults.ground is None
    mug, ring = read.manifest.items
    assert (mug.sku, mug.box, mug.views()) == (
        "4006381333931",
        (200, 120, 1340, 1010),
        [("front", "photos/mug.jpg")],
    )
    assert ring.views() == [("front", "a.png"), ("back", "b.png")]


def test_words_of_yaml_1_1_stay_words() -> None:
    read = read_manifest(
        b"name: x\nitems: [{sku: no, photo: 0815.jpg, meta: {on: 'yes', size: '012'}}]", "application/yaml"
    )
    assert read.manifest is not None
    assert read.manifest.items[0].sku == "no"
    assert read.manifest.items[0].meta == {"on": "yes", "size": "012"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: &x 1\nb: *x", "anchors"),
        ("a: *x", "alias"),
        ("a: !!python/object/apply:os.system [ls]", "tags"),
        ("a: 1\na: 2", "twice"),
        ("<<: {a: 1}", "merge"),
        ("[" * 21 + "]" * 21, "nested"),
        ("a: 1\n---\nb: 2", "one document"),
        ("? [a]\n: 1", "key must be text"),
        ("a: [", "YAML"),
        ("- 1", "mapping"),
        ("", "mapping"),
    ],
)
def test_yaml_that_could_surprise_is_refused_with_its_line(text: str, rule: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_manifest(text.encode(), "application/yaml")
    assert refused.value.code == "manifest_unreadable"
    assert rule in refused.value.detail


@pytest.mark.parametrize("text", [b"{", b'{"a": 1, "a": 2}', b"[1]", b"\xff", b"[" * 100_000])
def test_json_that_cannot_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(BadInput, match="manifest_unreadable"):
        read_manifest(text, "application/json")


def test_problems_name_row_column_value_and_the_other_rows_are_kept() -> None:
    text = """{"name": "x", "axes": [], "items": [
        {"sku": "A", "photo": "a.jpg"},
        {"sku": "B", "photo": "b.jpg", "box": [5, 5, 1]},
        {"sku": "C", "photo": "c.jpg", "colour": "red"},
        {"sku": "D"}, 7, {"sku": "F", "photo": "f.jpg", "photos": [{"view": "back", "photo": "g.jpg"}]}]}"""
    read = read_manifest(text.encode(), "application/json")
    assert [(one.row, one.sku, one.column) for one in read.problems] == [
        (2, "B", "box.3"),
        (3, "C", "colour"),
        (4, "D", "item"),
        (5, None, "item"),
        (6, "F", "item"),
    ]
    assert read.manifest is not None
    assert [item.sku for item in read.manifest.items] == ["A"]
    assert (read.rows, read.items_total) == ((1,), 6)


def test_a_broken_frame_is_told_beside_the_rows() -> None:
    text = b'{"name": "", "items": [{"sku": "A", "photo": "a.jpg", "box": "no"}], "axes": 3}'
    read = read_manifest(text, "application/json")
    assert read.manifest is None
    assert {(one.row, one.column) for one in read.problems} == {(None, "name"), (None, "axes"), (1, "box")}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_sheet_as_a_spreadsheet_writes_it(separator: str) -> None:
    cells = [
        ["sku", "photo", "box", "scenes", "size_mm", "meta.farbe"],
        ["Täßchen 1", "photos/täßchen.jpg", '"1;2;30;40,5"', '"marble;linen"', "95", '"rot, ""matt"""'],
        ["", "", "", "", "", ""],
        ["B", "b.jpg", "", "", '"height=9;width=4"', ""],
    ]
    read = read_manifest(
        b"\xef\xbb\xbf" + "\r\n".join(separator.join(row) for row in cells).encode(), "text/csv", frame=FRAME
    )
    assert read.problems == []
    assert read.manifest is not None
    cup, other = read.manifest.items
    assert (cup.sku, cup.photo, cup.box, cup.scenes) == (
        "Täßchen 1",
        "photos/täßchen.jpg",
        (1, 2, 30, 40.5),
        ["marble", "linen"],
    )
    assert cup.meta == {"farbe": 'rot, "matt"'}
    assert other.size_mm is not None
    assert (other.size_mm.height, other.size_mm.width) == (9, 4)
    assert read.rows == (2, 4)  # the empty row counts


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("=1+1,a.jpg,,", (2, "sku", "invalid_request")),
        ("A,=HYPERLINK(1),,", (2, "photo", "invalid_request")),
        ("4.00638E+12,a.jpg,,", (2, "sku", "invalid_request")),
        ("A,../a.jpg,,", (2, "photo", "invalid_request")),
        ("A,/etc/passwd,,", (2, "photo", "invalid_request")),
        ("A,C:\\a.jpg,,", (2, "photo", "invalid_request")),
        ("A,http://169.254.169.254/a.jpg,,", (2, "photo", "invalid_request")),
        ("A,file:///etc/passwd,,", (2, "photo", "invalid_request")),
        ("A,a.jpg,1;2;3,", (2, "box", "invalid_request")),
        ("A,a.jpg,9;9;1;1,", (2, "box", "invalid_request")),
        ("A,a.jpg,,4006381333932", (2, "meta.gtin14", "gtin_invalid")),
        ("A,a.jpg,,4.00638E+12", (2, "meta.gtin14", "invalid_request")),
        ("A,a.jpg,,,more", (2, "", "invalid_request")),
    ],
)
def test_a_cell_that_cannot_be_used_is_told(row: str, problem: tuple[int, str, str]) -> None:
    assert problem in told(sheet(f"sku,photo,box,meta.gtin14\n{row}\nB,b.jpg,,\n"))


def test_the_remedy_of_a_box_shows_how_one_is_written() -> None:
    [found] = read_manifest(b"sku,photo,box\nA,a.jpg,1 2 3 4\n", "text/csv", frame={"name": "x"}).problems
    assert (found.column, found.remedy) == ("box", "Write it as 120;80;900;640.")


def test_columns_skus_and_scenes_are_checked() -> None:
    assert told(sheet("sku,photo,price,sku\nA,a.jpg,3,\n"))[:2] == [
        (1, "price", "invalid_request"),
        (1, "sku", "invalid_request"),
    ]
    assert (3, "sku", "invalid_request") in told(sheet("sku,photo\nA,a.jpg\na,b.jpg\n"))
    assert told(sheet("sku,photo,scenes\nA,a.jpg,marbel\n")) == [(2, "scenes", "invalid_request")]
    assert told(sheet("photo\na.jpg\n"))[0] == (1, "sku", "invalid_request")


def test_a_light_without_a_cast_shadow_would_change_nothing_and_is_refused() -> None:
    light = {"light": {"direction_deg": 300}}
    assert told(sheet("sku,photo\nA,a.jpg\n", defaults=light)) == [(None, "defaults.light", "invalid_request")]
    cast = {"mode": "cast"}
    assert told(sheet("sku,photo\nA,a.jpg\n", defaults={**light, "shadow": cast})) == []
    assert told(sheet("sku,photo\nA,a.jpg\n", defaults=light, deliver=[{"preset": "shopify", "shadow": cast}])) == []


def test_cast_shadows_of_a_set_fall_away_from_its_light() -> None:
    look: dict[str, Any] = {"defaults": {"light": {"direction_deg": 300}, "shadow": {"mode": "cast", "length": 1.2}}}
    look["deliver"] = [
        {"preset": "shopify", "shadow": {"mode": "cast", "direction_deg": 45}},
        {"preset": "ebay", "scene": "white"},
    ]
    read = sheet("sku,photo\nA,a.jpg\n", **look, axes=[{"name": "scene", "values": {"oak": "on oak"}}])
    assert read.manifest is not None
    wanted = variants(read.manifest, combinations(read.manifest.axes))
    found = [(one.background, one.shadow.direction_deg) for one in wanted]
    assert found == [("generate", 120), ("generate", 45), ("white", 120)]


def test_a_row_may_name_its_product_and_says_it_once() -> None:
    read = sheet("sku,photo,find,mask\nA,a.jpg,white mug,\nB,b.jpg,mug,b.png\n", defaults={"find": "cup"})
    assert read.manifest is not None
    assert (read.manifest.defaults.find, read.manifest.items[0].find) == ("cup", "white mug")
    assert told(read) == [(3, "find", "invalid_request")]
    assert told(sheet(f"sku,photo,find\nA,a.jpg,{'mug ' * 51}\n")) == [(2, "find", "invalid_request")]


def test_a_look_has_adapters_each_once_and_with_a_scale_in_its_bounds() -> None:
    def read(*adapters: dict[str, object]) -> list[tuple[str, str]]:
        text = json.dumps({"name": "x", "defaults": {"adapters": adapters}, "items": [{"sku": "A", "photo": "a.jpg"}]})
        return [(one.column, one.code) for one in read_manifest(text.encode(), "application/json").problems]

    assert read({"id": "ad_1", "scale": -2.0}) == []
    assert read({"id": "ad_1", "scale": 2.1}) == [("defaults.adapters.0.scale", "invalid_request")]
    assert read({"id": "ad_1"}, {"id": "ad_1"}) == [("defaults.adapters", "invalid_request")]


def test_a_url_needs_an_allowed_prefix() -> None:
    text = b"sku,photo\nA,s3://shop/a.jpg\nB,s3://shop-of-others/b.jpg\n"
    read = read_manifest(text, "text/csv", frame=FRAME, allowed=Allowed(photos=("s3://shop/",)))
    assert told(read) == [(3, "photo", "invalid_request")]


def test_too_many_rows_are_refused_at_once() -> None:
    with pytest.raises(BadInput, match=f"at most {MAX_ROWS} rows"):
        sheet("sku,photo\n" + "".join(f"{n},a.jpg\n" for n in range(MAX_ROWS + 1)))


def test_a_sheet_in_another_encoding_is_refused_with_its_line() -> None:
    with pytest.raises(BadInput, match="0xe4 in line 2"):
        read_manifest("sku,photo\nä,a.jpg\n".encode("latin-1"), "text/csv", frame=FRAME)
    read = read_manifest("sku\tphoto\nä\ta.jpg\n".encode("utf-16"), "text/csv", frame=FRAME)
    assert read.manifest is not None
    assert read.manifest.items[0].sku == "ä"


def test_the_proof_of_a_row_and_its_master() -> None:
    sheet = b"sku,photo,category,must_read,master\nA,a.jpg,medical,30 ml;SPF 50,art/a.png\nB,b.jpg,,,https://x.example/b.png\n"
    read = read_manifest(sheet, "text/csv", frame={**FRAME, "defaults": {"proof": {"must_read": ["AURORA"]}}})
    assert read.manifest is not None
    first, _ = read.manifest.items
    proof = proof_of_item(read.manifest.defaults, first)
    assert proof is not None
    assert (proof.must_read, proof.master) == (["30 ml", "SPF 50"], "art/a.png")
    assert [(one.row, one.column) for one in read.problems] == [(3, "proof.master")]
    bare = Item(sku="C", photo="c.jpg")
    assert proof_of_item(Look(), bare) is None
    assert proof_of_item(Look(), bare.model_copy(update={"category": "alcohol"})) == ProofIn()
    with pytest.raises(ValueError, match=r"must have proof\.text true"):
        Item(sku="D", photo="d.jpg", category="medical", proof=ProofIn(text=False))
