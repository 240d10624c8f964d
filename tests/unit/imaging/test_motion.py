"""Clips of finished pictures: a locked product, a scene that moves behind it, and files that players read."""

from __future__ import annotations

import io
import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image

from packshot.contract.clips import MOVES, Move
from packshot.errors import BadInput
from packshot.imaging.motion import encode
from packshot.imaging.motion.disparity import scene_disparity
from packshot.imaging.motion.encode import AnimatedWebP, encoder_for
from packshot.imaging.motion.frames import Frames, frame_size
from packshot.imaging.motion.plate import clean_plate
from packshot.types import U8, Flat

SIDE = 256
GROUND_ROW = 128
"""Where the set's ground ends."""
BOX = (96, 90, 160, 200)
"""The product's box, XYXY."""
LINE_X = 40
"""A white line on the wall."""


def a_picture(box: tuple[int, int, int, int] = BOX) -> tuple[U8, Flat]:
    """A red box with a soft edge on a grey ground before a green wall with one white line, and its layout."""
    rng = np.random.default_rng(7)
    scene = np.full((SIDE, SIDE, 3), (60, 120, 70), np.uint8)
    scene[:, LINE_X : LINE_X + 3] = 255
    scene[GROUND_ROW:] = 120
    scene[GROUND_ROW:] += rng.integers(0, 20, (SIDE - GROUND_ROW, SIDE, 1)).astype(np.uint8)
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    x0, y0, x1, y1 = box
    alpha[max(0, y0) : y1, max(0, x0) : x1] = 255
    alpha = np.asarray(cv2.blur(alpha, (3, 3)), np.uint8)
    red = np.full_like(scene, (190, 20, 15))
    red[::8, :, 0] = 230
    share = alpha[..., None] / 255.0
    picture = np.rint(red * share + scene * (1 - share)).astype(np.uint8)
    return picture, Flat(np.dstack([red, alpha]))


def a_clip(move: Move, box: tuple[int, int, int, int] = BOX, *, seconds: float = 1.0, side: int = SIDE) -> Frames:
    return Frames(*a_picture(box), move, seconds, 24, side)


def line_x(frame: U8) -> float:
    """Where the white line on the wall is seen, in pixels."""
    row = frame[40].astype(np.float64).sum(axis=1) - 400
    row = np.clip(row, 0, None)
    return float((row * np.arange(row.size)).sum() / row.sum())


def red_box(frame: U8) -> tuple[int, int, int, int]:
    """The product's box in a frame, XYXY."""
    x, y, wide, high = cv2.boundingRect(np.asarray(frame[..., 0].astype(int) - frame[..., 1] > 60, np.uint8))
    return x, y, x + wide, y + high


def test_the_first_frame_of_a_push_is_the_picture() -> None:
    picture, flat = a_picture()
    first = Frames(picture, flat, "push_in", 2.0, 24, SIDE).frame(0)
    opaque = flat.alpha == 255
    assert (first[opaque] == picture[opaque]).all()
    apart = np.abs(first.astype(int) - picture).max(axis=2)
    around = cv2.dilate(flat.alpha, np.ones((5, 5), np.uint8))
    assert apart[around == 0].max() <= 3
    assert apart.max() <= 20  # under the soft edge and beside it the scene is filled


def test_an_orbit_never_touches_the_product() -> None:
    clip = a_clip("orbit")
    x0, y0, x1, y1 = red_box(clip.frame(0))
    inside = np.s_[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4]
    assert all((clip.frame(index)[inside] == clip.frame(0)[inside]).all() for index in range(clip.count))


@pytest.mark.parametrize("move", MOVES)
def test_the_product_is_scaled_alike_on_both_axes(move: Move) -> None:
    clip = a_clip(move, side=2 * SIDE)
    for index in (0, clip.count // 2, clip.count - 1):
        x0, y0, x1, y1 = red_box(clip.frame(index))
        wide, high = (x1 - x0) / (BOX[2] - BOX[0]), (y1 - y0) / (BOX[3] - BOX[1])
        assert wide == pytest.approx(high, abs=0.05)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("box", [BOX, (0, 100, 50, 256), (200, 30, 250, 90), (10, 10, 246, 246)])
def test_no_frame_shows_what_lies_beyond_the_picture(move: Move, box: tuple[int, int, int, int]) -> None:
    clip = a_clip(move, box)
    for index in range(0, clip.count, 3):
        for seen in clip.sources(clip.camera.pose(index / (clip.count - 1))):
            inner = seen[2:-2, 2:-2]  # the grid reaches beyond the frame
            assert inner.min() >= -0.5
            assert inner.max() <= SIDE - 0.5


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("box", [BOX, (20, 60, 236, 240), (8, 8, 248, 248)])
def test_a_whole_product_stays_whole(move: Move, box: tuple[int, int, int, int]) -> None:
    clip = a_clip(move, box)
    for index in range(0, clip.count, 3):
        x0, y0, x1, y1 = red_box(clip.frame(index))
        assert x0 > 0
        assert y0 > 0
        assert x1 < SIDE
        assert y1 < SIDE


def test_the_wall_moves_behind_the_product() -> None:
    orbit, pan = a_clip("orbit", seconds=4), a_clip("pan", seconds=4)
    swayed = [line_x(orbit.frame(index)) for index in (24, 72)]
    assert abs(swayed[0] - swayed[1]) > 4
    glided = [(line_x(frame), red_box(frame)[0]) for frame in (pan.frame(0), pan.frame(95))]
    wall, product = (abs(first - last) for first, last in zip(*glided, strict=True))
    assert 2 < wall < 0.9 * product


def test_the_product_does_not_slide_over_its_ground() -> None:
    picture, flat = a_picture()
    disparity = scene_disparity(picture, flat.alpha)
    foot = round((BOX[3] - 2) * disparity.shape[0] / SIDE)
    assert np.abs(disparity[foot, 100:156] - 1).max() < 0.02
    assert disparity[10].max() < 0.95  # the wall is farther
    assert disparity[-1, 0] > 1.05  # what lies before it is nearer


def test_a_depth_map_decides_where_there_is_one() -> None:
    picture, flat = a_picture()
    depth = np.tile(np.linspace(0.0, 1.0, 64, dtype=np.float32), (64, 1))
    disparity = scene_disparity(picture, flat.alpha, depth)
    assert disparity[40, 20] < disparity[40, -20]
    assert not np.allclose(disparity, scene_disparity(picture, flat.alpha))


@pytest.mark.parametrize("move", MOVES)
def test_what_the_product_hid_is_filled_from_the_scene(move: Move) -> None:
    clip = a_clip(move, seconds=4)
    for index in (0, 24, 60, 72, 95):
        frame = clip.frame(index).astype(int)
        x0, y0, x1, y1 = red_box(clip.frame(index))
        outside = np.ones(frame.shape[:2], bool)
        outside[y0 - 3 : y1 + 3, x0 - 3 : x1 + 3] = False
        assert (frame[..., 0] - frame[..., 1])[outside].max() < 15


def test_a_plate_goes_on_behind_the_sides() -> None:
    picture, flat = a_picture()
    plate = clean_plate(picture, flat.alpha)
    beside = plate[GROUND_ROW - 12 : GROUND_ROW + 12, BOX[0] + 6].astype(int)
    assert beside[4, 1] - beside[4, 2] > 30  # the green wall
    assert np.ptp(beside[-4]) < 10  # the grey ground
    assert (plate[flat.alpha == 0] == picture[flat.alpha == 0]).all()


def test_an_orbit_ends_where_it_begins() -> None:
    clip = a_clip("orbit", seconds=2)
    steps = [float(np.abs(a.astype(int) - b).mean()) for a, b in zip(frames(clip), [*frames(clip)][1:], strict=False)]
    seam = float(np.abs(clip.frame(clip.count - 1).astype(int) - clip.frame(0)).mean())
    assert seam <= 1.2 * max(steps)


@pytest.mark.parametrize("move", MOVES)
def test_no_frame_jumps(move: Move) -> None:
    clip = a_clip(move, seconds=2)
    places = [line_x(frame) for frame in frames(clip)]
    speed = np.abs(np.diff(places))
    assert speed.max() < 3.0
    assert np.abs(np.diff(speed)).max() < 1.0


def frames(clip: Frames) -> list[U8]:
    return list(clip)


def test_sides_are_even_and_keep_the_aspect() -> None:
    assert frame_size((1024, 1024), 1080) == (1080, 1080)
    assert frame_size((1536, 1023), 1001) == (1000, 666)
    assert frame_size((4096, 64), 64) == (64, 2)


def test_a_picture_without_a_product_still_moves() -> None:
    picture, flat = a_picture()
    empty = Flat(np.zeros_like(flat.pixels))
    clip = Frames(picture, empty, "push_in", 1, 24, SIDE)
    assert np.abs(clip.frame(0).astype(int) - clip.frame(23)).mean() > 1


def test_another_layout_is_refused() -> None:
    picture, flat = a_picture()
    with pytest.raises(ValueError, match="one size"):
        Frames(picture[:100], flat, "pan", 1, 24, SIDE)


@pytest.mark.parametrize(("loops", "count"), [(True, 0), (False, 1)])
def test_a_webp_has_every_frame_and_the_right_length(loops: bool, count: int) -> None:
    clip = a_clip("orbit", seconds=2)
    encoder = encoder_for("webp", clip.size, 24, loops=loops)
    for frame in clip:
        encoder.add(frame)
    opened = Image.open(io.BytesIO(encoder.finish()))
    assert (getattr(opened, "n_frames", 1), opened.size, opened.info["loop"]) == (48, (SIDE, SIDE), count)
    shown_ms = 0
    for index in (0, 24, 47):
        opened.seek(index)
        seen = np.asarray(opened.convert("RGB")).astype(int)
        assert np.abs(seen - clip.frame(index)).mean() < 6
    for index in range(48):
        opened.seek(index)
        opened.load()
        shown_ms += opened.info["duration"]
    assert shown_ms == 2000


def test_memory_does_not_grow_with_the_frames() -> None:
    def peak(seconds: float) -> int:
        clip = a_clip("pan", seconds=seconds)
        encoder = AnimatedWebP(clip.size, 24, loops=False)
        tracemalloc.start()
        for frame in clip:
            encoder.add(frame)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - len(encoder.finish())

    peak(1)
    assert peak(4) < peak(1) + SIDE * SIDE * 3


def test_mp4_without_ffmpeg_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_ffmpeg_installed", lambda: False)
    with pytest.raises(BadInput, match=r"send format webp, or install 'packshot\[video\]'") as refused:
        encoder_for("mp4", (64, 64), 24, loops=False)
    assert refused.value.code == "video_not_installed"


def test_an_mp4_where_ffmpeg_is_installed_and_a_refusal_where_not() -> None:
    clip = a_clip("push_in", seconds=1)
    if not encode._ffmpeg_installed():
        with pytest.raises(BadInput, match="ffmpeg"):
            encoder_for("mp4", clip.size, 24, loops=False)
        return
    encoder = encoder_for("mp4", clip.size, 24, loops=False)
    for frame in clip:
        encoder.add(frame)
    data = encoder.finish()
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")  # it plays while it loads
    assert b"avc1" in data


def test_a_closed_encoder_frees_its_files() -> None:
    encoder = encoder_for("webp", (64, 64), 24, loops=True)
    encoder.add(np.zeros((64, 64, 3), np.uint8))
    encoder.close()
    encoder.close()
