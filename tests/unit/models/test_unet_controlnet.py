"""The denoising recipe: equal to the published pipeline, and the same in any company."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from packshot.errors import BadInput, EngineFailed, PackRefused
from packshot.models.device import model_thread
from packshot.models.engines.step_networks import Frozen
from packshot.models.engines.unet_controlnet import Denoising, DiffusionEngine
from packshot.models.engines.word_tokenizer import ClipTokenizer, WordTokenizer, read_prompt
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.types import Brief, EdgeMap, Render, Scene
from tests.tiny_pack import SIZE_PX, build_tiny_pack

torch.set_num_threads(1)
Make = Callable[..., DiffusionEngine]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """An engine over a tiny pack; one of each kind for all tests."""
    home, made = tmp_path_factory.mktemp("packs"), {}

    def engine(family: str, *, inpaints: bool = True, scheduler: str | None = None) -> DiffusionEngine:
        name = f"{family}-{'inpaint' if inpaints else 'plain'}-{scheduler or 'own'}".lower()
        if name not in made:
            build_tiny_pack(home / name, family, inpaints=inpaints, scheduler=scheduler)
            made[name] = DiffusionEngine(find_pack(name, Settings(pack_path=str(home), home=home / "home")))
        return made[name]

    return engine


def scene(brief: Brief | None = None, size: tuple[int, int] = (SIZE_PX, SIZE_PX), texture: int = 0) -> Scene:
    """A noisy product in the middle of grey, its edges noise too."""
    width, height = size
    rng = np.random.default_rng(texture)
    repaint = np.full((height, width), 255, np.uint8)
    repaint[height // 4 : height // 2, width // 4 : width * 3 // 4] = 0
    product = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    edges = np.where(rng.random((height, width)) < 0.1, 255, 0).astype(np.uint8)
    return Scene(product, repaint, EdgeMap(edges), brief or Brief("marble table", "blurry", seed=7, steps=3))


def run(engine: DiffusionEngine, *rows: Denoising) -> list[Render]:
    while not all(row.done for row in rows):
        engine.step(rows)
    return engine.decode(rows)


def published(engine: DiffusionEngine, wanted: Scene) -> tuple[np.ndarray, np.ndarray]:
    """(latents, picture 0..1) of diffusers' own pipeline over the same weights, same seed."""
    from diffusers import StableDiffusionControlNetInpaintPipeline
    from PIL import Image

    pack, brief = engine.pack, wanted.brief
    tokenizer = pack.tokenizer()
    assert isinstance(tokenizer, ClipTokenizer)
    parts = {role: pack.load(role) for role in ("text_encoder", "vae", "unet", "controlnet", "scheduler")}
    pipeline = StableDiffusionControlNetInpaintPipeline(
        **parts,
        tokenizer=tokenizer._tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    latents = {}
    picture = pipeline(
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
        control_guidance_start=brief.control_start,
        control_guidance_end=brief.control_end,
        output_type="np",
        callback_on_step_end=lambda *told: latents.update(told[-1]) or told[-1],
    ).images[0]
    return latents["latents"].numpy(), picture


FULL = Brief("a marble table", "blurry text", seed=7, steps=4, guidance_scale=7.5, control_scale=0.8)
BRIEFS = {
    "guided": FULL,
    "unguided": replace(FULL, guidance_scale=1.0),
    "control window": replace(FULL, control_start=0.25, control_end=0.5),
    "no control": replace(FULL, control_scale=0.0),
    "one step": replace(FULL, steps=1),
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("brief", BRIEFS.values(), ids=BRIEFS)
@pytest.mark.parametrize(
    ("family", "inpaints", "scheduler"),
    [
        ("sd15", True, None),
        ("sd15", False, None),
        ("sd2", True, None),
        ("sd2", False, None),
        ("sd15", True, "DPMSolverMultistepScheduler"),
        ("sd15", False, "EulerDiscreteScheduler"),
        ("sd15", True, "LCMScheduler"),
    ],
)
def test_equals_the_published_pipeline(
    make: Make, family: str, inpaints: bool, scheduler: str | None, brief: Brief
) -> None:
    """Latents and picture within 1e-4 in fp32, for the same seed."""
    engine = make(family, inpaints=inpaints, scheduler=scheduler)
    wanted = scene(brief)
    latents, picture = published(engine, wanted)
    row = engine.begin(wanted)
    (render,) = run(engine, row)
    # LCM divides by the signal's share, 0.07: from random weights its latents are 15 times a real model's
    unit = latents.std() if scheduler == "LCMScheduler" else 1.0
    assert np.abs(row.latents.numpy() - latents).max() <= 1e-4 * unit
    unrounded = engine._vae.decode(row.latents / engine._vae.config.scaling_factor, return_dict=False)[0]
    own = (unrounded[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
    assert np.abs(own - picture).max() <= 1e-4
    assert np.array_equal(render.pixels, np.round(own * 255).astype(np.uint8))
    assert render.pixels.std() > 1, "an even picture would agree with anything"


def test_the_brief_and_every_input_matter(make: Make) -> None:
    engine = make("mini")
    base = scene()
    (reference,) = run(engine, engine.begin(base))
    others = {
        "prompt": replace(base, brief=replace(base.brief, prompt="sand stone")),
        "negative": replace(base, brief=replace(base.brief, negative_prompt="wood")),
        "seed": replace(base, brief=replace(base.brief, seed=8)),
        "guidance": replace(base, brief=replace(base.brief, guidance_scale=2.0)),
        "control": replace(base, brief=replace(base.brief, control_scale=0.0)),
        "edges": replace(base, edge_map=EdgeMap(255 - base.edge_map.pixels)),
        "mask": replace(base, inpaint_mask=255 - base.inpaint_mask),
    }
    for name, other in others.items():
        (render,) = run(engine, engine.begin(other))
        assert not np.array_equal(render.pixels, reference.pixels), name


@pytest.mark.parametrize("family", ["mini", "sd15", "sd2"])
def test_a_row_in_company_equals_itself_alone(make: Make, family: str) -> None:
    """Different steps, guidance, scales, windows and seeds share calls; each picture stays within 1/255 of its own."""
    engine = make(family)
    briefs = [
        Brief("marble table", "blurry", seed=1, steps=2, guidance_scale=7.5),
        Brief("sand", "", seed=2, steps=5, guidance_scale=1.0, control_scale=1.5),
        Brief("soft light", "text", seed=3, steps=4, guidance_scale=3.0, control_start=0.5),
        Brief("wood", "", seed=4, steps=3, guidance_scale=0.0, control_scale=0.0),
    ]
    scenes = [scene(brief, texture=brief.seed) for brief in briefs]
    alone = [run(engine, engine.begin(one))[0] for one in scenes]
    first, *late = [engine.begin(one) for one in scenes]
    engine.step([first])  # the others join a step later, so that rows of one call are at different steps
    for row in late:
        engine.step([row, first])
    together = run(engine, first, *late)
    for own, shared in zip(alone, together, strict=True):
        assert own.seed == shared.seed
        assert np.abs(own.pixels.astype(int) - shared.pixels.astype(int)).max() <= 1


def test_the_same_request_gives_the_same_bytes(make: Make) -> None:
    engine = make("mini")
    first, second = (run(engine, engine.begin(scene()))[0].pixels for _ in range(2))
    assert np.array_equal(first, second)


def test_one_tick_is_one_call_of_each_network(make: Make) -> None:
    """Four rows, two of them guided: one UNet and one ControlNet call of six rows."""
    engine = make("mini")
    seen: list[tuple[str, int]] = []
    hooks = [
        network.register_forward_pre_hook(lambda _, args, name=name: seen.append((name, len(args[0]))))
        for name, network in (("unet", engine._unet), ("controlnet", engine._networks.controlnets["controlnet"]))
    ]
    rows = [engine.begin(scene(Brief("sand", seed=n, steps=2, guidance_scale=1.0 + n % 2))) for n in range(4)]
    engine.step(rows)
    for hook in hooks:
        hook.remove()
    assert seen == [("controlnet", 6), ("unet", 6)]


def test_a_control_window_that_is_closed_for_all_costs_no_call(make: Make) -> None:
    engine = make("mini")
    calls: list[int] = []
    hook = engine._networks.controlnets["controlnet"].register_forward_pre_hook(
        lambda _, args: calls.append(len(args[0]))
    )
    run(engine, engine.begin(scene(Brief("sand", steps=4, guidance_scale=1.0, control_end=0.5))))
    hook.remove()
    assert len(calls) == 2


def test_a_row_that_is_not_numbers_fails_alone(make: Make) -> None:
    engine = make("mini")
    (reference,) = run(engine, engine.begin(scene()))
    good, bad = engine.begin(scene()), engine.begin(scene(texture=1))
    bad.latents = torch.full_like(bad.latents, float("nan"))
    engine.step([bad, good])
    assert isinstance(bad.error, EngineFailed)
    assert bad.error.code == "engine_nan"
    assert good.error is None
    while not good.done:
        engine.step([bad, good])
    assert bad.index == 1, "a failed row takes no further step"
    (render,) = engine.decode([good])
    assert np.abs(render.pixels.astype(int) - reference.pixels.astype(int)).max() <= 1


def test_texts_are_encoded_once(make: Make) -> None:
    engine = make("mini")
    calls: list[int] = []
    hook = engine._prompts._encoders[0][1].register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        engine.begin(scene(Brief("marble wood marble", "blurry blurry", steps=1)))
    hook.remove()
    assert len(calls) == 2


def test_other_sizes_render_and_do_not_share_a_key(make: Make) -> None:
    engine = make("mini")
    wide = scene(size=(80, 48))
    assert engine.batch_key(wide) != engine.batch_key(scene())
    row = engine.begin(wide)
    (render,) = run(engine, row)
    assert render.pixels.shape == (48, 80, 3)


def test_a_preview_is_small_and_follows_the_picture(make: Make) -> None:
    engine = make("mini")
    row = engine.begin(scene(Brief("marble", seed=1, steps=4)))
    before = engine.preview(row)
    engine.step([row])
    after = engine.preview(row)
    assert before.dtype == after.dtype == np.uint8
    assert max(after.shape[:2]) <= 16 * engine.factor
    assert not np.array_equal(before, after)


def test_the_last_preview_is_near_the_render(make: Make) -> None:
    """With the clean latents that the last step implied, the preview of a tiny picture is the picture."""
    for family in ("mini", "sd15", "sd2"):
        engine = make(family, scheduler="DDIMScheduler")
        row = engine.begin(scene(Brief("marble", seed=1, steps=8, guidance_scale=1.0)))
        (render,) = run(engine, row)
        assert np.abs(engine.preview(row).astype(int) - render.pixels.astype(int)).mean() < 8, family


def test_the_bucket_is_nearest_in_aspect_then_area(make: Make) -> None:
    engine = make("mini")
    assert engine.native == (64, 64)
    assert engine.bucket(1024, 1024) == (64, 64)
    assert engine.bucket(1600, 1000) == (80, 48)
    assert engine.bucket(800, 1300) == (48, 80)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"steps": 51},
        {"guidance_scale": float("nan")},
        {"guidance_scale": 1e6},
        {"control_scale": -1.0},
        {"control_start": 0.6, "control_end": 0.5},
    ],
    ids=str,
)
def test_a_brief_beyond_the_limits_is_refused(make: Make, change: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(reversed(change))):
        make("mini").begin(scene(replace(FULL, **change)))


def test_a_scene_of_no_bucket_is_refused(make: Make) -> None:
    with pytest.raises(BadInput, match="bucket"):
        make("mini").begin(scene(size=(72, 72)))


def test_a_long_prompt_is_cut_and_says_so(make: Make) -> None:
    (told,) = make("sd15").begin(scene(Brief("marble table " * 20, steps=1))).findings
    assert (told.check, told.level) == ("prompt", "warning")
    assert "do not fit" in told.detail
    assert make("sd15").begin(scene(Brief("marble", steps=1))).findings[0].level == "ok"


WORDS = WordTokenizer({"table": 3, "marble": 4}, {"the": ""}, 8)


@pytest.mark.parametrize(
    ("prompt", "painted", "level", "told"),
    [
        ("the marble table", "the marble table", "ok", "whole prompt was read"),
        ("", "marble", "ok", "painted 'marble'"),
        ("zorbly table", "zorbly table", "warning", "left out: zorbly;"),
        ("zorbly quaxle zorbly", "marble", "warning", "left out: zorbly, quaxle;"),
        ("在大理石桌子上", "marble", "warning", "在大理石桌子上"),
        (" ".join(f"w{i}" for i in range(30)), "marble", "warning", "w7 and 22 more"),
        ("x" * 2000, "marble", "warning", "x" * 24 + ";"),
    ],
)
def test_a_prompt_that_says_nothing_is_the_packs_own_scene(prompt: str, painted: str, level: str, told: str) -> None:
    read, finding = read_prompt(prompt, WORDS, "marble")
    assert (read, finding.level) == (painted, level)
    assert told in finding.detail


def test_the_embedded_packs_own_scene_is_in_its_words() -> None:
    pack = find_pack("mini", Settings())
    _, finding = read_prompt(pack.manifest.defaults.prompt, pack.tokenizer(), "")
    assert finding.detail == "the whole prompt was read"


def test_a_render_tells_how_its_prompt_was_read(make: Make) -> None:
    engine = make("mini")
    (render,) = run(engine, engine.begin(scene(Brief("zorbly marble", steps=1))))
    assert "zorbly" in render.findings[0].detail


@pytest.mark.parametrize(("each_s", "counts"), [(0.001, [1, 2, 4, 8, 16, 32, 64]), (0.05, [1, 2, 4]), (9.0, [1])])
def test_the_batch_curve_ends_where_a_step_would_last_too_long(
    make: Make, monkeypatch: pytest.MonkeyPatch, each_s: float, counts: list[int]
) -> None:
    engine = make("mini")
    monkeypatch.setattr(engine, "_timed", lambda rows: each_s * len(rows))
    assert engine.step_seconds() == {count: each_s * count for count in counts}


@pytest.mark.parametrize(("family", "threads"), [("mini", 1), ("mini", 2), ("sd15", 3)])
def test_a_frozen_engine_says_what_the_network_says_for_any_rows_and_size(
    make: Make, family: str, threads: int
) -> None:
    plain = make(family)
    cold = DiffusionEngine(plain.pack, freeze=True)
    with model_thread(threads) as thread:
        for size in plain.pack.manifest.buckets:
            for count in (1, 3, 2):
                both = []
                for engine in (plain, cold):
                    rows = [
                        engine.begin(
                            scene(Brief("wood", seed=seed, steps=2, guidance_scale=1 + seed % 2, control_end=0.6), size)
                        )
                        for seed in range(count)
                    ]
                    thread.submit(run, engine, *rows).result()
                    both.append(torch.cat([row.latents for row in rows]))
                torch.testing.assert_close(*both, atol=1e-4, rtol=0)
    traced = cold._networks.controlled
    assert isinstance(traced, Frozen)
    assert traced._trace is not None
    assert traced._threads.count == threads


def test_bf16_renders(make: Make) -> None:
    engine = make("mini")
    low = DiffusionEngine(engine.pack, dtype=torch.bfloat16)
    row = low.begin(scene())
    (render,) = run(low, row)
    assert row.error is None
    assert row.latents.dtype == torch.float32
    assert render.pixels.shape == (SIZE_PX, SIZE_PX, 3)


def test_a_vocabulary_beyond_the_text_encoder_is_refused(tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "tiny")
    text = (folder / "manifest.yaml").read_text()
    assert "max_position_embeddings: 16" in text
    import hashlib
    import json

    table = json.loads((folder / "words.json").read_text())
    old = hashlib.sha256((folder / "words.json").read_bytes()).hexdigest()
    table["max_length"] = 17
    (folder / "words.json").write_text(json.dumps(table))
    new = hashlib.sha256((folder / "words.json").read_bytes()).hexdigest()
    (folder / "manifest.yaml").write_text(text.replace(old, new))
    with pytest.raises(PackRefused, match="max_length must fit"):
        DiffusionEngine(find_pack("tiny", Settings(pack_path=str(folder), home=tmp_path / "home")))
