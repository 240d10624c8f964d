"""A scene of several windows: one picture in any company, by every scheduler, in calls of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from packshot.batching import RenderBatcher
from packshot.errors import BadInput, EngineFailed
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.engines.windows import Windows, squeezed
from packshot.models.packs.framing import Tiling, outline_steps
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.types import Brief, EdgeMap, Render, Scene
from tests.tiny_pack import SIZE_PX, build_tiny_pack

torch.set_num_threads(1)
WIDE = (112, SIZE_PX)
"""Two windows of 64 x 64 px, which overlap by 16."""
BRIEF = Brief("marble table", "blurry", seed=7, steps=4, guidance_scale=3.0)
Make = Callable[..., DiffusionEngine]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    home, made = tmp_path_factory.mktemp("packs"), {}

    def engine(family: str = "mini", *, inpaints: bool = True, scheduler: str | None = None) -> DiffusionEngine:
        name = f"{family}-{inpaints}-{scheduler}".lower()
        if name not in made:
            build_tiny_pack(home / name, family, inpaints=inpaints, scheduler=scheduler)
            made[name] = DiffusionEngine(find_pack(name, Settings(pack_path=str(home), home=Path(home) / "home")))
        return made[name]

    return engine


def scene(brief: Brief = BRIEF, size: tuple[int, int] = WIDE) -> Scene:
    width, height = size
    rng = np.random.default_rng(brief.seed)
    repaint = np.full((height, width), 255, np.uint8)
    repaint[height // 4 : height // 2, width // 4 : width // 2] = 0
    product = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    edges = np.where(rng.random((height, width)) < 0.1, 255, 0).astype(np.uint8)
    return Scene(product, repaint, EdgeMap(edges), brief)


def run(engine: DiffusionEngine, *rows: Denoising, max_rows: int = 1 << 30) -> list[Render]:
    while not all(row.done for row in rows):
        engine.step(rows, max_rows)
    return engine.decode(rows)


def difference(one: Render, other: Render) -> int:
    return int(np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max())


SCHEDULERS = [
    ("mini", True, None),
    ("mini", True, "DDIMScheduler"),
    ("sd15", True, "UniPCMultistepScheduler"),
    ("sd15", False, "DPMSolverMultistepScheduler"),
    ("sd15", False, "EulerDiscreteScheduler"),
    ("sd15", True, "LCMScheduler"),
]


@pytest.mark.parametrize(("family", "inpaints", "scheduler"), SCHEDULERS)
def test_a_wide_scene_in_company_equals_itself_alone(
    make: Make, family: str, inpaints: bool, scheduler: str | None
) -> None:
    """A wide scene shares each call with the window-sized scene of another request, and with a wider one."""
    engine = make(family, inpaints=inpaints, scheduler=scheduler)
    scenes = [
        scene(),
        scene(replace(BRIEF, seed=2, guidance_scale=1.0, control_scale=0.0), (SIZE_PX, SIZE_PX)),
        scene(replace(BRIEF, seed=3, steps=5, control_end=0.5), (160, SIZE_PX)),
    ]
    assert len({engine.batch_key(one) for one in scenes}) == 1
    assert [engine.rows(one) for one in scenes] == [4, 1, 6]
    alone = [run(engine, engine.begin(one))[0] for one in scenes]
    together = run(engine, *(engine.begin(one) for one in scenes))
    few = run(engine, *(engine.begin(one) for one in scenes), max_rows=3)
    for wanted, own, shared, split in zip(scenes, alone, together, few, strict=True):
        assert own.pixels.shape == (wanted.size[1], wanted.size[0], 3)
        assert difference(own, shared) <= 1
        assert difference(own, split) <= 1
        assert own.pixels.std() > 1, "an even picture would agree with anything"


def test_the_same_wide_request_gives_the_same_bytes(make: Make) -> None:
    first, second = (run(make(), make().begin(scene()))[0].pixels for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("steps", [1, 4])
def test_every_input_of_a_wide_scene_matters(make: Make, steps: int) -> None:
    """With one step there is no outline, so this also holds for the windows' own prompt, edges, mask and scale."""
    engine, base = make(), scene(replace(BRIEF, steps=steps))
    (reference,) = run(engine, engine.begin(base))
    right = base.edge_map.pixels.copy()
    right[:, 96:] = 255 - right[:, 96:]  # only the second window sees these edges
    others = {
        "seed": replace(base, brief=replace(base.brief, seed=8)),
        "prompt": replace(base, brief=replace(base.brief, prompt="sand stone")),
        "guidance": replace(base, brief=replace(base.brief, guidance_scale=1.5)),
        "control": replace(base, brief=replace(base.brief, control_scale=0.0)),
        "edges": replace(base, edge_map=EdgeMap(right)),
        "mask": replace(base, inpaint_mask=255 - base.inpaint_mask),
    }
    for name, other in others.items():
        assert difference(run(engine, engine.begin(other))[0], reference) > 0, name


def test_the_outline_takes_one_window_and_the_rest_takes_all(make: Make) -> None:
    engine, rows = make(), []
    hook = engine._unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    row = engine.begin(scene(replace(BRIEF, steps=8)))
    previews = [engine.preview(row).shape]
    while not row.done:
        engine.step([row])
        previews.append(engine.preview(row).shape)
    hook.remove()
    assert rows == [2] * outline_steps(8) + [4] * (8 - outline_steps(8))
    assert len(set(previews)) == 1, "the outline is shown at the scene's own aspect ratio"
    assert row.outline is None


def test_a_wide_scene_that_is_not_numbers_fails_alone(make: Make) -> None:
    engine = make()
    good, bad = engine.begin(scene(size=(SIZE_PX, SIZE_PX))), engine.begin(scene())
    assert bad.outline is not None
    bad.outline.latents = torch.full_like(bad.outline.latents, float("nan"))
    engine.step([bad, good])
    assert isinstance(bad.error, EngineFailed)
    assert bad.error.code == "engine_nan"
    assert good.error is None


def test_a_size_that_no_windows_have_is_refused(make: Make) -> None:
    with pytest.raises(BadInput, match="windows"):
        make().begin(scene(size=(104, SIZE_PX)))


async def test_a_wide_scene_that_runs_out_of_memory_is_painted_in_smaller_calls(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, calls = make(), []
    (alone,) = run(engine, engine.begin(scene()))
    network = engine._networks.controlled

    def small(*inputs: torch.Tensor) -> torch.Tensor:
        calls.append(len(inputs[0]))
        if len(inputs[0]) > 1:
            raise torch.OutOfMemoryError("two rows do not fit")
        out: torch.Tensor = network(*inputs)
        return out

    monkeypatch.setattr(engine._networks, "controlled", small)
    batcher = RenderBatcher(engine, max_rows=8)
    rendered = await batcher.render(scene())
    batcher.close()
    assert calls[:2] == [2, 2], "the outline has two rows: first four and then two rows are allowed for a call"
    assert set(calls[2:]) == {1}
    assert difference(rendered.render, alone) <= 1


def test_merging_what_was_split_gives_the_whole_back() -> None:
    whole = torch.randn(1, 3, 8, 44)
    for tiling in (Tiling((352, 64), (64, 64), 7), Tiling((352, 64), (128, 64), 3)):
        windows = Windows.of(tiling, 8)
        assert torch.allclose(windows.merge(windows.split(whole)), whole, atol=1e-6)


def test_windows_fade_into_each_other_without_a_step() -> None:
    """Two windows that disagree by 1: no neighbouring columns differ by more than the ramp's slope."""
    windows = Windows.of(Tiling((448, 256), (256, 256), 2), 8)
    merged = windows.merge(torch.stack([torch.zeros(1, 32, 32), torch.ones(1, 32, 32)]))
    steps = merged[0, 0, 0].diff()
    assert (steps >= 0).all()
    assert steps.max() <= 0.2


def test_a_squeezed_scene_keeps_thin_edges() -> None:
    wide = scene()
    edges = np.zeros_like(wide.edge_map.pixels)
    edges[:, 51] = 255
    small = squeezed(replace(wide, edge_map=EdgeMap(edges)), (SIZE_PX, SIZE_PX))
    assert small.size == (SIZE_PX, SIZE_PX)
    assert (small.edge_map.pixels.max(axis=1) == 255).all()
    assert set(np.unique(small.inpaint_mask)) <= {0, 255}
