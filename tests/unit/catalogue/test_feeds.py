"""Feeds against the channels' schemas: columns, cells, numbers of pictures, URLs."""

import csv
import io
import re
from collections.abc import Callable

import pytest

from packshot.catalogue.feeds import FEEDS, Picture, Product, feed_lines, public_url
from packshot.contract.catalogue import FeedKind
from packshot.errors import BadInput

PLACE = "https://cdn.example/spring/"
URL = re.compile(r"https://[!-~]{1,1990}\.(jpg|png|webp)(\?v=[0-9a-f]{12})?")


def picture(number: int, *, preset: str = "shopify", main: bool = False, versioned: bool = True) -> Picture:
    url = public_url(PLACE, f"marble, é/B01-{number:02}.jpg", "ab" * 32, versioned=versioned)
    return Picture(url, preset, main, alt=f"B01 {number}")


def products(kind: FeedKind, count: int) -> list[Product]:
    feed = FEEDS[kind]
    several = [picture(n, preset=feed.presets[-1 if n == 2 else 0], versioned=feed.versioned) for n in range(1, count)]
    plain = picture(0, preset=feed.presets[0], main=True, versioned=feed.versioned)
    meta = {"title": "=HYPERLINK(1)", "gtin14": "04006381333931", "brand": "A\tB\nC"}
    return [Product("B01-RED", (*several, plain), meta), Product("empty", (), {}), Product("C", (plain,), {})]


def table(kind: FeedKind, count: int) -> list[dict[str, str]]:
    feed = FEEDS[kind]
    lines = list(feed_lines(feed, products(kind, count)))[len(feed.head) :]
    if feed.delimiter == "\t":
        cells = [line.removesuffix("\n").split("\t") for line in lines]
    else:
        cells = list(csv.reader(io.StringIO("".join(lines), newline="")))
    assert {len(row) for row in cells} == {len(cells[0])}
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def google(rows: list[dict[str, str]]) -> None:
    """id, image_link, at most 10 additional links, separated by commas."""
    assert [row["id"] for row in rows] == ["B01-RED", "C"]
    assert len(rows[0]["additional_image_link"].split(",")) == 10
    assert rows[0]["gtin"] == "04006381333931"
    assert rows[0]["brand"] == "A B C"


def meta(rows: list[dict[str, str]]) -> None:
    """id, image_link, at most 20 additional links; a new picture has a new URL."""
    assert [row["id"] for row in rows] == ["B01-RED", "C"]
    assert len(rows[0]["additional_image_link"].split(",")) == 20
    assert "?v=abab" in rows[0]["image_link"]


def shopify(rows: list[dict[str, str]]) -> None:
    """One row a picture; positions from 1; only the first row of a product has its texts."""
    assert [(row["Handle"], row["Image Position"]) for row in rows] == [
        *(("b01-red", str(n)) for n in range(1, 31)),
        ("c", "1"),
    ]
    assert [row["Variant SKU"] for row in rows if row["Variant SKU"]] == ["B01-RED", "C"]


def amazon(rows: list[dict[str, str]]) -> None:
    """A partial update with a plain main image, at most 8 others, and the swatch apart."""
    assert [(row["item_sku"], row["update_delete"]) for row in rows] == [
        ("B01-RED", "PartialUpdate"),
        ("C", "PartialUpdate"),
    ]
    assert rows[0]["main_image_url"].endswith("B01-00.jpg")
    assert rows[0]["swatch_image_url"].endswith("B01-02.jpg")
    assert all(rows[0][f"other_image_url{n}"] for n in range(1, 9))
    assert not rows[1]["other_image_url1"]


@pytest.mark.parametrize(
    ("kind", "schema"),
    [("google-merchant", google), ("meta", meta), ("shopify", shopify), ("amazon", amazon)],
)
def test_a_feed_follows_its_channels_schema(kind: FeedKind, schema: Callable[[list[dict[str, str]]], None]) -> None:
    rows = table(kind, 30)
    schema(rows)
    for row in rows:
        for column, cell in row.items():
            if "image" in column.lower() and not column.startswith("Image P") and not column.startswith("Image A"):
                assert all(URL.fullmatch(url) for url in cell.split(",") if cell), (column, cell)
            assert not cell.startswith(("=", "+", "-", "@")), "a spreadsheet would run it"


def test_a_scene_is_no_main_image_on_amazon() -> None:
    scene = picture(1, preset="amazon-pt", versioned=False)
    lines = list(feed_lines(FEEDS["amazon"], [Product("A", (scene,), {})]))
    assert lines[-1].split("\t")[:4] == ["A", "PartialUpdate", "", scene.url]


@pytest.mark.parametrize("place", ["", "http://cdn.example/", "https://a@b/", "https://cdn.example/?x=1", "s3://b/x"])
def test_pictures_must_be_published_at_an_https_folder(place: str) -> None:
    with pytest.raises(BadInput, match="must be published in a folder at an https URL"):
        public_url(place, "a.jpg", "00", versioned=True)
