"""Every canvas shows an unstretched scene, and ordinary canvases show the bucket that they always did."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from packshot.contract.shot_spec import Background, Canvas
from packshot.models.packs.framing import MAX_STRETCH, MAX_WINDOWS, OVERLAP, outline_steps, row_steps, tilings
from packshot.models.packs.manifest import PackManifest
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.types import Framing
from tests.specs import spec_of

LEAST, MOST = 64, 4096
"""The sides that a request allows, in pixels (packshot.contract.requests.CanvasIn)."""
SIDES = sorted(
    {LEAST, MOST, 333, 400, 500, 1000, 1120, 1500, 2000, 3000, *(round(64 * 2 ** (i / 2)) for i in range(13))}
)


@pytest.fixture(scope="module", params=["mini", "sd15", "sd2", "sdxl", "klein", "zimage"])
def manifest(request: pytest.FixtureRequest) -> PackManifest:
    return find_pack(request.param, Settings()).manifest


def test_row_steps_are_the_rows_that_the_engines_steps_have(manifest: PackManifest) -> None:
    for canvas, images, guidance in (
        (Canvas(1024, 1024), 3, 7.5),
        (Canvas(4096, 600), 2, 7.5),
        (Canvas(64, 900), 1, 1),
    ):
        spec = replace(spec_of("mk"), canvas=canvas, images=images, steps=20, guidance_scale=guidance)
        windows, rows = manifest.framing(canvas).windows, 2 if guidance > 1 else 1
        steps = [1 if step < outline_steps(20) else windows for step in range(20)]
        assert row_steps(spec, manifest.summary()) == images * rows * sum(steps)
        assert row_steps(replace(spec, background=Background("white")), manifest.summary()) == 0


def test_no_allowed_canvas_stretches_its_scene(manifest: PackManifest) -> None:
    for width in SIDES:
        for height in SIDES:
            framing = manifest.framing(Canvas(width, height))
            x0, y0, x1, y1 = framing.shown_xyxy
            assert framing.stretch((width, height)) <= MAX_STRETCH, (width, height, framing)
            assert 0 <= x0 < x1 <= framing.size[0], framing
            assert 0 <= y0 < y1 <= framing.size[1], framing
            tiling = manifest.tiling(*framing.size)
            assert tiling is not None, framing
            assert tiling.window in manifest.buckets
            assert tiling.count == framing.windows <= MAX_WINDOWS


def test_a_canvas_near_a_buckets_aspect_shows_that_bucket_whole(manifest: PackManifest) -> None:
    whole = 0
    for width, height in manifest.buckets:
        for canvas in (Canvas(2 * width, 2 * height), Canvas(2 * width, round(2.1 * height))):
            nearest = Framing.of_whole(*manifest.bucket(canvas.width, canvas.height))
            if nearest.stretch((canvas.width, canvas.height)) <= MAX_STRETCH:
                assert manifest.framing(canvas) == nearest
                whole += 1
    assert whole >= len(manifest.buckets)


def test_a_canvas_and_its_transpose_are_framed_alike(manifest: PackManifest) -> None:
    for width, height in ((2000, 400), (1500, 500), (4096, 64), (1000, 1120)):
        wide, tall = manifest.framing(Canvas(width, height)), manifest.framing(Canvas(height, width))
        assert wide.size == tall.size[::-1]
        assert wide.windows == tall.windows


@pytest.mark.parametrize(
    ("canvas", "size", "windows"),
    [
        (Canvas(1024, 1024), (256, 256), 1),
        (Canvas(1000, 1120), (256, 320), 1),
        (Canvas(1500, 500), (448, 256), 2),
        (Canvas(2000, 400), (560, 256), 2),
        (Canvas(400, 2000), (256, 560), 2),
    ],
)
def test_the_embedded_pack_paints_a_wide_canvas_in_few_windows(
    canvas: Canvas, size: tuple[int, int], windows: int
) -> None:
    framing = find_pack("mini", Settings()).manifest.framing(canvas)
    assert (framing.size, framing.windows) == (size, windows)


def test_windows_overlap_and_cover_their_scene(manifest: PackManifest) -> None:
    for size, tiling in tilings(manifest.buckets).items():
        for side, window in zip(size, tiling.window, strict=True):
            if side > window:
                stride = (side - window) / (tiling.count - 1)
                assert window - stride >= math.floor(OVERLAP * window)
            else:
                assert side == window
