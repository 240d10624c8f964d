"""Products of a set stand on one line, in their relative sizes, and nothing crops them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from packshot.catalogue.placement import Stand, largest_mm_of, place, stand_of_variant
from packshot.catalogue.placement import stand_of as stand_of_look
from packshot.catalogue.plan import Scene, Variant, combinations
from packshot.catalogue.seeds import seed_of
from packshot.contract.catalogue import Axis, Item, Manifest, Seeds, View
from packshot.contract.presets import SafeZone
from packshot.contract.requests import MAX_SEED, ShadowIn
from packshot.contract.shot_spec import Canvas
from packshot.delivery.presets import preset_named
from packshot.delivery.reframe import inside
from packshot.imaging.canvas import cut, cutout_bbox, flatten
from packshot.imaging.lock import lock_px_of
from packshot.types import BoxXYXY, Layer, Layout, Mask, Photo

SQUARE, PORTRAIT, STORY = (400, 400), (320, 400), (540, 960)
SOLID = 255


def manifest(*sizes: dict[str, float] | None, ground: float | None = 0.82) -> Manifest:
    items = [{"sku": f"S{at}", "photo": "a.jpg", "size_mm": size} for at, size in enumerate(sizes)]
    return Manifest.model_validate({"name": "x", "defaults": {"ground": ground}, "items": items})


def stand_of(of: Manifest, canvas: tuple[int, int], fill: float, zones: Sequence[SafeZone | None] = ()) -> Stand:
    return stand_of_look(of.defaults, largest_mm_of(of.items), canvas, fill, zones)


def shown(stand: Stand, item: Item, box: BoxXYXY, photo: tuple[int, int], view: View = "front") -> tuple[Any, BoxXYXY]:
    """The flat picture of a product that fills `box` of its photo, and the product's box in it."""
    rng = np.random.default_rng(box[0])
    pixels = rng.integers(0, 90, (photo[1], photo[0], 3), dtype=np.uint8)
    where = np.zeros((photo[1], photo[0]), np.uint8)
    x0, y0, x1, y1 = box
    where[y0:y1, x0:x1] = SOLID
    pixels[where > 0] += 120
    mask = Mask(where)
    lock_px = lock_px_of(*photo)
    spec = place(stand, item, view, "mk_1", mask.bbox_xyxy, cutout_bbox(mask, lock_px))
    layer = Layer(cut(Photo(pixels), mask, lock_px), spec.x, spec.y, spec.scale)
    flat = flatten(Layout(Canvas(*stand.canvas), (layer,)))
    return (flat, pixels[y0:y1, x0:x1]), Mask(np.ascontiguousarray(flat.alpha)).bbox_xyxy


@pytest.mark.parametrize("canvas", [SQUARE, PORTRAIT, STORY], ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize(
    ("box", "photo"),
    [((40, 30, 160, 290), (220, 300)), ((31, 77, 501, 300), (640, 480)), ((0, 0, 90, 60), (90, 60))],
    ids=["tall", "wide", "cut-out"],
)
def test_a_product_stands_on_the_line_and_spans_fill(
    canvas: tuple[int, int], box: BoxXYXY, photo: tuple[int, int]
) -> None:
    stand = stand_of(manifest(None), canvas, 0.6)
    _, (x0, y0, x1, y1) = shown(stand, manifest(None).items[0], box, photo)
    assert abs(y1 / canvas[1] - 0.82) <= 0.01
    span, wanted = max(x1 - x0, y1 - y0), 0.6 * max(canvas)
    if x1 - x0 > y1 - y0:
        wanted = min(wanted, 0.9 * canvas[0])  # a wide product in a tall canvas stays inside of it
    assert abs(span / wanted - 1) <= 0.02
    assert abs((x0 + x1) / 2 - canvas[0] / 2) <= 1


def test_true_sizes_give_relative_scales_in_any_view_and_order() -> None:
    sizes = ({"height": 200.0}, {"height": 50.0}, {"width": 100.0}, None)
    whole, turned = manifest(*sizes), manifest(*reversed(sizes))
    stand = stand_of(whole, SQUARE, 0.8)
    assert stand == stand_of(turned, SQUARE, 0.8)
    tall, wide = (100.0, 200.0), (200.0, 80.0)
    large, small, plate, unknown = (item.size_mm for item in whole.items)
    assert stand.factor(tall, large) * 200 == pytest.approx(320)
    assert stand.factor(tall, small, "back") * 200 == pytest.approx(80)
    assert stand.factor(wide, plate) * 200 == pytest.approx(160)
    assert stand.factor(wide, plate, "side") * 200 == pytest.approx(320), "from the side the width is not known"
    assert stand.factor(tall, small, "detail") * 200 == pytest.approx(320), "a detail has no true size"
    assert stand.factor(tall, unknown) * 200 == pytest.approx(320)
    assert stand.factor((400.0, 80.0), small) * 400 == pytest.approx(250 / 250 * 360), "no wider than the canvas allows"


def test_without_a_line_products_are_centred() -> None:
    whole = manifest(None, ground=None)
    _, (x0, y0, x1, y1) = shown(stand_of(whole, PORTRAIT, 0.5), whole.items[0], (10, 60, 150, 130), (200, 200))
    assert (x0 + x1) / 2 == pytest.approx(160, abs=1)
    assert (y0 + y1) / 2 == pytest.approx(200, abs=1)


def test_the_line_moves_for_the_largest_product_and_for_a_safe_zone() -> None:
    """A product that spans 90 % cannot stand at 82 % of the height: its top would be cut off."""
    whole = manifest({"height": 100.0}, {"height": 50.0})
    amazon = stand_of(whole, SQUARE, 0.9)
    boxes = [shown(amazon, item, (50, 20, 150, 220), (200, 240))[1] for item in whole.items]
    assert min(box[1] for box in boxes) >= 0.02 * 400
    assert max(box[3] for box in boxes) <= 0.98 * 400
    assert abs(boxes[0][3] - boxes[1][3]) <= 1, "small products stand on the line of the large one"
    zone = preset_named("meta-ad-9x16").safe_zone
    assert zone is not None
    story = stand_of(whole, STORY, 0.7, [None, zone])
    for item in whole.items:
        assert inside(STORY, shown(story, item, (50, 20, 150, 220), (200, 240))[1], zone)


def test_a_channel_that_demands_a_share_of_the_frame_gets_each_product_at_it() -> None:
    body = manifest({"height": 200.0}, {"height": 50.0}).model_dump()
    body["deliver"] = [{"preset": "amazon-main", "scene": "white"}, {"preset": "shopify", "scene": "white"}]
    whole = Manifest.model_validate(body)
    variant = Variant(Scene((), ""), "white", SQUARE, ShadowIn(mode="none"), 0.9)
    small = whole.items[1].size_mm
    amazon, shop = (stand_of_variant(whole, 200, variant, [entry]) for entry in (0, 1))
    assert amazon.factor((100.0, 200.0), small) * 200 == pytest.approx(360)
    assert shop.factor((100.0, 200.0), small) * 200 == pytest.approx(90)


def test_a_product_near_its_own_size_is_copied() -> None:
    box = (40, 30, 161, 310)
    stand = stand_of(manifest(None), SQUARE, 280.9 / 400)
    (flat, product), placed = shown(stand, manifest(None).items[0], box, (220, 330))
    assert placed[3] - placed[1] == 280
    inner = np.s_[6:-6, 6:-6]
    there = flat.rgb[placed[1] : placed[3], placed[0] : placed[2]]
    assert (there[inner] == product[inner]).all()


def test_seeds_of_each_policy() -> None:
    axis = Axis(name="scene", values={"marble": "on marble", "linen": "on linen"})
    marble, linen = scenes = combinations([axis])

    def of(policy: str, scene: Any, sku: str, canvas: tuple[int, int] = SQUARE) -> int:
        seeds = Seeds.model_validate({"policy": policy, "base": MAX_SEED})
        return seed_of(seeds, scenes, scene, sku, "front", canvas)

    assert seed_of(Seeds(base=7), scenes, marble, "A", "front", SQUARE) == 7
    assert of("per_set", marble, "A") == of("per_set", marble, "B", PORTRAIT) != of("per_set", linen, "A")
    assert of("per_sku", marble, "A") == of("per_sku", linen, "A") != of("per_sku", marble, "B")
    own = {of("per_image", scene, sku, at) for scene in scenes for sku in "AB" for at in (SQUARE, PORTRAIT)}
    assert len(own) == 8
    assert all(seed + 7 <= MAX_SEED for seed in own)
