"""A shot with a proof: its text is read in the photo, or a master, and in every finished picture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from packshot.contract.proof import Proof
from packshot.contract.shot_spec import Background, Canvas, LayerSpec, ShotSpec
from packshot.contract.verdict import Finding
from packshot.errors import NotFound
from packshot.imaging.codec import encode_bilevel_png, encode_png, read_png
from packshot.models.read import Quad, Reading
from packshot.shots.flow import shoot
from packshot.shots.layout import find_layout
from packshot.shots.proofreading import Proofreader, find_text
from packshot.store.records import NewMask
from packshot.store.store import Store
from packshot.types import U8
from tests.printed import LINES, card, reader
from tests.specs import spec_of
from tests.unit.shots.painter import Painter


class CountingReader:
    """The real reader, which counts the pictures in which it looked for lines."""

    def __init__(self) -> None:
        self.searches = 0

    def find(self, picture: U8, longest_px: int) -> list[Quad]:
        self.searches += 1
        return reader().find(picture, longest_px)

    def read(self, crops: Sequence[U8]) -> list[Reading]:
        return reader().read(crops)


@pytest.fixture
def printed(store: Store) -> Callable[..., ShotSpec]:
    """A shot of a printed card on white. `lines` and further changes are those of the shot."""

    def request(lines: Sequence[str] = LINES, **changes: object) -> ShotSpec:
        tenant = store.tenants.local().id
        photo_id = add_card(store, lines)
        mask = np.full((200, 320), 255, np.uint8)
        new = NewMask(0.9, 64_000, (0, 0, 320, 200), encode_bilevel_png(mask), lock_px=2)
        (kept,) = store.masks.add(tenant, photo_id, [new])
        fields = {"canvas": Canvas(400, 400), "layers": (LayerSpec(mask_id=kept.id, scale=0.8),), "proof": Proof()}
        return spec_of(**{**fields, "background": Background("white"), "images": 1, **changes})

    return request


def add_card(store: Store, lines: Sequence[str]) -> str:
    png = encode_png(card(lines)[..., :3])
    sha = "-".join(lines).encode().hex().ljust(64, "0")[:64]
    photo = store.photos.add(
        store.tenants.local().id, png=png, width=320, height=200, format="png", bytes=1, sha256=sha
    )
    return photo.id


def text_of(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(one.level, one.detail) for one in findings if one.check == "text"]


def test_a_finished_picture_says_what_its_photo_says_and_the_photo_is_read_once(
    store: Store, printed: Callable[..., ShotSpec]
) -> None:
    tenant, stages, counted = store.tenants.local().id, Painter(store), CountingReader()
    stages.finisher = type(stages.finisher)(store.assets, reader=counted)
    spec = printed(proof=Proof(must_read=("30 ml",)))
    (made,) = asyncio.run(shoot(store, tenant, spec, stages, lambda _: None))
    assert text_of(made.verdict.findings) == [("ok", "all 3 lines of the product's text say the same as in the photo")]
    assert made.verdict.level_of("text") == "ok"
    picture, order = read_png(made.png), find_text(store, tenant, spec, find_layout(store, tenant, spec))
    assert order is not None
    altered = picture.copy()
    altered[130:180, 50:190] = altered[130, 40]  # a brush over a part of the card
    read = stages.finisher.proofread(encode_png(altered), order)
    assert any(level == "failed" for level, _ in text_of(read.findings))
    assert counted.searches == 3, "the photo's lines are kept"
    (bare,) = asyncio.run(shoot(store, tenant, replace(spec, proof=None), stages, lambda _: None))
    assert text_of(bare.verdict.findings) == []
    assert counted.searches == 3


def test_a_master_is_read_instead_of_the_photo(store: Store, printed: Callable[..., ShotSpec]) -> None:
    tenant, lines = store.tenants.local().id, (LINES[0], "80 ml / 1.0 oz")
    spec = printed(lines, proof=Proof(master=add_card(store, LINES)))
    finisher = Painter(store).finisher
    order = find_text(store, tenant, spec, find_layout(store, tenant, spec))
    assert order is not None
    png = finisher.finish_plain(order.layout, spec).png
    [(level, detail)] = text_of(Proofreader(store.assets, reader()).proofread(png, order).findings)
    assert level == "failed"
    assert detail.startswith("the master says '30 ml / 1.0 oz' where the picture says '80 ml / 1.0 oz'")
    store.photos.delete(tenant, str(spec.proof.master) if spec.proof else "")
    with pytest.raises(NotFound):
        find_text(store, tenant, spec, order.layout)


@pytest.mark.soak
def test_a_layer_in_front_hides_lines_and_a_flipped_one_mirrors_them(
    store: Store, printed: Callable[..., ShotSpec]
) -> None:
    spec = printed((LINES[1],))
    (below,) = spec.layers
    layers = (below, replace(below, x=0.9, scale=0.4, flip=True))  # its left half lies over the end of the line
    order = find_text(store, store.tenants.local().id, spec, find_layout(store, store.tenants.local().id, spec))
    assert order is not None
    files = tuple(replace(order.layout.layers[0], placement=layer) for layer in layers)
    both = replace(order, layout=replace(order.layout, layers=files))
    png = Painter(store).finisher.finish_plain(both.layout, replace(spec, layers=layers)).png
    found = text_of(Proofreader(store.assets, reader()).proofread(png, both).findings)
    assert any("hides a part" in detail for level, detail in found if level == "warning"), found
