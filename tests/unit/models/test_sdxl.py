"""SDXL: equal to the published pipelines, and the same in any company."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from packshot.contract.shot_spec import Condition
from packshot.errors import PackRefused
from packshot.models.engines import step_engine
from packshot.models.engines.unet_controlnet import Denoising, DiffusionEngine
from packshot.models.engines.union import RowScale, keep_rows_apart
from packshot.models.engines.word_tokenizer import ClipTokenizer
from packshot.models.packs.pack import Pack, find_pack
from packshot.references import ReferencePicture, References
from packshot.settings import Settings
from packshot.types import U8, Brief, ConditionMaps, EdgeMap, Kept, Render, Scene
from tests.tiny_pack import SIZE_PX, UNION_TYPES, build_tiny_pack
from tests.waiting import WAIT_S

torch.set_num_threads(1)
BRIEF = Brief("a marble table", "blurry text", seed=7, steps=4, guidance_scale=6.0, control_scale=0.8)
DEPTH = Condition(kind="depth", scale=0.6)
NORMAL = Condition(kind="normal", scale=0.4)
POSE = Condition(kind="pose", scale=0.7)
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> DiffusionEngine:
    home = tmp_path_factory.mktemp("packs")
    build_tiny_pack(home / "tiny", "sdxl", controls=("depth", "normal", "pose"))
    return DiffusionEngine(find_pack("tiny", Settings(pack_path=str(home), home=home / "home")))


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> DiffusionEngine:
    """An engine that follows reference pictures."""
    home = tmp_path_factory.mktemp("packs")
    build_tiny_pack(home / "guided", "sdxl", references=True)
    return DiffusionEngine(find_pack("guided", Settings(pack_path=str(home), home=home / "home")))


def scene(brief: Brief = BRIEF, size: tuple[int, int] = (SIZE_PX, SIZE_PX), texture: int = 0) -> Scene:
    """A noisy product in the middle of grey, whose edges and maps are noise too."""
    width, height = size
    rng = np.random.default_rng(texture)
    repaint = np.full((height, width), 255, np.uint8)
    repaint[height // 4 : height // 2, width // 4 : width * 3 // 4] = 0
    product, normal = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    depth = rng.integers(0, 256, (height, width), dtype=np.uint8)
    edges = np.where(rng.random((height, width)) < 0.1, 255, 0).astype(np.uint8)
    return Scene(product, repaint, EdgeMap(edges), brief, ConditionMaps(depth, normal, pose=normal[::-1]))


def run(engine: DiffusionEngine, *rows: Denoising) -> list[Render]:
    while not all(row.done for row in rows):
        engine.step(rows)
    return engine.decode(rows)


def union_as_one_of_several(union: Any, places: tuple[int, ...]) -> Any:
    """The published union network with the call of an ordinary one, so that `MultiControlNetModel` can hold both."""

    def forward(sample: Any, timestep: Any, controlnet_cond: Any, conditioning_scale: Any, **more: Any) -> Any:
        types = torch.zeros(len(sample), union.config.num_control_type)
        types[:, list(places)] = 1
        given = {"control_type": types, "control_type_idx": list(places), "conditioning_scale": conditioning_scale}
        return published_forward(sample, timestep, controlnet_cond=controlnet_cond.split(3, dim=1), **given, **more)

    published_forward, union.forward = union.forward, forward
    return union


def control_images(wanted: Scene) -> dict[str, torch.Tensor]:
    """The control images as the model cards show them, (1, 3, H, W): 0..1, and -1 where the picture is repainted."""
    masked = wanted.product.astype(np.float32) / 255
    masked[wanted.inpaint_mask / 255 > 0.5] = -1.0
    edges, depth = (
        np.repeat(one[..., None].astype(np.float32) / 255, 3, axis=2)
        for one in (wanted.edge_map.pixels, wanted.maps.made["depth"])
    )
    made = wanted.maps.made
    normal, pose = (one.astype(np.float32) / 255 for one in (made["normal"], made["pose"]))
    shown = {"inpaint": masked, "canny": edges, "depth": depth, "normal": normal, "pose": pose}
    return {name: torch.from_numpy(one.transpose(2, 0, 1)[None]) for name, one in shown.items()}


def published(pack: Pack, wanted: Scene, name: str, controlnet: Any, asked: dict[str, Any]) -> np.ndarray:
    """The latents of one of diffusers' own pipelines over the same weights, same seed."""
    import diffusers
    from PIL import Image

    tokenizers = [pack.load("tokenizer"), pack.load("tokenizer_2")]
    assert all(isinstance(one, ClipTokenizer) for one in tokenizers)
    brief, (first, second) = wanted.brief, tokenizers
    pipeline = getattr(diffusers, name)(
        **{role: pack.load(role) for role in ("text_encoder", "text_encoder_2", "vae", "unet", "scheduler")},
        tokenizer=first._tokenizer,
        tokenizer_2=second._tokenizer,
        controlnet=controlnet,
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    if wanted.references is not None:
        (adapter,) = pack.paths("ip_adapter").values()
        pipeline.load_ip_adapter(str(adapter.parent), subfolder="", weight_name=adapter.name, image_encoder_folder=None)
        pipeline.set_ip_adapter_scale(wanted.references.strength)
    pictures = {"image": Image.fromarray(wanted.product), "mask_image": Image.fromarray(wanted.inpaint_mask)}
    latents = {}
    pipeline(
        prompt=brief.prompt,
        negative_prompt=brief.negative_prompt or None,
        **(pictures | {"strength": 1.0} if "Inpaint" in name else {}),
        num_inference_steps=brief.steps,
        guidance_scale=brief.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(brief.seed),
        output_type="latent",
        callback_on_step_end=lambda *told: latents.update(told[-1]) or told[-1],
        **asked,
    )
    found: np.ndarray = latents["latents"].numpy()
    return found


BRIEFS = {
    "guided": BRIEF,
    "unguided": replace(BRIEF, guidance_scale=1.0),
    "no negative prompt": replace(BRIEF, negative_prompt=""),
    "one step": replace(BRIEF, steps=1),
}


@pytest.mark.parametrize("brief", BRIEFS.values(), ids=BRIEFS)
@pytest.mark.parametrize("size", [(SIZE_PX, SIZE_PX), (80, 48)], ids=str)
def test_both_nets_add_up_as_in_the_published_inpainting_pipeline(
    engine: DiffusionEngine, brief: Brief, size: tuple[int, int]
) -> None:
    """Latents within 1e-4 in fp32: EcomXL's net and the union net's edges, as diffusers' MultiControlNetModel."""
    from diffusers import MultiControlNetModel

    wanted, pack = scene(brief, size), engine.pack
    row = engine.begin(wanted)
    (render,) = run(engine, row)
    shown = control_images(wanted)
    nets = [pack.load("controlnet_inpaint"), union_as_one_of_several(pack.load("controlnet"), (UNION_TYPES["canny"],))]
    asked = {
        "control_image": [shown["inpaint"], shown["canny"]],
        "controlnet_conditioning_scale": [pack.role("controlnet_inpaint").scale, brief.control_scale],
    }
    pipeline = "StableDiffusionXLControlNetInpaintPipeline"
    latents = published(pack, wanted, pipeline, MultiControlNetModel(nets), asked)
    assert np.abs(row.latents.numpy() - latents).max() <= 1e-4
    assert render.pixels.std() > 1, "an even picture would agree with anything"


@pytest.mark.parametrize("guidance", [1.0, 6.0])
@pytest.mark.parametrize(("weights", "strength"), [((1.0,), 1.0), ((0.25,) * 4, 0.6)], ids=["one", "four"])
def test_references_are_followed_as_by_the_published_ip_adapter(
    guided: DiffusionEngine, weights: tuple[float, ...], strength: float, guidance: float
) -> None:
    """Latents within 1e-4 in fp32, with both ControlNets, of a picture that is repainted whole."""
    from diffusers import MultiControlNetModel

    vectors = np.random.default_rng(3).standard_normal((len(weights), 12)).astype(np.float32)
    pictures = tuple(ReferencePicture(weight, vector) for weight, vector in zip(weights, vectors, strict=True))
    whole = np.full((SIZE_PX, SIZE_PX), 255, np.uint8)
    wanted = replace(scene(replace(BRIEF, guidance_scale=guidance)), inpaint_mask=whole)
    plain, row = guided.begin(wanted), guided.begin(replace(wanted, references=References(pictures, strength)))
    run(guided, plain, row)
    assert float((row.latents - plain.latents).abs().max()) > 0.02
    shown, pack = control_images(wanted), guided.pack
    nets = [pack.load("controlnet_inpaint"), union_as_one_of_several(pack.load("controlnet"), (UNION_TYPES["canny"],))]
    embeds = torch.from_numpy(vectors)[None]
    asked = {
        "control_image": [shown["inpaint"], shown["canny"]],
        "controlnet_conditioning_scale": [pack.role("controlnet_inpaint").scale, BRIEF.control_scale],
        "ip_adapter_image_embeds": [torch.cat([torch.zeros_like(embeds), embeds]) if guidance > 1 else embeds],
    }
    pipeline = "StableDiffusionXLControlNetInpaintPipeline"
    given = replace(wanted, references=References(pictures, strength))
    latents = published(pack, given, pipeline, MultiControlNetModel(nets), asked)
    assert np.abs(row.latents.numpy() - latents).max() <= 1e-4


@pytest.mark.parametrize("conditions", [(), (DEPTH,), (DEPTH, NORMAL), (POSE,)])
@pytest.mark.parametrize("guidance", [1.0, 6.0])
def test_the_union_net_fuses_conditions_as_its_published_pipeline(
    engine: DiffusionEngine, conditions: tuple[Condition, ...], guidance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latents within 1e-4 in fp32, without the inpainting net."""
    wanted = scene(replace(BRIEF, conditions=conditions, guidance_scale=guidance))
    monkeypatch.delitem(engine._nets.served, "controlnet_inpaint")
    row = engine.begin(wanted)
    run(engine, row)
    shown, asked = control_images(wanted), wanted.brief.all_conditions
    given = {
        "control_image": [shown[kind] for kind in asked],
        "control_mode": [UNION_TYPES[kind] for kind in asked],
        "controlnet_conditioning_scale": [one.scale for one in asked.values()],
    }
    pipeline = "StableDiffusionXLControlNetUnionInpaintPipeline"
    latents = published(engine.pack, wanted, pipeline, engine.pack.load("controlnet"), given)
    assert np.abs(row.latents.numpy() - latents).max() <= 1e-4


def test_a_scene_without_a_product_is_the_published_text_to_image_pipeline(engine: DiffusionEngine) -> None:
    """EcomXL's net as its card calls it, from the same noise."""
    whole = np.full((SIZE_PX, SIZE_PX), 255, np.uint8)
    wanted = replace(scene(replace(BRIEF, control_scale=0.0)), inpaint_mask=whole)
    row = engine.begin(wanted)
    noise = row.noise
    run(engine, row)
    given = {
        "image": control_images(wanted)["inpaint"],
        "controlnet_conditioning_scale": 0.5,
        "latents": noise.clone(),
        "height": SIZE_PX,
        "width": SIZE_PX,
    }
    net = engine.pack.load("controlnet_inpaint")
    latents = published(engine.pack, wanted, "StableDiffusionXLControlNetPipeline", net, given)
    assert np.abs(row.latents.numpy() - latents).max() <= 1e-4


MIXED = [
    Brief("marble table", "blurry", seed=1, steps=2, guidance_scale=7.5, conditions=(DEPTH,)),
    Brief("sand", "", seed=2, steps=5, guidance_scale=1.0, control_scale=1.5),
    Brief("soft light", "", seed=3, steps=4, guidance_scale=3.0, control_scale=0.0, conditions=(DEPTH, NORMAL)),
    Brief("wood", "on a table", seed=4, steps=3, guidance_scale=2.0, control_scale=0.0),
    Brief("wood", "blurry", seed=5, steps=4, guidance_scale=2.0, conditions=(NORMAL,), control_start=0.5),
]


def test_a_row_in_company_equals_itself_alone(engine: DiffusionEngine) -> None:
    """Other prompts, steps, weights and conditions share calls, also cut into calls of three rows."""
    scenes = [scene(brief, texture=brief.seed) for brief in MIXED]
    alone: list[torch.Tensor] = []
    for one in scenes:
        row = engine.begin(one)
        run(engine, row)
        alone.append(row.latents)
    first, *late = [engine.begin(one) for one in scenes]
    engine.step([first])
    rows = [*late, first]
    while not all(row.done for row in rows):
        engine.step(rows, max_rows=3 if rows[0].index % 2 else 100)
    for own, row in zip(alone, (first, *late), strict=True):
        torch.testing.assert_close(row.latents, own, atol=1e-4, rtol=0)


def test_the_published_union_net_lets_rows_change_each_other_and_ours_does_not(engine: DiffusionEngine) -> None:
    """Why `keep_rows_apart` exists: diffusers' class attends over the batch. If this fails, it is no longer needed."""

    def of_first(net: Any, rows: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        latents = torch.randn(2, 4, 8, 8, generator=generator)[:rows]
        picture = torch.rand(2, 3, SIZE_PX, SIZE_PX, generator=generator)[:rows]
        types = torch.zeros(rows, 6)
        types[:, 3] = 1
        added = {"text_embeds": torch.zeros(rows, 12), "time_ids": torch.zeros(rows, 6)}
        with torch.no_grad():
            _, mid = net(
                latents,
                torch.full((rows,), 500),
                torch.zeros(rows, 16, 16),
                [picture],
                types,
                [3],
                conditioning_scale=[RowScale(torch.ones(rows, 1, 1, 1))],
                added_cond_kwargs=added,
                return_dict=False,
            )
        found: torch.Tensor = mid[:1]
        return found

    net = engine.pack.load("controlnet")
    alone = of_first(net, 1)
    assert (of_first(net, 2) - alone).abs().max() > 5e-3
    apart = keep_rows_apart(net)
    torch.testing.assert_close(of_first(apart, 1), alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(of_first(apart, 2), alone, atol=1e-3, rtol=0)


def test_the_brief_and_every_input_matter(engine: DiffusionEngine) -> None:
    base = scene(replace(BRIEF, conditions=(DEPTH,)))
    (reference,) = run(engine, engine.begin(base))
    others = {
        "prompt": replace(base, brief=replace(base.brief, prompt="soft light")),
        "negative": replace(base, brief=replace(base.brief, negative_prompt="wood")),
        "no negative": replace(base, brief=replace(base.brief, negative_prompt="")),
        "control": replace(base, brief=replace(base.brief, control_scale=0.0)),
        "edges": replace(base, edge_map=EdgeMap(255 - base.edge_map.pixels)),
        "depth": replace(base, maps=replace(base.maps, depth=255 - base.maps.made["depth"])),
        "product": replace(base, product=255 - base.product),
    }
    for name, other in others.items():
        (render,) = run(engine, engine.begin(other))
        assert not np.array_equal(render.pixels, reference.pixels), name


def test_a_touchup_shows_the_inpainting_net_the_kept_picture(engine: DiffusionEngine) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    again = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    again[:, SIZE_PX // 2 :] = 255

    def touched(kept: U8) -> torch.Tensor:
        row = engine.begin(replace(scene(), kept=Kept(kept, again)))
        return row.controls["inpaint"].embedded

    other = picture.copy()
    other[:, SIZE_PX // 2 :] = 0
    assert torch.equal(touched(picture), touched(other)), "what is repainted is not shown"
    other[:, : SIZE_PX // 2] = 0
    assert not torch.equal(touched(picture), touched(other))


def test_a_wide_scene_in_windows_and_bf16(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_engine, "LONGEST_STEP_S", WAIT_S)  # a busy machine's step may take longer
    low = DiffusionEngine(engine.pack, dtype=torch.bfloat16)
    (render,) = run(low, low.begin(scene(replace(BRIEF, conditions=(DEPTH,)), (112, SIZE_PX))))
    assert render.pixels.shape == (SIZE_PX, 112, 3)
    assert low.step_seconds((1, 2)).keys() == {1, 2}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("  controlnet:\n    class_name: ControlNetUnionModel", "control_types"),
        ("projection_dim: 12", "projection_class_embeddings_input_dim must be"),
        ("cross_attention_dim: 16", "cross_attention_dim must be 16"),
        ("addition_embed_type: text_time", "must have tokenizer_2 and text_encoder_2"),
        ("canny: 3", "control_types must be below num_control_type"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, change: str, told: str) -> None:
    folder = build_tiny_pack(tmp_path / "tiny", "sdxl")
    text = (folder / "manifest.yaml").read_text()
    assert change in text
    broken = {"projection_dim: 12": "projection_dim: 11", "canny: 3": "canny: 9"}.get(change)
    broken = broken or change.replace("Union", "").replace(": 16", ": 15").replace("text_time", "text")
    (folder / "manifest.yaml").write_text(text.replace(change, broken))
    with pytest.raises(PackRefused, match=told):
        find_pack("tiny", Settings(pack_path=str(folder), home=tmp_path / "home")).check()
