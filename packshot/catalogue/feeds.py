"""Feeds: the tables by which channels learn of a catalogue's pictures.

    delivered files + items' `meta` ──feed_lines──> the lines of one table

A feed names pictures by public URLs, so it needs to know where the files were published. A supplemental feed has the
product's id and its pictures; text columns are added where the items' `meta` has their values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from packshot.catalogue.tables import lines_of
from packshot.contract.catalogue import FeedKind
from packshot.errors import BadInput

__all__ = ["FEEDS", "Feed", "Picture", "Product", "feed_lines", "public_url"]

MAX_URL_CHARS = 2_000


@dataclass(frozen=True)
class Picture:
    """A delivered file at its public URL. `main` says that it is a plain picture, which may stand first."""

    url: str
    preset: str
    main: bool
    alt: str = ""


@dataclass(frozen=True)
class Product:
    """One SKU with its pictures, in the order of the manifest, and the item's `meta`."""

    sku: str
    pictures: tuple[Picture, ...]
    meta: Mapping[str, str]

    def ordered(self) -> list[Picture]:
        """The pictures, the plain ones first."""
        return sorted(self.pictures, key=lambda one: not one.main)


@dataclass(frozen=True)
class Feed:
    """One kind of feed.

    `presets` are those whose files it lists. `columns` are the columns that it always has, and `rows` makes a
    product's rows of them. `texts` are columns that it has when some item's `meta` has their value. `versioned` adds
    the file's hash to its URL, for channels that cache a picture by its URL. `head` are lines before the header.
    """

    kind: FeedKind
    title: str
    presets: tuple[str, ...]
    media_type: str
    suffix: str
    columns: tuple[str, ...]
    rows: Callable[[Product], Iterator[list[object]]]
    texts: tuple[str, ...] = ()
    versioned: bool = True
    head: tuple[str, ...] = ()

    @property
    def delimiter(self) -> str:
        """What separates two cells."""
        return "," if self.media_type == "text/csv" else "\t"


def _supplemental(several: int) -> Callable[[Product], Iterator[list[object]]]:
    """Rows of a product's id, its first picture, and at most `several` more."""

    def rows(product: Product) -> Iterator[list[object]]:
        first, *more = product.ordered()
        yield [product.meta.get("id") or product.sku, first.url, ",".join(one.url for one in more[:several])]

    return rows


def _shopify(product: Product) -> Iterator[list[object]]:
    handle = product.meta.get("handle") or re.sub(r"[^a-z0-9]+", "-", product.sku.lower()).strip("-")
    for place, picture in enumerate(product.ordered()[:250], start=1):
        yield [handle, picture.url, place, picture.alt[:512]]


def _amazon(product: Product) -> Iterator[list[object]]:
    swatch = next((one.url for one in product.pictures if one.preset == "amazon-swatch"), "")
    shown = [one for one in product.ordered() if one.preset != "amazon-swatch"]
    main = shown[0].url if shown and shown[0].main else ""  # a scene is no main image there
    others = [one.url for one in shown if one.url != main][:8]
    yield [product.sku, "PartialUpdate", main, *others, *[""] * (8 - len(others)), swatch]


_OTHERS = tuple(f"other_image_url{place}" for place in range(1, 9))
_SUPPLEMENTAL = ("id", "image_link", "additional_image_link")
_TEXTS = ("title", "description", "link", "price", "availability", "condition", "brand", "gtin")

FEEDS: Mapping[FeedKind, Feed] = {
    feed.kind: feed
    for feed in (
        Feed(
            "google-merchant",
            "Google Merchant Center, supplemental feed",
            ("google-merchant",),
            "text/tab-separated-values",
            "tsv",
            _SUPPLEMENTAL,
            _supplemental(10),
            _TEXTS,
        ),
        Feed(
            "meta",
            "Meta, catalogue feed",
            ("meta-catalogue",),
            "text/csv",
            "csv",
            _SUPPLEMENTAL,
            _supplemental(20),
            _TEXTS,
        ),
        Feed(
            "shopify",
            "Shopify, product CSV",
            ("shopify",),
            "text/csv",
            "csv",
            ("Handle", "Image Src", "Image Position", "Image Alt Text"),
            _shopify,
            ("Title", "Variant SKU"),
        ),
        Feed(
            "amazon",
            "Amazon, inventory flat file",
            ("amazon-main", "amazon-pt", "amazon-swatch"),
            "text/tab-separated-values",
            "txt",
            ("item_sku", "update_delete", "main_image_url", *_OTHERS, "swatch_image_url"),
            _amazon,
            versioned=False,
            head=("TemplateType=fptcustom\tVersion=2026.1101\n",),
        ),
    )
}
"""Every kind of feed."""


def feed_lines(feed: Feed, products: Sequence[Product]) -> Iterator[str]:
    """The lines of a feed, the header first. Products without a picture are left out."""
    listed = [product for product in products if product.pictures]
    texts = [name for name in feed.texts if any(_text(name, product) for product in listed)]
    if feed.kind == "shopify" and "Title" not in texts:
        texts = []  # a row with a variant's SKU needs a title too

    def rows() -> Iterator[list[object]]:
        for product in listed:
            for place, cells in enumerate(feed.rows(product)):
                yield cells + ["" if place else _text(name, product) for name in texts]

    yield from feed.head
    yield from lines_of((*feed.columns, *texts), rows(), delimiter=feed.delimiter)


def _text(column: str, product: Product) -> str:
    """The product's value of a column of text, "" without one."""
    if column == "Variant SKU":
        return product.sku
    names = ("gtin", "gtin14", "gtin13", "ean", "upc") if column == "gtin" else (column.lower(),)
    return next((product.meta[name] for name in names if product.meta.get(name)), "")


def public_url(published_at: str, path: str, sha256: str, *, versioned: bool) -> str:
    """The URL of a file that lies at `path` below the folder `published_at`.

    `versioned` adds a part of the hash, because channels cache a picture by its URL. Raises BadInput `url_not_allowed`
    when `published_at` is no https URL of a folder, or the URL is longer than channels take.
    """
    parts = urlsplit(published_at)
    if parts.scheme != "https" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        rule = "a feed's pictures must be published in a folder at an https URL"
        raise BadInput(
            "url_not_allowed", f"{rule}, got {published_at[:200]!r}; send published_at=https://cdn.example/spring/"
        )
    url = f"{published_at.rstrip('/')}/{quote(path)}".replace(",", "%2C") + (f"?v={sha256[:12]}" if versioned else "")
    if len(url) > MAX_URL_CHARS or not url.isascii():
        rule = f"a picture's URL must be ASCII and have at most {MAX_URL_CHARS} characters"
        raise BadInput("url_not_allowed", f"{rule}, got {len(url)}; use a shorter published_at")
    return url
