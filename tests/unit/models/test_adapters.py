"""Adapters in an engine: as diffusers loads them, in any company, and never for a scene that has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from packshot.adapters import AdapterAsset, SceneAdapter
from packshot.errors import BadInput
from packshot.models.adapters.file import read_adapter
from packshot.models.adapters.fit import sgm_name
from packshot.models.engines.looks import RowLooks, SceneLooks, applied, applied_to_text
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.pack import find_pack
from packshot.models.packs.roles import RoleName
from packshot.references import ReferencePicture, References
from packshot.settings import Settings
from packshot.types import Brief, EdgeMap, Scene
from tests.adapter_files import kohya_file, lora, peft_file, saved
from tests.tiny_pack import SIZE_PX, build_tiny_pack

torch.set_num_threads(1)
BRIEF = Brief("a marble table", "blurry text", seed=7, steps=2, guidance_scale=7.5, control_scale=0.8)
Make = Callable[..., DiffusionEngine]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """An engine over a tiny pack; one of each kind for all tests."""
    home, made = tmp_path_factory.mktemp("packs"), {}

    def engine(family: str = "sd15", *, freeze: bool = False) -> DiffusionEngine:
        if (family, freeze) not in made:
            if not (home / family).exists():
                build_tiny_pack(home / family, family, references=family == "mini", controls=("depth",))
            settings = Settings.model_validate({"pack_path": str(home), "home": home / "home"})
            made[family, freeze] = DiffusionEngine(find_pack(family, settings), freeze=freeze)
        return made[family, freeze]

    return engine


def loaded(engine: DiffusionEngine, data: bytes, *, scale: float = 1.0, trigger: str = "") -> SceneAdapter:
    file = read_adapter(data)
    key = str(hash(data))
    return SceneAdapter(engine.load_adapter(file), AdapterAsset(key, scale, file.kind, trigger))


def scene(brief: Brief, *adapters: SceneAdapter, size: tuple[int, int] = (SIZE_PX, SIZE_PX)) -> Scene:
    width, height = size
    rng = np.random.default_rng(brief.seed)
    product = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    edges = np.where(rng.random((height, width)) < 0.1, 255, 0).astype(np.uint8)
    return Scene(product, np.full((height, width), 255, np.uint8), EdgeMap(edges), brief, adapters=adapters)


def latents_of(engine: DiffusionEngine, *scenes: Scene) -> list[torch.Tensor]:
    rows = [engine.begin(one) for one in scenes]
    while not all(row.done for row in rows):
        engine.step(rows)
    return [row.latents for row in rows]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("family", "layout"), [("sd15", "peft"), ("sdxl", "kohya")])
def test_networks_equal_those_that_diffusers_loads_the_file_into(make: Make, family: str, layout: str) -> None:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
    from safetensors.torch import load

    engine = make(family)
    texts = engine._prompts.networks
    projections = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.2", "q_proj", "k_proj", "v_proj", "out_proj")
    pairs = lora(engine.pack, roles=("unet", *texts), layers=projections)
    data = peft_file(pairs) if layout == "peft" else kohya_file(pairs, alpha=2.0, second=len(texts) == 2)
    looks = SceneLooks(((loaded(engine, data).loaded, 0.7),))

    two = len(texts) == 2
    roles: tuple[RoleName, ...] = ("vae", "unet", "scheduler", *texts)
    parts: dict[str, Any] = {role: engine.pack.load(role) for role in roles}
    parts |= {"tokenizer": None, "feature_extractor": None, "image_encoder": None}
    parts |= {"tokenizer_2": None} if two else {"safety_checker": None, "requires_safety_checker": False}
    pipeline: Any = (StableDiffusionXLPipeline if two else StableDiffusionPipeline)(**parts)
    pipeline.load_lora_weights(load(data), adapter_name="one")
    pipeline.set_adapters(["one"], [0.7])

    ids = torch.tensor([[0, 5, 6, 7, 1, 1, 1, 1]])
    dice = torch.Generator().manual_seed(0)
    size, width = 8, engine._unet.config.cross_attention_dim
    latents = torch.randn((2, engine._unet.config.in_channels, size, size), generator=dice)
    states = torch.randn((2, 8, width), generator=dice)
    added = {"text_embeds": torch.randn((2, 12), generator=dice), "time_ids": torch.ones(2, 6)} if two else None

    def read(network: Any) -> Any:
        return network(ids, output_hidden_states=True).hidden_states[-1]

    def predict(unet: Any) -> Any:
        times = torch.tensor([400, 400])
        return unet(latents, times, encoder_hidden_states=states, added_cond_kwargs=added)[0]

    with torch.inference_mode():
        for name, own in texts.items():
            with applied_to_text(own, name, looks):
                changed = read(own)
            assert torch.allclose(read(getattr(pipeline, name)), changed, atol=1e-5)
            assert not torch.allclose(read(own), changed, atol=1e-2)
        with applied(engine._unet, RowLooks(((0, 2, looks),))):
            changed = predict(engine._unet)
        assert torch.allclose(predict(pipeline.unet), changed, atol=1e-5)
        assert not torch.allclose(predict(engine._unet), changed, atol=1e-2)


def company(engine: DiffusionEngine) -> list[Scene]:
    """Scenes without an adapter, with one of each rank, with two, with and without guidance."""
    ranks = [loaded(engine, peft_file(lora(engine.pack, rank=rank, seed=rank))) for rank in (4, 8, 16)]
    weaker = replace(ranks[1], asset=replace(ranks[1].asset, scale=-0.5))
    unguided = replace(BRIEF, guidance_scale=1.0, seed=9)
    return [
        scene(BRIEF),
        scene(BRIEF, ranks[0]),
        scene(replace(BRIEF, steps=3), ranks[1]),
        scene(unguided, ranks[2]),
        scene(unguided),
        scene(BRIEF, ranks[2], weaker),
    ]


@pytest.mark.parametrize(("family", "freeze"), [("mini", True), ("sdxl", False)])
def test_scenes_of_several_adapters_and_of_none_share_steps(make: Make, family: str, freeze: bool) -> None:
    engine = make(family, freeze=freeze)
    scenes = company(engine)
    together = latents_of(engine, *scenes)
    for number, (one, latents) in enumerate(zip(scenes, together, strict=True)):
        (alone,) = latents_of(engine, one)
        assert torch.allclose(latents, alone, atol=1e-4), f"scene {number}: {(latents - alone).abs().max()}"
    plain = latents_of(engine, *(replace(one, adapters=()) for one in scenes))
    for one, latents, without in zip(scenes, together, plain, strict=True):
        assert torch.equal(latents, without) == (not one.adapters)
    changed = [(together[0] - other).abs().max() for other in (together[1], together[5])]
    assert min(changed) > 1e-2


def test_a_trace_equals_the_untraced_networks(make: Make) -> None:
    engine, traced = make("mini"), make("mini", freeze=True)
    scenes, again = company(engine), company(traced)
    for one, two in zip(latents_of(engine, *scenes), latents_of(traced, *again), strict=True):
        assert torch.allclose(one, two, atol=1e-4)


def test_windows_convolutions_and_references_take_adapters_too(make: Make) -> None:
    engine = make("mini")
    layers = ("to_q", "to_out.0", "conv1", "proj_in")
    one = loaded(engine, peft_file(lora(engine.pack, layers=layers)), scale=0.5)
    large = scene(BRIEF, one, size=(96, 64)) if engine.pack.manifest.tiling(96, 64) else scene(BRIEF, one)
    vector = np.random.default_rng(3).standard_normal(12).astype(np.float32)
    references = References((ReferencePicture(1.0, vector),), 1.0)
    guided = replace(scene(BRIEF, one), references=references)
    plain = replace(scene(replace(BRIEF, seed=11)), references=references)
    for scenes in ((large,), (guided, plain, scene(BRIEF))):
        together = latents_of(engine, *scenes)
        for wanted, latents in zip(scenes, together, strict=True):
            assert torch.allclose(latents, latents_of(engine, wanted)[0], atol=1e-4)
            without = latents_of(engine, replace(wanted, adapters=()))[0]
            assert torch.allclose(latents, without, atol=1e-4) == (not wanted.adapters)


def test_an_adapter_of_scale_zero_changes_nothing(make: Make) -> None:
    engine = make("sd15")
    none = loaded(engine, peft_file(lora(engine.pack)), scale=0.0)
    assert torch.equal(latents_of(engine, scene(BRIEF, none))[0], latents_of(engine, scene(BRIEF))[0])


@pytest.mark.parametrize("family", ["mini", "sdxl"])
def test_an_inversion_gives_its_word_the_vectors_of_the_words_that_it_repeats(make: Make, family: str) -> None:
    """Vectors that are those of `marble` must read as `marble` does."""
    engine = make(family)
    tables: dict[str, np.ndarray] = {}
    for key, (tokenizer, network) in zip(("clip_l", "clip_g"), engine._prompts._encoders, strict=False):
        tables[key] = network.get_input_embeddings().weight[tokenizer(["marble"])[0, 1:2]].numpy()
    data = saved(tables if len(tables) == 2 else {"<stone>": tables["clip_l"]})
    learned = loaded(engine, data, trigger="<stone>")
    with torch.inference_mode():
        texts = engine._prompts.read(replace(BRIEF, prompt="a <stone> table"), [learned])
        want = engine._prompts.read(BRIEF)
        plain = engine._prompts.read(replace(BRIEF, prompt="a <stone> table"))
    assert torch.allclose(texts.states, want.states, atol=1e-6)
    assert texts.finding == want.finding
    assert not torch.allclose(plain.states, want.states, atol=1e-3)
    latents = latents_of(engine, scene(replace(BRIEF, prompt="a <stone> table"), learned), scene(BRIEF))
    assert torch.allclose(latents[0], latents[1], atol=1e-5)


def test_a_trigger_outside_of_the_vocabulary_is_no_unknown_word(make: Make) -> None:
    engine = make("mini")
    one = loaded(engine, peft_file(lora(engine.pack)), trigger="zxbrand")
    prompt = replace(BRIEF, prompt="zxbrand, marble table")
    assert "zxbrand" in engine._prompts.read(prompt).finding.detail
    assert engine._prompts.read(prompt, [one]).finding.level == "ok"


def nan_file() -> bytes:
    down = np.full((4, 8), np.nan, np.float32)
    return saved({"unet.x.lora_A.weight": down, "unet.x.lora_B.weight": np.ones((8, 4), np.float32)})


def ranked(rank: int, up: int | None = None) -> bytes:
    down = np.ones((rank, 8), np.float32)
    return saved({"x.lora_A.weight": down, "x.lora_B.weight": np.ones((8, rank if up is None else up), np.float32)})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04" + bytes(64), "got a pickle"),
        (b"\x80\x02}q\x00." + bytes(64), "got a pickle"),
        (b"", "whole safetensors"),
        (b"\xff" * 64, "whole safetensors"),
        (ranked(4)[:-8], "whole safetensors"),
        (nan_file(), "finite"),
        (ranked(0), "1 to 128, got 0"),
        (ranked(129), "1 to 128, got 129"),
        (ranked(4, up=3), "as down's rank"),
        (saved({"x.lora_A.weight": np.ones((4, 8), np.float32)}), "only down"),
        (saved({"x.hada_w1_a": np.ones(2, np.float32), "x.alpha": np.ones((), np.float32)}), "hada_w"),
        (saved({"conv_in.weight": np.ones(2, np.float32), "b": np.ones(2, np.float32)}), "packs import"),
        (saved({"<a>": np.ones((33, 8), np.float32)}), "1 to 32 vectors"),
        (saved({}), "without any"),
    ],
)
def test_a_file_that_is_no_adapter_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_adapter(data)
    assert refused.value.code == "adapter_invalid"
    assert said in refused.value.detail


def test_an_adapter_of_another_family_is_refused(make: Make) -> None:
    sd15, sdxl = make("sd15"), make("sdxl")
    for data in (
        peft_file(lora(sdxl.pack)),
        peft_file(lora(sdxl.pack, roles=("text_encoder_2",), layers=("q_proj",))),
        saved({"<a>": np.ones((1, 9), np.float32)}),
        saved({"unet.nowhere.lora_A.weight": np.ones((4, 8), np.float32),
               "unet.nowhere.lora_B.weight": np.ones((8, 4), np.float32)}),
    ):  # fmt: skip
        with pytest.raises(BadInput) as refused:
            sd15.load_adapter(read_adapter(data))
        assert refused.value.code == "adapter_mismatch"


def test_the_older_block_names_of_sdxl_files_are_those_that_diffusers_maps_them_to() -> None:
    """The names of a UNet with two resnets a level, as diffusers' own converter maps them."""
    from types import SimpleNamespace

    from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers

    attention = "transformer_blocks_0_attn1_to_q"
    names = [f"input_blocks_{number}_1_{attention}" for number in (4, 5, 7, 8)]
    names += [f"output_blocks_{number}_1_{attention}" for number in range(6)] + [f"middle_block_1_{attention}"]
    state = {f"lora_unet_{name}.lora_down.weight": torch.zeros(1) for name in names}
    mapped = _maybe_map_sgm_blocks_to_diffusers(state, SimpleNamespace(layers_per_block=2))
    theirs = {name.removeprefix("lora_unet_").removesuffix(".lora_down.weight") for name in mapped}
    for side, ours in (("input_blocks", "down_blocks"), ("middle_block", "mid_block"), ("output_blocks", "up_blocks")):
        theirs = {name.replace(side, ours) for name in theirs}  # which diffusers does one by one, later
    assert {sgm_name(name) for name in names} == theirs
