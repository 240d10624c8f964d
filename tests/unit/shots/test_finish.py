"""Finishing is pure, and makes the same pictures as the director did before the finisher existed."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from packshot.contract.light import Shadow
from packshot.contract.shot_spec import Background, Canvas, LayerSpec, ShotSpec
from packshot.contract.verdict import Finding, Verdict
from packshot.delivery.presets import preset_named
from packshot.errors import BadInput, NotFound
from packshot.imaging.canvas import cut, enlargement, fit_to, flatten
from packshot.imaging.codec import encode_bilevel_png, encode_png, read_mask, read_photo, read_png
from packshot.imaging.composite import Ground, composite, enlarge, inpaint_mask, plain_background, product_on_grey
from packshot.imaging.light.contact import contact_shadow
from packshot.shots import CutoutFiles, DeliveryOrder, Finisher, LayoutFiles, Painted, Placed, Prepared
from packshot.shots.finish import finish, finish_plain
from packshot.shots.layout import LayerFiles, draw_layout
from packshot.store.assets import Assets
from packshot.types import U8, Framing, Layer, Layout, Render
from packshot.verdict.defects import defect_findings
from packshot.verdict.inspect import framing_finding, inspect
from tests.specs import STAMP, spec_of

CANVAS = Canvas(160, 120)
ENGINE_PX = (64, 48)
FRAMING = Framing.of_whole(*ENGINE_PX)
PLACEMENTS: dict[str, tuple[LayerSpec, ...]] = {
    "one": (LayerSpec(mask_id="a"),),
    "turned": (LayerSpec(mask_id="a", x=0.4, scale=0.7, rotation_deg=31.0, flip=True),),
    "two of one photo": (LayerSpec(mask_id="a", x=0.3, scale=0.3), LayerSpec(mask_id="b", x=0.7, scale=0.4)),
    "one twice, and another's": (
        LayerSpec(mask_id="a", x=0.25, scale=0.3),
        LayerSpec(mask_id="c", x=0.5, y=0.7, scale=0.5),
        LayerSpec(mask_id="a", x=0.75, scale=0.35, rotation_deg=90.0),
    ),
}


class CountingAssets(Assets):
    """Assets that count how often each file is read."""

    def __init__(self, root_url: str) -> None:
        super().__init__(root_url)
        self.reads: dict[str, int] = {}

    def get(self, key: str) -> bytes:
        self.reads[key] = self.reads.get(key, 0) + 1
        return super().get(key)


@pytest.fixture
def assets(tmp_path: Path) -> CountingAssets:
    return CountingAssets(str(tmp_path))


@pytest.fixture
def keys(assets: CountingAssets) -> dict[str, tuple[str, str]]:
    """Three products in two photos: name -> (photo's key, mask's key)."""
    random = np.random.default_rng(3)
    photos = [assets.put(encode_png(random.integers(0, 255, (90, 110, 3), np.uint8)), ".png") for _ in range(2)]

    def mask(x0: int, y0: int, x1: int, y1: int) -> str:
        pixels = np.zeros((90, 110), np.uint8)
        pixels[y0:y1, x0:x1] = 255
        return assets.put(encode_bilevel_png(pixels), ".png")

    return {
        "a": (photos[0], mask(10, 10, 60, 70)),
        "b": (photos[0], mask(40, 20, 100, 80)),
        "c": (photos[1], mask(5, 30, 90, 85)),
    }


def files_of(keys: dict[str, tuple[str, str]], layers: tuple[LayerSpec, ...], canvas: Canvas = CANVAS) -> LayoutFiles:
    return LayoutFiles(
        canvas, tuple(LayerFiles(CutoutFiles(*keys[layer.mask_id], lock_px=2), layer) for layer in layers)
    )


def painted(seed: int = 5) -> Painted:
    pixels = np.random.default_rng(seed).integers(0, 255, (ENGINE_PX[1], ENGINE_PX[0], 3), np.uint8)
    return Painted(Render(pixels, seed, (Finding("prompt", "ok", "read"),)), STAMP, {"steps": 1.0})


def before_the_finisher(
    assets: Assets, files: LayoutFiles, spec: ShotSpec, scene: Painted | None
) -> tuple[U8, Verdict]:
    """The director's own steps, as they stood: each layer read and cut anew, then composited with what was painted."""
    layers = []
    for one in files.layers:
        cutout = cut(read_photo(assets.get(one.cutout.photo_key)), read_mask(assets.get(one.cutout.mask_key)))
        place = one.placement
        layers.append(Layer(cutout, place.x, place.y, place.scale, place.rotation_deg, place.flip))
    layout = Layout(files.canvas, tuple(layers))
    flat = flatten(layout)
    look = partial(inspect, flat, product_by=enlargement(layout), generated=spec.background.generated)
    shadow = contact_shadow(flat) if spec.shadow.kind == "contact" else None
    if scene is None:
        transparent = spec.background.transparent
        background = None if transparent else plain_background(files.canvas, spec.background.name)
        picture = composite(flat, background, Ground(shadow))
        return picture, look(picture)
    surround = enlarge(scene.render.pixels, files.canvas)
    picture = composite(flat, surround, Ground(shadow))
    enlarged_by = max(files.canvas.width / ENGINE_PX[0], files.canvas.height / ENGINE_PX[1])
    framed = framing_finding(FRAMING, (files.canvas.width, files.canvas.height))
    verdict = look(picture, enlarged_by=enlarged_by)
    defects = defect_findings(flat, picture, surround, spec)
    return picture, replace(verdict, findings=(*verdict.findings, framed, *defects, *scene.render.findings))


@pytest.mark.parametrize("shadow", ["contact", "none"])
@pytest.mark.parametrize("name", PLACEMENTS)
def test_a_finished_scene_is_what_the_director_made(
    assets: CountingAssets, keys: dict[str, tuple[str, str]], name: str, shadow: str
) -> None:
    files = files_of(keys, PLACEMENTS[name])
    spec = spec_of(canvas=CANVAS, shadow=Shadow("contact" if shadow == "contact" else "none"))
    placed = Finisher(assets).prepare(files, FRAMING)
    assert not placed.covered
    made = finish(placed.prepared, painted(), spec)
    picture, verdict = before_the_finisher(assets, files, spec, painted())
    assert np.array_equal(read_png(made.png), picture)
    assert (made.width, made.height, made.verdict) == (CANVAS.width, CANVAS.height, verdict)
    assert made.finish_ms > 0
    assert finish(placed.prepared, painted(), spec).png == made.png  # pure: again gives the same


@pytest.mark.parametrize("background", ["white", "#10ff30", "transparent"])
@pytest.mark.parametrize("name", PLACEMENTS)
def test_a_plain_picture_is_what_the_director_made(
    assets: CountingAssets, keys: dict[str, tuple[str, str]], name: str, background: str
) -> None:
    files = files_of(keys, PLACEMENTS[name])
    spec = spec_of(canvas=CANVAS, background=Background(background), shadow=Shadow("contact"))
    made = Finisher(assets).finish_plain(files, spec)
    picture, verdict = before_the_finisher(assets, files, spec, None)
    assert np.array_equal(read_png(made.png), picture)
    assert made.verdict == verdict


def test_the_engines_view_is_the_layout_at_its_size(assets: CountingAssets, keys: dict[str, tuple[str, str]]) -> None:
    files = files_of(keys, PLACEMENTS["two of one photo"])
    placed = Finisher(assets).prepare(files, FRAMING)
    small = fit_to(draw_layout(assets, files)[0], *ENGINE_PX)
    assert np.array_equal(placed.fitted.flat.pixels, small.pixels)
    assert np.array_equal(placed.fitted.product, product_on_grey(small))
    assert np.array_equal(placed.fitted.repaint, inpaint_mask(small))


def test_each_photo_and_mask_is_read_once(assets: CountingAssets, keys: dict[str, tuple[str, str]]) -> None:
    draw_layout(assets, files_of(keys, PLACEMENTS["one twice, and another's"]))
    assert assets.reads == dict.fromkeys({*keys["a"], *keys["c"]}, 1)


def test_one_cutout_is_in_memory_at_a_time(assets: CountingAssets) -> None:
    large = np.zeros((900, 1200, 4), np.uint8)

    def peak_bytes(masks: int) -> int:
        files = [
            CutoutFiles("", "", 2, assets.put(encode_png(large + 200 + number), ".png")) for number in range(masks)
        ]
        layers = [LayerSpec(mask_id="any", scale=1.0 - number / 10) for number in range(masks)]
        order = [*zip(files, layers, strict=True), (files[0], layers[-1])]  # the first one is shown again at the end
        shown = LayoutFiles(CANVAS, tuple(LayerFiles(*one) for one in order))
        tracemalloc.start()
        draw_layout(assets, shown)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    one = peak_bytes(1)
    assert one > large.nbytes
    assert peak_bytes(4) < 1.3 * one


def test_a_product_that_covers_the_canvas_is_told(assets: CountingAssets, keys: dict[str, tuple[str, str]]) -> None:
    covering = (LayerSpec(mask_id="a", scale=3.0),)
    placed: Placed = Finisher(assets).prepare(files_of(keys, covering), FRAMING)
    assert placed.covered


def test_a_flat_that_came_by_reference_is_not_written_to(
    assets: CountingAssets, keys: dict[str, tuple[str, str]]
) -> None:
    prepared = Prepared(*draw_layout(assets, files_of(keys, PLACEMENTS["one"])))
    prepared.flat.pixels.setflags(write=False)  # as Ray hands arrays over
    scene = painted()
    scene.render.pixels.setflags(write=False)
    for shadow in (Shadow("contact"), Shadow("none")):
        finish(prepared, scene, spec_of(canvas=CANVAS, shadow=shadow))
        for name in ("white", "transparent"):
            finish_plain(prepared, spec_of(canvas=CANVAS, background=Background(name), shadow=shadow))


def test_a_lost_file_and_a_layer_outside_are_refused(assets: CountingAssets, keys: dict[str, tuple[str, str]]) -> None:
    finisher = Finisher(assets)
    outside = files_of(keys, (LayerSpec(mask_id="a", x=-0.9, scale=0.1),))
    with pytest.raises(BadInput, match="layer_outside"):
        finisher.prepare(outside, FRAMING)
    assets.delete(keys["a"][1])
    with pytest.raises(NotFound):
        finisher.prepare(files_of(keys, PLACEMENTS["one"]), FRAMING)


def test_cutout_and_mask_are_pngs_of_the_product(assets: CountingAssets, keys: dict[str, tuple[str, str]]) -> None:
    finisher = Finisher(assets)
    photo, mask = (assets.get(key) for key in keys["b"])
    assert np.array_equal(
        read_png(finisher.cutout_png(CutoutFiles(*keys["b"], lock_px=2))),
        cut(read_photo(photo), read_mask(mask)).pixels,
    )
    assert np.array_equal(read_png(finisher.mask_png(keys["b"][1])), read_mask(mask).pixels)


def test_a_delivery_knows_the_product_until_its_mask_is_deleted(
    assets: CountingAssets, keys: dict[str, tuple[str, str]]
) -> None:
    finisher, canvas = Finisher(assets), Canvas(1000, 1000)
    files = files_of(keys, (LayerSpec(mask_id="a", scale=0.9),), canvas)
    spec = spec_of(canvas=canvas, background=Background("white"))
    finished = finisher.finish_plain(files, spec)
    preset = preset_named("amazon-pt")
    order = DeliveryOrder(assets.put(finished.png, ".png"), spec, files, preset, finished.verdict)
    known = finisher.deliver(order)
    assert known.data.startswith(b"\xff\xd8") or known.data.startswith(b"\x89PNG")
    assets.delete(keys["a"][1])
    assert finisher.deliver(order).width == known.width
    lost = finisher.deliver(replace(order, layout=None))
    assert lost.width == known.width
    enlarged = [[one.value for one in made.findings if one.check == "enlargement"] for made in (known, lost)]
    assert enlarged[0] == enlarged[1]  # from the layout, and from the verdict
    with pytest.raises(BadInput, match=r"enlarged at most 2x, got 13\.64x"):  # a deletion lifts no rule
        finisher.deliver(replace(order, layout=None, preset=preset_named("amazon-main")))
    with pytest.raises(BadInput, match=r"not_served: .*needs the picture's masks and photos, which were deleted"):
        finisher.deliver(replace(order, shadow="contact"))


def test_a_delivery_draws_another_shadow_on_a_plain_background_only(
    assets: CountingAssets, keys: dict[str, tuple[str, str]]
) -> None:
    finisher, canvas = Finisher(assets), Canvas(600, 600)
    files = files_of(keys, (LayerSpec(mask_id="a", scale=0.9),), canvas)
    spec = spec_of(canvas=canvas, background=Background("white"), shadow=Shadow("contact"))
    made = finisher.finish_plain(files, spec)
    order = DeliveryOrder(assets.put(made.png, ".png"), spec, files, preset_named("amazon-pt"), made.verdict)
    shaded, plain = finisher.deliver(order), finisher.deliver(replace(order, shadow="none"))
    assert shaded.data != plain.data
    bare = finisher.finish_plain(files, replace(spec, shadow=Shadow("none")))
    bare_order = DeliveryOrder(
        assets.put(bare.png, ".png"), replace(spec, shadow=Shadow("none")), files, order.preset, bare.verdict
    )
    assert plain.data == finisher.deliver(bare_order).data
    scene = replace(order, spec=replace(spec, background=Background("generate")), shadow="none")
    with pytest.raises(BadInput, match=r"not_served: .*needs a plain background, got a generated scene"):
        finisher.deliver(scene)


def test_a_transparent_picture_has_its_contact_shadow(assets: CountingAssets, keys: dict[str, tuple[str, str]]) -> None:
    canvas = Canvas(300, 300)
    files = files_of(keys, (LayerSpec(mask_id="a", scale=0.6),), canvas)
    spec = spec_of(canvas=canvas, background=Background("transparent"), shadow=Shadow("contact"))
    finisher = Finisher(assets)
    shaded = read_png(finisher.finish_plain(files, spec).png)
    bare = read_png(finisher.finish_plain(files, replace(spec, shadow=Shadow("none"))).png)
    product = bare[..., 3] == 255
    assert np.array_equal(shaded[product], bare[product])
    below = (bare[..., 3] == 0) & (shaded[..., 3] > 0)
    assert below.sum() > 100
    assert not shaded[below][:, :3].any()  # the shadow is black, and its alpha is its darkness
    on_white = read_png(finisher.finish_plain(files, replace(spec, background=Background("white"))).png)
    share = shaded[..., 3:].astype(float) / 255
    flattened = shaded[..., :3] * share + 255 * (1 - share)
    assert np.abs(flattened - on_white).max() <= 2  # over white it is the picture on white


def test_a_wide_canvas_keeps_the_product_and_states_its_framing(
    assets: CountingAssets, keys: dict[str, tuple[str, str]]
) -> None:
    canvas, framing = Canvas(600, 120), Framing((112, 64), (0, 21, 112, 43), 2)
    files = files_of(keys, (LayerSpec(mask_id="a", scale=0.1),), canvas)
    placed = Finisher(assets).prepare(files, framing)
    assert placed.fitted.product.shape == (64, 112, 3)
    render = np.random.default_rng(1).integers(0, 255, (64, 112, 3), np.uint8)
    made = finish(placed.prepared, Painted(Render(render, 5), STAMP, {}), spec_of(canvas=canvas))
    found = {finding.check: finding for finding in made.verdict.findings}
    assert found["lock"].level == found["framing"].level == "ok"
    assert (
        "112x64 px in 2 overlapping windows, of which the canvas shows the middle 112x22 px" in found["framing"].detail
    )
    assert found["framing"].value == pytest.approx((120 * 112) / (600 * 22))
    assert found["enlargement"].value == pytest.approx(120 / 22)
