"""A sampler of each request: as diffusers' own pipeline with that scheduler, in company of any others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch

from packshot.contract.shot_spec import Sampler
from packshot.errors import BadInput, PackRefused
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.samplers import CLASS_OF_SAMPLER, scheduler_of
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.engines.word_tokenizer import ClipTokenizer
from packshot.models.packs.manifest import read_manifest
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.types import Brief, EdgeMap, Kept, Render, Scene
from tests.tiny_pack import SIZE_PX, build_tiny_pack

torch.set_num_threads(1)
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
BRIEF = Brief("a marble table", "blurry text", seed=7, steps=5, guidance_scale=4.0, control_scale=0.8)
Make = Callable[..., DiffusionEngine]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """An engine over a tiny pack that lists every sampler; one of each family for all tests."""
    home, made = tmp_path_factory.mktemp("packs"), {}

    def engine(family: str) -> DiffusionEngine:
        if family not in made:
            build_tiny_pack(home / family, family, edit={"samplers": list(SAMPLERS)})
            made[family] = DiffusionEngine(find_pack(family, Settings(pack_path=str(home), home=home / "home")))
        return made[family]

    return engine


def scene(brief: Brief, size: tuple[int, int] = (SIZE_PX, SIZE_PX)) -> Scene:
    width, height = size
    rng = np.random.default_rng(brief.seed)
    repaint = np.full((height, width), 255, np.uint8)
    repaint[height // 4 : height // 2, width // 4 : width * 3 // 4] = 0
    product = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    edges = np.where(rng.random((height, width)) < 0.1, 255, 0).astype(np.uint8)
    return Scene(product, repaint, EdgeMap(edges), brief)


def run(engine: DiffusionEngine, *rows: Denoising) -> list[Render]:
    while not all(row.done for row in rows):
        engine.step(rows)
    return engine.decode(rows)


def published(engine: DiffusionEngine, wanted: Scene, sampler: Sampler) -> np.ndarray:
    """The latents of diffusers' own pipeline with that scheduler, made from the pack's own scheduler's config."""
    import diffusers
    from PIL import Image

    pack, brief = engine.pack, wanted.brief
    tokenizer, own = pack.tokenizer(), pack.load("scheduler")
    assert isinstance(tokenizer, ClipTokenizer)
    latent_space = {"clip_sample": False, "set_alpha_to_one": False} if sampler == "ddim" else {}
    scheduler = getattr(diffusers, CLASS_OF_SAMPLER[sampler]).from_config(own.config, **latent_space)
    pipeline = diffusers.StableDiffusionControlNetInpaintPipeline(
        **{role: pack.load(role) for role in ("text_encoder", "vae", "unet", "controlnet")},
        scheduler=own if sampler == "ddim" and type(own) is type(scheduler) else scheduler,
        tokenizer=tokenizer._tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    latents: dict[str, Any] = {}
    pipeline(
        prompt=brief.prompt,
        negative_prompt=brief.negative_prompt,
        image=Image.fromarray(wanted.product),
        mask_image=Image.fromarray(wanted.inpaint_mask),
        control_image=Image.fromarray(np.repeat(wanted.edge_map.pixels[..., None], 3, axis=2)),
        strength=1.0,
        num_inference_steps=brief.steps,
        guidance_scale=brief.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(brief.seed),
        controlnet_conditioning_scale=brief.control_scale,
        output_type="latent",
        callback_on_step_end=lambda *told: latents.update(told[-1]) or told[-1],
    )
    found: np.ndarray = latents["latents"].numpy()
    return found


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("family", ["sd15", "sd2"])
def test_each_sampler_equals_the_published_pipeline_with_its_scheduler(
    make: Make, family: str, sampler: Sampler
) -> None:
    """Latents within 1e-4 in fp32, for the same seed: noise and velocity, leading and trailing timesteps."""
    engine, wanted = make(family), scene(replace(BRIEF, sampler=sampler))
    row = engine.begin(wanted)
    run(engine, row)
    latents = published(engine, wanted, sampler)
    # LCM divides by the signal's share, 0.07: from random weights its latents are 15 times a real model's
    unit = max(1.0, float(latents.std())) if sampler == "lcm" else 1.0
    assert np.abs(row.latents.numpy() - latents).max() <= 1e-4 * unit


@pytest.mark.parametrize("family", ["mini", "sd15", "sdxl"])
def test_rows_of_other_samplers_share_steps_and_stay_themselves(make: Make, family: str) -> None:
    engine = make(family)
    choices: tuple[Sampler | None, ...] = (None, *SAMPLERS)
    scenes = [
        scene(
            replace(BRIEF, prompt="marble", seed=seed, steps=3 + seed % 3, guidance_scale=1.0 + seed % 2, sampler=one)
        )
        for seed, one in enumerate(choices)
    ]
    alone: list[torch.Tensor] = []
    for wanted in scenes:
        row = engine.begin(wanted)
        run(engine, row)
        alone.append(row.latents)
    first, *late = [engine.begin(wanted) for wanted in scenes]
    engine.step([first])
    run(engine, *late, first)
    for own, row in zip(alone, (first, *late), strict=True):
        scale = max(1.0, float(own.std()))
        torch.testing.assert_close(row.latents / scale, own / scale, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["mini", "sd15", "sdxl"])
def test_without_a_sampler_the_packs_scheduler_is_used_as_it_stands(make: Make, family: str) -> None:
    engine = make(family)
    own = engine.pack.load("scheduler")
    assert scheduler_of(own, None) is own
    (named,) = (name for name, of in CLASS_OF_SAMPLER.items() if of == type(own).__name__)
    assert scheduler_of(own, named) is own
    left_out, said = (engine.begin(scene(replace(BRIEF, sampler=sampler))) for sampler in (None, named))
    assert dict(left_out.scheduler.config) == dict(own.config)
    run(engine, left_out)
    run(engine, said)
    assert torch.equal(left_out.latents, said.latents)


def test_samplers_make_different_pictures(make: Make) -> None:
    engine = make("mini")
    made = [run(engine, engine.begin(scene(replace(BRIEF, sampler=one))))[0].pixels.tobytes() for one in SAMPLERS]
    assert len(set(made)) == len(SAMPLERS)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("family", ["mini", "sd15", "sdxl"])
def test_a_touchup_keeps_what_is_kept_with_every_sampler(make: Make, family: str, sampler: Sampler) -> None:
    engine, again = make(family), np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    again[:, SIZE_PX // 2 :] = 255
    picture = np.random.default_rng(3).integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    for strength in (1.0, 0.5):
        brief = replace(BRIEF, sampler=sampler, strength=strength, guidance_scale=1.0)
        row = engine.begin(replace(scene(brief), kept=Kept(picture, again)))
        run(engine, row)
        assert row.error is None
        assert row.known is not None
        kept = row.mask[0, 0] == 0
        assert torch.equal(row.latents[..., kept], row.known[..., kept])


@pytest.mark.parametrize("sampler", ["euler", "unipc", "dpmpp"])
def test_the_last_preview_is_near_the_render(make: Make, sampler: Sampler) -> None:
    """Of samplers that end without noise: the clean latents of the last step are the picture's."""
    for family in ("sd15", "sd2"):
        engine = make(family)
        brief = replace(BRIEF, sampler=sampler, steps=8, guidance_scale=1.0)
        row = engine.begin(scene(brief))
        (render,) = run(engine, row)
        assert np.abs(engine.preview(row).astype(int) - render.pixels.astype(int)).mean() < 10, family


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_clean_latents_between_two_timesteps_are_exact(make: Make) -> None:
    """Euler's timesteps of even spacing lie between the trained ones; the noise that it added is removed exactly."""
    engine = make("sd15")
    row = engine.begin(scene(replace(BRIEF, sampler="euler", steps=7, guidance_scale=1.0)))
    row.scheduler.register_to_config(timestep_spacing="linspace")
    row.scheduler.set_timesteps(7)
    row.timesteps = row.scheduler.timesteps
    row.index = 3
    assert float(row.timesteps[3]) % 1 > 0
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    sigma = row.scheduler.sigmas[3]
    scaled = (clean + sigma * noise) / (sigma**2 + 1) ** 0.5
    torch.testing.assert_close(engine._clean(row, scaled, noise), clean, atol=1e-4, rtol=0)


def test_a_wide_scene_continues_its_outline_with_any_sampler(make: Make) -> None:
    engine = make("mini")
    for sampler in SAMPLERS:
        (render,) = run(engine, engine.begin(scene(replace(BRIEF, sampler=sampler), (112, SIZE_PX))))
        assert render.pixels.shape == (SIZE_PX, 112, 3)
        assert render.pixels.std() > 1


def test_a_sampler_that_the_pack_does_not_list_is_refused(make: Make, tmp_path: Any) -> None:
    build_tiny_pack(tmp_path / "tiny", edit={"samplers": ["ddim"]})
    engine = DiffusionEngine(find_pack("tiny", Settings(pack_path=str(tmp_path), home=tmp_path / "home")))
    with pytest.raises(BadInput, match=r"sampler must be one .*\(ddim\), got lcm") as refused:
        engine.begin(scene(replace(BRIEF, sampler="lcm")))
    assert refused.value.code == "engine_cannot"
    assert engine.pack.summary().capabilities.samplers == ("ddim",)
    folder = build_tiny_pack(tmp_path / "sample", edit={"samplers": ["euler"], "prediction_type": "sample"})
    with pytest.raises(PackRefused, match="samplers must not have euler"):
        read_manifest(folder / "manifest.yaml")
    text = (find_pack("klein", Settings(home=tmp_path)).folder / "manifest.yaml").read_text("utf-8")
    (tmp_path / "manifest.yaml").write_text(f"{text}\nsamplers: [euler]\n")
    with pytest.raises(PackRefused, match="samplers are of the recipe unet_controlnet alone"):
        read_manifest(tmp_path / "manifest.yaml")
