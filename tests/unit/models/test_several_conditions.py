"""Several conditions at once: as diffusers adds them, for the rows that have them, in any company."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from packshot.contract.shot_spec import Condition, ConditionKind
from packshot.errors import BadInput
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.engines.word_tokenizer import ClipTokenizer
from packshot.models.packs.pack import find_pack
from packshot.models.packs.roles import CONTROL_ROLES
from packshot.settings import Settings
from packshot.types import Brief, ConditionMaps, EdgeMap, Render, Scene
from tests.tiny_pack import SIZE_PX, build_tiny_pack

torch.set_num_threads(1)
KINDS: tuple[ConditionKind, ...] = ("depth", "normal", "segmentation", "pose")
BRIEF = Brief("a marble table", "blurry text", seed=7, steps=4, guidance_scale=7.5, control_scale=0.8)
DEPTH = Condition(kind="depth", scale=0.6)
NORMAL = Condition(kind="normal", scale=1.2, start=0.25, end=0.75)
SEGMENTATION = Condition(kind="segmentation", scale=0.5, end=0.5)
POSE = Condition(kind="pose", scale=0.9)
Make = Callable[..., DiffusionEngine]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """An engine over a tiny pack with every ControlNet; one of each kind for all tests."""
    home, made = tmp_path_factory.mktemp("packs"), {}

    def engine(family: str = "sd15", *, inpaints: bool = True, freeze: bool = False) -> DiffusionEngine:
        name = f"{family}-{'inpaint' if inpaints else 'plain'}"
        if (name, freeze) not in made:
            if not (home / name).exists():
                build_tiny_pack(home / name, family, inpaints=inpaints, controls=KINDS)
            pack = find_pack(name, Settings(pack_path=str(home), home=home / "home"))
            made[name, freeze] = DiffusionEngine(pack, freeze=freeze)
        return made[name, freeze]

    return engine


def scene(brief: Brief, size: tuple[int, int] = (SIZE_PX, SIZE_PX)) -> Scene:
    """A noisy product in the middle of grey, whose edges and maps are noise too."""
    width, height = size
    rng = np.random.default_rng(brief.seed)
    repaint = np.full((height, width), 255, np.uint8)
    repaint[height // 4 : height // 2, width // 4 : width * 3 // 4] = 0
    product, normal, segmentation = rng.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    depth = rng.integers(0, 256, (height, width), dtype=np.uint8)
    edges = np.where(rng.random((height, width)) < 0.1, 255, 0).astype(np.uint8)
    pose = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Scene(product, repaint, EdgeMap(edges), brief, ConditionMaps(depth, normal, segmentation, pose))


def run(engine: DiffusionEngine, *rows: Denoising) -> list[Render]:
    while not all(row.done for row in rows):
        engine.step(rows)
    return engine.decode(rows)


def published(engine: DiffusionEngine, wanted: Scene) -> np.ndarray:
    """The latents of diffusers' own pipeline with its MultiControlNetModel over the same weights, same seed."""
    from diffusers import StableDiffusionControlNetInpaintPipeline
    from PIL import Image

    pack, brief = engine.pack, wanted.brief
    tokenizer = pack.tokenizer()
    assert isinstance(tokenizer, ClipTokenizer)
    pictures: dict[ConditionKind, np.ndarray] = {"canny": wanted.edge_map.pixels, **wanted.maps.made}
    asked = brief.all_conditions
    pipeline = StableDiffusionControlNetInpaintPipeline(
        **{role: pack.load(role) for role in ("text_encoder", "vae", "unet", "scheduler")},
        controlnet=[pack.load(CONTROL_ROLES[kind]) for kind in asked],
        tokenizer=tokenizer._tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    latents = {}
    pipeline(
        prompt=brief.prompt,
        negative_prompt=brief.negative_prompt,
        image=Image.fromarray(wanted.product),
        mask_image=Image.fromarray(wanted.inpaint_mask),
        control_image=[Image.fromarray(pictures[kind]).convert("RGB") for kind in asked],
        strength=1.0,
        num_inference_steps=brief.steps,
        guidance_scale=brief.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(brief.seed),
        controlnet_conditioning_scale=[one.scale for one in asked.values()],
        control_guidance_start=[one.start for one in asked.values()],
        control_guidance_end=[one.end for one in asked.values()],
        output_type="np",
        callback_on_step_end=lambda *told: latents.update(told[-1]) or told[-1],
    )
    found: np.ndarray = latents["latents"].numpy()
    return found


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "brief",
    [
        replace(BRIEF, conditions=(DEPTH,)),
        replace(BRIEF, conditions=(DEPTH, NORMAL), guidance_scale=1.0),
        replace(BRIEF, conditions=(DEPTH, NORMAL, SEGMENTATION), control_end=0.5),
        replace(BRIEF, conditions=(POSE, NORMAL, SEGMENTATION), control_scale=0.0),
    ],
    ids=["depth", "unguided", "all", "no edges"],
)
@pytest.mark.parametrize(("family", "inpaints"), [("sd15", True), ("sd2", False)])
def test_conditions_add_up_as_in_the_published_pipeline(make: Make, family: str, inpaints: bool, brief: Brief) -> None:
    """Latents within 1e-4 in fp32, for the same seed."""
    engine = make(family, inpaints=inpaints)
    wanted = scene(brief)
    row = engine.begin(wanted)
    run(engine, row)
    assert np.abs(row.latents.numpy() - published(engine, wanted)).max() <= 1e-4


MIXED = [
    Brief("marble table", "blurry", seed=1, steps=2, guidance_scale=7.5, conditions=(DEPTH,)),
    Brief("sand", "", seed=2, steps=5, guidance_scale=1.0, control_scale=1.5),
    Brief("soft light", "text", seed=3, steps=4, guidance_scale=3.0, control_scale=0.0, conditions=(NORMAL, DEPTH)),
    Brief("wood", "", seed=4, steps=3, guidance_scale=0.0, control_scale=0.0),
    Brief("wood", "blurry", seed=5, steps=4, guidance_scale=2.0, conditions=(SEGMENTATION,), control_start=0.5),
]


@pytest.mark.parametrize(("family", "freeze"), [("mini", False), ("mini", True), ("sd15", False)])
def test_a_row_in_company_of_other_conditions_equals_itself_alone(make: Make, family: str, freeze: bool) -> None:
    """Each picture stays within 1/255 of its own, traced or not, and in calls of three rows."""
    plain, engine = make(family), make(family, freeze=freeze)
    scenes = [scene(brief) for brief in MIXED]
    alone = [run(plain, plain.begin(one))[0] for one in scenes]
    first, *late = [engine.begin(one) for one in scenes]
    engine.step([first])
    rows = [*late, first]
    while not all(row.done for row in rows):
        engine.step(rows, max_rows=3 if rows[0].index % 2 else 100)
    for own, shared in zip(alone, engine.decode([first, *late]), strict=True):
        assert own.seed == shared.seed
        assert np.abs(own.pixels.astype(int) - shared.pixels.astype(int)).max() <= 1


def test_every_condition_and_its_map_matter(make: Make) -> None:
    engine = make("mini")
    base = scene(replace(BRIEF, prompt="marble", conditions=(DEPTH, NORMAL, SEGMENTATION, POSE)))
    (reference,) = run(engine, engine.begin(base))
    asked, made = base.brief.conditions, base.maps.made
    others: dict[str, Scene] = {}
    for kind in KINDS:
        maps = {str(name): 255 - pixels if name == kind else pixels for name, pixels in made.items()}
        others[f"{kind} map"] = replace(base, maps=ConditionMaps(**maps))
        without = tuple(one for one in asked if one.kind != kind)
        others[f"no {kind}"] = replace(base, brief=replace(base.brief, conditions=without))
    for name, other in others.items():
        (render,) = run(engine, engine.begin(other))
        assert not np.array_equal(render.pixels, reference.pixels), name


def test_a_net_takes_only_the_rows_that_have_its_condition_now(make: Make) -> None:
    engine = make("mini")
    seen: list[tuple[str, int]] = []
    networks: dict[str, Any] = {
        "unet": engine._unet,
        **{str(role): net for role, net in engine._networks.controlnets.items()},
    }
    hooks = [
        network.register_forward_pre_hook(lambda _, args, name=name: seen.append((name, len(args[0]))))
        for name, network in networks.items()
    ]
    engine.step([engine.begin(scene(brief)) for brief in MIXED])
    for hook in hooks:
        hook.remove()
    # canny: seeds 1 and 2 (seed 5 starts later); depth: seeds 1 and 3; segmentation: seed 5; normal starts later
    assert seen == [("controlnet", 3), ("controlnet_depth", 4), ("controlnet_segmentation", 2), ("unet", 8)]


def test_a_condition_that_a_scene_lacks_changes_nothing(make: Make) -> None:
    """With the weight 0, in its window or not, the latents are those of a scene that never heard of it."""
    engine = make("mini")
    plain = engine.begin(scene(replace(BRIEF, prompt="sand")))
    unheard = replace(BRIEF, prompt="sand", conditions=(replace(DEPTH, scale=0.0), replace(NORMAL, start=1.0, end=1.0)))
    other = engine.begin(scene(unheard))
    run(engine, plain)
    run(engine, other)
    assert torch.equal(plain.latents, other.latents)


def test_a_wide_scene_takes_its_conditions_into_its_windows(make: Make) -> None:
    engine = make("mini")
    brief = replace(BRIEF, prompt="sand", conditions=(DEPTH, NORMAL))
    wide = scene(brief, (112, SIZE_PX))
    (render,) = run(engine, engine.begin(wide))
    (again,) = run(engine, engine.begin(replace(wide, maps=replace(wide.maps, depth=255 - wide.maps.made["depth"]))))
    assert render.pixels.shape == (SIZE_PX, 112, 3)
    assert not np.array_equal(render.pixels, again.pixels)


def test_traced_conditions_are_traced_before_the_first_scene(make: Make) -> None:
    engine = make("mini", freeze=True)
    engine.step_seconds((1,))
    assert all(network._trace is not None for network in engine._networks._residuals.values())


@pytest.mark.parametrize(
    ("condition", "code", "told"),
    [
        (replace(DEPTH, scale=float("nan")), "invalid_request", "depth_scale"),
        (replace(DEPTH, scale=3.0), "invalid_request", "depth_scale must be between 0 and 2"),
        (replace(DEPTH, start=0.8, end=0.2), "invalid_request", "depth_end"),
    ],
)
def test_a_condition_beyond_the_limits_is_refused(make: Make, condition: Condition, code: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as refused:
        make("mini").begin(scene(replace(BRIEF, conditions=(condition,))))
    assert refused.value.code == code


def test_a_condition_without_a_network_is_refused(tmp_path: Path) -> None:
    build_tiny_pack(tmp_path / "tiny", controls=("depth",))
    engine = DiffusionEngine(find_pack("tiny", Settings(pack_path=str(tmp_path), home=tmp_path / "home")))
    with pytest.raises(BadInput, match=r"serves \(canny, depth\), got pose; leave it out") as refused:
        engine.begin(scene(replace(BRIEF, conditions=(POSE,))))
    assert refused.value.code == "engine_cannot"


def test_a_condition_without_its_map_is_refused(make: Make) -> None:
    wanted = replace(scene(replace(BRIEF, conditions=(DEPTH,))), maps=ConditionMaps())
    with pytest.raises(BadInput, match="got depth without one"):
        make("mini").begin(wanted)


def test_maps_of_another_size_than_the_scene_are_no_scene() -> None:
    wanted = scene(BRIEF)
    with pytest.raises(TypeError, match="depth map must share height and width"):
        replace(wanted, maps=ConditionMaps(depth=np.zeros((8, 8), np.uint8)))
    with pytest.raises(TypeError, match="one size"):
        ConditionMaps(np.zeros((8, 8), np.uint8), np.zeros((9, 8, 3), np.uint8))
