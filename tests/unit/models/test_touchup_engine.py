"""A scene that keeps a part of a finished picture: what is kept comes back, and strength says how much is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from packshot.errors import BadInput
from packshot.models.engines.schedule import HARMONISED, Schedule
from packshot.models.engines.unet_controlnet import Denoising, DiffusionEngine
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.types import Brief, EdgeMap, Kept, Render, Scene
from tests.tiny_pack import SIZE_PX, build_tiny_pack

torch.set_num_threads(1)
HALF = SIZE_PX // 2


@pytest.fixture(scope="module", params=[("mini", True, None), ("sd15", True, None), ("sd15", False, "EulerDiscrete")])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DiffusionEngine:
    family, inpaints, scheduler = request.param
    home: Path = tmp_path_factory.mktemp("packs")
    scheduler = scheduler and f"{scheduler}Scheduler"
    build_tiny_pack(home / "tiny", family, inpaints=inpaints, scheduler=scheduler)
    return DiffusionEngine(find_pack("tiny", Settings(pack_path=str(home), home=home / "home")))


def scene(seed: int = 7, strength: float = 1.0, steps: int = 4) -> Scene:
    """The right half of a picture of noise is painted anew; there is no product."""
    picture = np.random.default_rng(3).integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    repaint = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    repaint[:, HALF:] = 255
    nothing = np.full((SIZE_PX, SIZE_PX), 255, np.uint8)
    brief = Brief("marble table", seed=seed, steps=steps, strength=strength)
    grey = np.full((SIZE_PX, SIZE_PX, 3), 127, np.uint8)
    return Scene(grey, nothing, EdgeMap(nothing // 255), brief, kept=Kept(picture, repaint))


def run(engine: DiffusionEngine, *rows: Denoising) -> list[Render]:
    while not all(row.done for row in rows):
        engine.step(rows)
    return engine.decode(rows)


def test_what_is_kept_ends_as_the_pictures_own_latents(engine: DiffusionEngine) -> None:
    one, other = engine.begin(scene(7)), engine.begin(scene(8))
    run(engine, one, other)
    assert one.known is not None
    kept = one.mask[0, 0] == 0
    assert torch.equal(one.latents[..., kept], one.known[..., kept])
    assert not torch.equal(one.latents[..., ~kept], other.latents[..., ~kept])


def test_a_touchup_is_the_same_alone_and_in_company(engine: DiffusionEngine) -> None:
    (alone,) = run(engine, engine.begin(scene(7)))
    shot = replace(scene(9, steps=9), kept=None)
    company, *_ = run(engine, engine.begin(scene(7)), engine.begin(shot), engine.begin(scene(5, strength=0.5)))
    assert np.abs(alone.pixels.astype(int) - company.pixels).max() <= 1


def test_strength_is_the_part_of_the_schedule_that_is_run(engine: DiffusionEngine) -> None:
    def shift(strength: float) -> float:
        row = engine.begin(scene(7, strength, steps=10))
        run(engine, row)
        assert row.known is not None
        return float((row.latents - row.known).abs().mean())

    steps = [engine.begin(scene(7, strength, steps=10)) for strength in (1.0, 0.5, 0.1, 0.01)]
    left = [row.steps - row.index for row in steps]
    assert left == sorted(left, reverse=True)
    assert left[-1] == left[-2] == 1
    assert steps[0].steps in (10, 10 + (HARMONISED - 1) * 7)
    assert shift(0.1) < shift(1.0)


@pytest.mark.parametrize("strength", [0.0, 2.0, float("nan")])
def test_a_strength_out_of_range_is_refused(engine: DiffusionEngine, strength: float) -> None:
    with pytest.raises(BadInput, match="strength"):
        engine.begin(scene(7, strength))


def test_conditions_keep_their_part_of_the_schedule_where_steps_are_repeated() -> None:
    schedule = Schedule.of(torch.tensor([900, 600, 300, 0]), strength=0.75, harmonises=True)
    assert schedule.timesteps.tolist() == [900] * 3 + [600] * 3 + [300] * 3 + [0]
    assert schedule.index == 3, "at strength 0.75 the first timestep is left out"
    assert schedule.spread("abcd") == tuple("aaabbbcccd")
    assert schedule.again == (True, True, False) * 3 + (False,)
