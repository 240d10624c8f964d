"""Reference pictures: as diffusers' IP-Adapter follows them, in any company, and never for who has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from packshot.errors import BadInput, PackRefused
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.references import GuidedAttentions
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.engines.word_tokenizer import ClipTokenizer
from packshot.models.packs.pack import find_pack
from packshot.models.references.encoder import PictureEncoder, load_picture_encoder
from packshot.references import ReferencePicture, References
from packshot.settings import Settings
from packshot.types import U8, Brief, EdgeMap, Render, Scene
from tests.tiny_pack import SIZE_PX, build_tiny_pack

torch.set_num_threads(1)
BRIEF = Brief("a marble table", "blurry text", seed=7, steps=4, guidance_scale=7.5, control_scale=0.8)
DIM = 12
Make = Callable[..., DiffusionEngine]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """An engine over a tiny pack with an adapter; one of each kind for all tests."""
    home, made = tmp_path_factory.mktemp("packs"), {}

    def engine(
        family: str = "sd15", *, inpaints: bool = True, freeze: bool = False, references: str = "auto"
    ) -> DiffusionEngine:
        name = f"{family}-{'inpaint' if inpaints else 'plain'}"
        if (name, freeze, references) not in made:
            if not (home / name).exists():
                build_tiny_pack(home / name, family, inpaints=inpaints, references=True)
            settings = Settings.model_validate(
                {"pack_path": str(home), "home": home / "home", "references": references}
            )
            made[name, freeze, references] = DiffusionEngine(find_pack(name, settings), freeze=freeze)
        return made[name, freeze, references]

    return engine


def vectors(count: int, seed: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(DIM).astype(np.float32) for _ in range(count)]


def of(weights: tuple[float, ...], strength: float = 1.0) -> References:
    pictures = zip(weights, vectors(len(weights)), strict=True)
    return References(tuple(ReferencePicture(weight, vector) for weight, vector in pictures), strength)


def scene(brief: Brief, references: References | None = None, size: tuple[int, int] = (SIZE_PX, SIZE_PX)) -> Scene:
    """A noisy picture that is repainted whole: then an adapter reads its references everywhere, as diffusers does."""
    width, height = size
    rng = np.random.default_rng(brief.seed)
    product = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    edges = np.where(rng.random((height, width)) < 0.1, 255, 0).astype(np.uint8)
    return Scene(product, np.full((height, width), 255, np.uint8), EdgeMap(edges), brief, references=references)


def run(engine: DiffusionEngine, *scenes: Scene) -> list[Render]:
    rows = begin(engine, *scenes)
    while not all(row.done for row in rows):
        engine.step(rows)
    return engine.decode(rows)


def begin(engine: DiffusionEngine, *scenes: Scene) -> list[Denoising]:
    return [engine.begin(one) for one in scenes]


def latents_of(engine: DiffusionEngine, *scenes: Scene) -> list[torch.Tensor]:
    rows = begin(engine, *scenes)
    while not all(row.done for row in rows):
        engine.step(rows)
    return [row.latents for row in rows]


def published(engine: DiffusionEngine, wanted: Scene, strength: float) -> np.ndarray:
    """The latents of diffusers' own pipeline with `load_ip_adapter` over the same files, same seed."""
    from diffusers import StableDiffusionControlNetInpaintPipeline
    from PIL import Image

    pack, brief = engine.pack, wanted.brief
    tokenizer = pack.tokenizer()
    assert isinstance(tokenizer, ClipTokenizer)
    assert wanted.references is not None
    pipeline = StableDiffusionControlNetInpaintPipeline(
        **{role: pack.load(role) for role in ("text_encoder", "vae", "unet", "scheduler", "controlnet")},
        tokenizer=tokenizer._tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    (path,) = pack.paths("ip_adapter").values()
    pipeline.load_ip_adapter(str(path.parent), subfolder="", weight_name=path.name, image_encoder_folder=None)
    pipeline.set_ip_adapter_scale(strength)
    vectors = [one.embedding for one in wanted.references.pictures if one.embedding is not None]
    embeddings = torch.from_numpy(np.stack(vectors))
    embeds = embeddings[None]
    if brief.guidance_scale > 1:
        embeds = torch.cat([torch.zeros_like(embeds), embeds])
    latents = {}
    pipeline(
        prompt=brief.prompt,
        negative_prompt=brief.negative_prompt,
        ip_adapter_image_embeds=[embeds],
        image=Image.fromarray(wanted.product),
        mask_image=Image.fromarray(wanted.inpaint_mask),
        control_image=Image.fromarray(wanted.edge_map.pixels).convert("RGB"),
        strength=1.0,
        num_inference_steps=brief.steps,
        guidance_scale=brief.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(brief.seed),
        controlnet_conditioning_scale=brief.control_scale,
        output_type="np",
        callback_on_step_end=lambda *told: latents.update(told[-1]) or told[-1],
    )
    found: np.ndarray = latents["latents"].numpy()
    return found


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("guidance", [7.5, 1.0])
@pytest.mark.parametrize(("weights", "strength"), [((1.0,), 1.0), ((0.25,) * 4, 0.6)], ids=["one", "four"])
@pytest.mark.parametrize(("family", "inpaints"), [("sd15", True), ("sd2", False)])
def test_latents_equal_diffusers(
    make: Make, family: str, inpaints: bool, weights: tuple[float, ...], strength: float, guidance: float
) -> None:
    engine = make(family, inpaints=inpaints)
    wanted = scene(replace(BRIEF, guidance_scale=guidance), of(weights, strength))
    [found] = latents_of(engine, wanted)
    [without] = latents_of(engine, replace(wanted, references=None))
    assert float((found - without).abs().max()) > 0.02
    np.testing.assert_allclose(found.numpy(), published(engine, wanted, strength), atol=1e-4)


@pytest.mark.parametrize("family", ["sd15", "mini"])
@pytest.mark.parametrize("freeze", [False, True])
def test_a_scene_without_references_is_bit_equal_beside_one_with_them(make: Make, family: str, freeze: bool) -> None:
    """And alone it is what an engine without an adapter paints."""
    engine = make(family, freeze=freeze)
    plain, guided = scene(BRIEF), scene(replace(BRIEF, seed=8), of((0.5, 0.5)))
    [alone] = latents_of(engine, plain)
    [bare] = latents_of(make(family, freeze=freeze, references="off"), plain)
    assert torch.equal(alone, bare)
    [beside, _] = latents_of(engine, plain, guided)
    [other, _] = latents_of(engine, plain, scene(replace(BRIEF, seed=8)))
    np.testing.assert_allclose(beside, alone, atol=1e-5)
    assert freeze or torch.equal(beside, other)  # traced kernels round differently


def test_references_paint_alone_what_they_paint_in_company(make: Make) -> None:
    engine = make()
    three = [of((1.0,)), of((0.2, 0.3, 0.5), 0.7), of((0.5, 0.5), 0.2)]
    scenes = [scene(replace(BRIEF, seed=seed), one) for seed, one in enumerate(three)]
    together = latents_of(engine, *scenes, scene(BRIEF))
    for wanted, found in zip(scenes, together, strict=False):
        np.testing.assert_allclose(found, latents_of(engine, wanted)[0], atol=1e-5)


def test_strength_zero_changes_nothing_and_a_weight_near_one_drowns_the_rest(make: Make) -> None:
    engine = make()
    [plain] = latents_of(engine, scene(BRIEF))
    [none] = latents_of(engine, scene(BRIEF, of((1.0,), 0.0)))
    np.testing.assert_allclose(none, plain, atol=1e-5)
    first, second = vectors(2)
    only = References((ReferencePicture(1.0, first),), 1.0)
    mostly = References((ReferencePicture(1 - 1e-6, first), ReferencePicture(1e-6, second)), 1.0)
    found, wanted = (latents_of(engine, scene(BRIEF, one))[0] for one in (only, mostly))
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_product_takes_nothing_from_references(make: Make) -> None:
    """Where nothing is repainted, the attention reads no reference; diffusers' masks do the same."""
    engine = make()
    wanted = scene(BRIEF, of((1.0,)))
    covered = replace(wanted, inpaint_mask=np.zeros_like(wanted.inpaint_mask))
    found, plain = (latents_of(engine, one)[0] for one in (covered, replace(covered, references=None)))
    np.testing.assert_allclose(found, plain, atol=1e-5)


def test_windows_and_their_outline_follow_references(make: Make) -> None:
    engine = make()
    size = next(iter(sorted(set(_window_sizes(engine)))))
    found = run(engine, scene(replace(BRIEF, steps=8), of((1.0,)), size))[0]
    plain = run(engine, scene(replace(BRIEF, steps=8), None, size))[0]
    assert found.pixels.shape[:2] == size[::-1]
    assert np.abs(found.pixels.astype(int) - plain.pixels).mean() > 0.5


def _window_sizes(engine: DiffusionEngine) -> list[tuple[int, int]]:
    from packshot.models.packs.framing import tilings

    buckets = engine.pack.manifest.buckets
    return [size for size, tiling in tilings(buckets).items() if tiling.count > 1]


def test_style_blocks_leave_the_other_attentions_alone(make: Make) -> None:
    pack = make().pack
    unet, adapter = pack.load("unet"), pack.load("ip_adapter")
    adapter.style_blocks = ("up_blocks.0.attentions.1",)
    before = dict(unet.attn_processors)
    GuidedAttentions(unet, adapter)
    changed = [name for name, one in unet.attn_processors.items() if one is not before[name]]
    assert changed == ["up_blocks.0.attentions.1.transformer_blocks.0.attn2.processor"]


def test_an_adapter_of_another_unet_is_refused(make: Make) -> None:
    pack = make().pack
    unet, adapter = pack.load("unet"), pack.load("ip_adapter")
    del adapter.ip_adapter["7"]
    with pytest.raises(PackRefused, match="4 cross-attentions, the ip_adapter 3"):
        GuidedAttentions(unet, adapter)


def test_an_engine_whose_setting_is_off_refuses_references(make: Make) -> None:
    engine = make(references="off")
    assert engine.pack.summary().capabilities.references == 0
    assert make().pack.summary().capabilities.references == 8
    with pytest.raises(BadInput) as refused:
        engine.begin(scene(BRIEF, of((1.0,))))
    assert refused.value.code == "engine_cannot"


def picture(width: int, height: int, seed: int = 0) -> U8:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    from PIL import Image

    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), np.uint8)


@pytest.mark.parametrize("size", [(48, 48), (90, 60), (61, 133)])
def test_a_picture_is_read_as_transformers_reads_it(make: Make, size: tuple[int, int]) -> None:
    from transformers import CLIPImageProcessor

    network = make().pack.load("image_encoder")
    seen = picture(*size).copy()
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    pixels = processor(seen, return_tensors="pt").pixel_values
    [found] = PictureEncoder(network).encode([seen])
    np.testing.assert_allclose(found, network(pixel_values=pixels).image_embeds[0].numpy(), atol=5e-3)


@pytest.mark.parametrize("family", ["sd15", "mini"])
def test_pictures_of_several_sizes_are_encoded_together(make: Make, family: str) -> None:
    encoder = load_picture_encoder(make(family).pack)
    pictures = [picture(80, 60, 1), picture(64, 200, 2), picture(300, 64, 3)]
    together = encoder.encode(pictures)
    assert [one.shape for one in together] == [(DIM,)] * 3
    for one, found in zip(pictures, together, strict=True):
        np.testing.assert_allclose(found, encoder.encode([one])[0], atol=1e-5)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_a_shipped_adapter_is_that_of_its_unet(name: str) -> None:
    """Its files hold as many bytes as its config says, besides a header; its style blocks are in the UNet."""
    from packshot.models.packs.weights import build

    pack = find_pack(name, Settings(references="on"))
    pack.check()
    with torch.device("meta"):
        unet, adapter, encoder = (
            build(pack.role(role).class_name, pack.role(role).config)
            for role in ("unet", "ip_adapter", "image_encoder")
        )
    for role, network, width in (("ip_adapter", adapter, 2), ("image_encoder", encoder, 4)):
        (file,) = pack.role(role).files.values()  # type: ignore[arg-type]
        assert file.bytes is not None
        assert 0 < file.bytes - width * sum(one.numel() for one in network.parameters()) < 100_000
    before = dict(unet.attn_processors)
    GuidedAttentions(unet, adapter)
    assert any(one is not before[key] for key, one in unet.attn_processors.items())
    assert "ip_adapter" in pack.engine_roles
    assert "image_encoder" in pack.roles
    assert "ip_adapter" not in find_pack(name, Settings()).roles
