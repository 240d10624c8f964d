"""Relit pictures are proved from the photo, the stored gain file and the picture, and delivered with that proof."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from packshot.contract.light import Reflection, Relight, Shadow
from packshot.contract.shot_spec import Background, Canvas, LayerSpec, ShotSpec
from packshot.contract.verdict import Finding
from packshot.delivery.presets import preset_named
from packshot.errors import BadInput, Conflict, NotFound
from packshot.imaging.codec import encode_bilevel_png, encode_png, read_png
from packshot.imaging.light.gain import encode_gain, read_gain
from packshot.settings import Settings
from packshot.shots import CutoutFiles, DeliveryOrder, Director, Finished, Finisher, LayoutFiles, Painted, Prepared
from packshot.shots.cutouts import view_cutout
from packshot.shots.finish import finish
from packshot.shots.layout import LayerFiles, draw_layout
from packshot.shots.relighting import load_gain, prove
from packshot.store.assets import Assets
from packshot.store.store import Store
from packshot.types import U8, Framing, Material, Render
from packshot.verdict.inspect import relit_lock
from tests.specs import STAMP, spec_of
from tests.understood import OPAQUE, understood
from tests.unit.shots.painter import Painter, accepted, now


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    return Assets(str(tmp_path))


def product(assets: Assets, random: np.random.Generator) -> CutoutFiles:
    """A noisy product of a random shape in a photo of 90x110 px."""
    photo = random.integers(0, 256, (90, 110, 3), np.uint8)
    mask = np.zeros((90, 110), np.uint8)
    corners = random.integers((10, 10), (100, 80), (6, 2))
    cv2.fillPoly(mask, [cv2.convexHull(corners.astype(np.int32))], (255,))
    return CutoutFiles(assets.put(encode_png(photo), ".png"), assets.put(encode_bilevel_png(mask), ".png"), lock_px=2)


def painted(random: np.random.Generator, size: tuple[int, int] = (96, 72)) -> Painted:
    """A smooth scene, brighter on one side."""
    rough = random.integers(60, 230, (3, 4, 3), np.uint8)
    return Painted(Render(np.asarray(cv2.resize(rough, size, interpolation=cv2.INTER_CUBIC), np.uint8), 5), STAMP, {})


def shot(
    assets: Assets,
    random: np.random.Generator,
    layers: tuple[LayerSpec, ...],
    cutouts: Sequence[CutoutFiles] = (),
    **changes: Any,
) -> tuple[LayoutFiles, ShotSpec, Prepared, Finished]:
    spec = replace(spec_of(canvas=Canvas(160, 120), relight=Relight(0.4)), layers=layers, **changes)
    cutouts = cutouts or [product(assets, random) for _ in layers]
    files = LayoutFiles(spec.canvas, tuple(map(LayerFiles, cutouts, layers)))
    prepared = Prepared(*draw_layout(assets, files), Framing.of_whole(96, 72))
    known = [understood(view_cutout(assets, one.cutout).pixels[..., 3]) for one in files.layers]
    return files, spec, prepared, finish(prepared, painted(random), spec, known)


def found(made: Finished) -> dict[str, Finding]:
    return {finding.check: finding for finding in made.verdict.findings}


def any_layer(random: np.random.Generator) -> LayerSpec:
    x, y = random.uniform(0.3, 0.7, 2)
    turn = random.choice([0.0, 90.0, random.uniform(-180, 180)])
    return LayerSpec(
        mask_id="a", x=x, y=y, scale=random.uniform(0.3, 1.1), rotation_deg=turn, flip=bool(random.integers(2))
    )


@pytest.mark.parametrize("shots", [60, pytest.param(200, marks=pytest.mark.soak)])
def test_every_relit_shot_is_proved_from_its_stored_files(assets: Assets, shots: int) -> None:
    """All of them: any placement, amount, shadow, reflection and scene, one or two products."""
    random = np.random.default_rng(20)
    shadows = (
        Shadow("none"),
        Shadow("contact"),
        Shadow("cast"),
        Shadow("cast", direction_deg=250.0, length=2.0),
        Shadow("floating", direction_deg=40.0),
    )
    proved = 0
    products = [product(assets, random) for _ in range(8)]
    for number in range(shots):
        layers = tuple(any_layer(random) for _ in range(1 + number % 2))
        _, _, prepared, made = shot(
            assets,
            random,
            layers,
            [products[(number + at) % len(products)] for at in range(len(layers))],
            canvas=Canvas(96, 72),
            relight=Relight(float(random.uniform(0, 1))),
            shadow=shadows[number % len(shadows)],
            reflection=Reflection() if number % 3 == 0 else None,
        )
        assert made.gain_png is not None
        key = assets.put(made.gain_png, ".png")
        picture = read_png(assets.get(assets.put(made.png, ".png")))
        finding = prove(assets, prepared.flat, picture, key)
        assert finding == found(made)["relit_lock"]
        assert "lock" not in found(made)
        proved += finding.level == "ok"
    assert proved == shots


def altered(picture: U8, alpha: U8) -> U8:
    """The picture with one opaque product pixel changed by the least step."""
    changed = picture.copy()
    y, x = np.argwhere(alpha == 255)[7]
    changed[y, x, 1] ^= 1
    return changed


def test_one_changed_pixel_of_the_product_or_a_changed_gain_breaks_the_lock(assets: Assets) -> None:
    _, _, prepared, made = shot(assets, np.random.default_rng(3), (LayerSpec(mask_id="a", scale=0.7),))
    assert made.gain_png is not None
    flat, picture = prepared.flat, read_png(made.png)
    assert relit_lock(flat, picture, made.gain_png).level == "ok"
    broken = relit_lock(flat, altered(picture, flat.alpha), made.gain_png)
    assert (broken.level, broken.value) == ("failed", 1)
    gain = read_gain(made.gain_png)
    other = replace(gain, values=np.where(gain.values > 32768, gain.values - 900, gain.values + 900).astype(np.uint16))
    assert relit_lock(flat, picture, encode_gain(other)).level == "failed"
    assert "cannot be read" in relit_lock(flat, picture, b"damaged").detail


def relit_order(assets: Assets, preset: str = "amazon-pt") -> tuple[Finisher, DeliveryOrder]:
    layers = (LayerSpec(mask_id="a", scale=0.7),)
    files, spec, _, made = shot(assets, np.random.default_rng(4), layers, canvas=Canvas(600, 600))
    assert made.gain_png is not None
    image, gain = assets.put(made.png, ".png"), assets.put(made.gain_png, ".png")
    return Finisher(assets), DeliveryOrder(image, spec, files, preset_named(preset), made.verdict, gain_key=gain)


def test_a_delivered_file_carries_the_proof(assets: Assets) -> None:
    finisher, order = relit_order(assets)
    [proof] = [finding for finding in finisher.deliver(order).findings if finding.check == "relit_lock"]
    assert proof.level == "ok"
    [lost] = [one for one in finisher.deliver(replace(order, layout=None)).findings if one.check == "relit_lock"]
    assert lost.level == "warning"
    assert "mask is not available" in lost.detail


def test_a_picture_that_was_altered_in_the_storage_is_not_delivered(assets: Assets) -> None:
    finisher, order = relit_order(assets)
    picture = read_png(assets.get(order.image_key))
    alpha = draw_layout(assets, order.layout)[0].alpha if order.layout else None
    assert alpha is not None
    forged = assets.put(encode_png(altered(picture, alpha)), ".png")
    with pytest.raises(BadInput, match=r"preset_unmet: .*1 of \d+ product pixels differ from round\(photo x gain\)"):
        finisher.deliver(replace(order, image_key=forged))


def test_a_gain_file_that_was_altered_or_lost_on_disk_is_told(assets: Assets, tmp_path: Path) -> None:
    finisher, order = relit_order(assets)
    assert order.gain_key is not None
    file = tmp_path / order.gain_key
    whole = file.read_bytes()
    for data in (whole[:-1], b"", encode_gain(replace(read_gain(whole), values=np.full((3, 3, 3), 32768, np.uint16)))):
        file.write_bytes(data)
        with pytest.raises(Conflict, match=r"gain_altered: .*altered in the storage; restore the file"):
            finisher.deliver(order)
        with pytest.raises(Conflict, match="gain_altered"):
            load_gain(assets, order.gain_key)
    file.unlink()
    with pytest.raises(NotFound):
        finisher.deliver(order)


def test_a_main_image_takes_no_relit_product(assets: Assets) -> None:
    finisher, order = relit_order(assets, "amazon-main")
    with pytest.raises(BadInput, match=r"preset_unmet: .*must have its photo's colours, got a relit product"):
        finisher.deliver(order)


def test_a_product_that_covers_the_canvas_is_not_relit_and_the_verdict_says_why(assets: Assets) -> None:
    random = np.random.default_rng(6)
    layers = (LayerSpec(mask_id="a", scale=4.0),)
    files = LayoutFiles(Canvas(64, 64), (LayerFiles(product(assets, random), layers[0]),))
    spec = replace(spec_of(canvas=Canvas(64, 64), relight=Relight()), layers=layers)
    made = Finisher(assets).finish_plain(files, spec)
    assert made.gain_png is None
    assert found(made)["relight"].level == "warning"
    assert found(made)["lock"].level == "ok"
    plain = Finisher(assets).finish_plain(files, replace(spec, relight=None, background=Background("white")))
    assert "relight" not in found(plain)


def test_a_shot_without_relight_is_the_same_as_before(assets: Assets) -> None:
    _, _, _, made = shot(assets, np.random.default_rng(8), (LayerSpec(mask_id="a"),), relight=None)
    assert made.gain_png is None
    assert {"lock"} == {"lock", "relit_lock", "relight"} & set(found(made))


@pytest.mark.parametrize(
    ("material", "relit"), [(Material("metal", 0.8), True), (Material("glass", 0.8), False), (OPAQUE, True)]
)
def test_a_relit_shot_asks_for_its_geometry_and_commits_its_gain(
    store: Store, spec_for: Callable[..., ShotSpec], settings: Settings, material: Material, relit: bool
) -> None:
    painter = Painter(store)
    painter.material = material
    shot_id = accepted(store, spec_for(images=2, relight=Relight(0.5)))
    assert asyncio.run(Director(store, painter, settings, worker="w").run_next()) == shot_id
    done = now(store, shot_id)
    assert len(painter.understood) == 1
    for image in done.images:
        checks = {finding.check: finding.level for finding in image.verdict.findings}
        assert (image.gain_key is not None) is relit
        assert checks["material"] == ("warning" if material.needs_care else "ok")
        assert checks["relit_lock" if relit else "lock"] == "ok"
        assert ("relit_lock" in checks) is relit
        if image.gain_key is not None:
            assert read_gain(load_gain(store.assets, image.gain_key))
