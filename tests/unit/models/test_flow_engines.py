"""The flow-matching recipes: equal to the published pipelines, and the same in any company."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from packshot.contract.shot_spec import Condition
from packshot.errors import BadInput, EngineFailed
from packshot.models.engines import step_engine
from packshot.models.engines.chat_prompts import ChatPrompts
from packshot.models.engines.flow import FlowEngine
from packshot.models.engines.loading import load_engine
from packshot.models.packs.flow_fit import CONTROL_LAYER, EDIT_LAYERS
from packshot.models.packs.pack import find_pack
from packshot.references import ReferencePicture, References
from packshot.settings import Settings
from packshot.types import Brief, ConditionMaps, EdgeMap, Kept, Scene
from tests.tiny_flow_pack import LENGTH, build_tiny_flow_pack
from tests.tiny_pack import SIZE_PX
from tests.waiting import WAIT_S

torch.set_num_threads(1)
Make = Callable[[str], FlowEngine]
RECIPES = ("flow_edit", "flow_control")
TEMPLATE = (
    "{% for one in messages %}{{ '<|im_start|>' + one.role + '\n' + one.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
"""What Qwen3's chat template does with one message."""


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """An engine over a tiny pack of each recipe; one for all tests."""
    home = tmp_path_factory.mktemp("packs")
    made: dict[str, FlowEngine] = {}

    def engine_of(recipe: str) -> FlowEngine:
        if recipe not in made:
            build_tiny_flow_pack(home / recipe, recipe)
            pack = find_pack(recipe, Settings(pack_path=str(home), home=home / "home"))
            engine = load_engine(pack, "cpu", torch.float32)
            assert isinstance(engine, FlowEngine)
            made[recipe] = engine
        return made[recipe]

    return engine_of


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_text_encoder_on_the_cpu_gives_the_same_texts_on_the_engines_device(make: Make, recipe: str) -> None:
    """With the setting, the model and its inputs never leave the CPU: on a device without values it has values."""
    engine = make(recipe)
    pack = replace(engine.pack, settings=engine.pack.settings.model_copy(update={"text_encoder_device": "cpu"}))
    layers = EDIT_LAYERS if recipe == "flow_edit" else (CONTROL_LAYER,)
    apart = ChatPrompts(pack, torch.device("meta"), torch.float32, layers=layers)
    brief = Brief("a red mug", steps=4)
    texts, lengths, _ = apart.read(brief)
    assert {one.device.type for one in apart._network.parameters()} == {"cpu"}
    assert texts.device.type == "meta"
    own: ChatPrompts = vars(engine)["_prompts"]
    here = ChatPrompts(pack, torch.device("cpu"), torch.float32, layers=layers)
    with torch.inference_mode():
        assert torch.equal(here.read(brief)[0], own.read(brief)[0])
    assert lengths == here.read(brief)[1]


def pixels(seed: int, height: int = SIZE_PX, width: int = SIZE_PX) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scene(engine: FlowEngine, size: tuple[int, int] = (SIZE_PX, SIZE_PX), texture: int = 0, **brief: Any) -> Scene:
    """A noisy product in the middle of grey, its edges noise too."""
    width, height = size
    repaint = np.full((height, width), 255, np.uint8)
    repaint[height // 4 : height // 2, width // 4 : width * 3 // 4] = 0
    edges = np.where(pixels(texture + 1, height, width)[..., 0] < 25, 255, 0).astype(np.uint8)
    controlled = 0.75 if engine.pack.controls else 0.0
    told: dict[str, Any] = {
        "prompt": "a red mug",
        "seed": 7,
        "steps": 4,
        "guidance_scale": 1.0,
        "control_scale": controlled,
    }
    return Scene(pixels(texture, height, width), repaint, EdgeMap(edges), Brief(**(told | brief)))


def run(engine: FlowEngine, *scenes: Scene) -> list[np.ndarray[Any, Any]]:
    """The final latents of scenes that share their steps."""
    rows = [engine.begin(one) for one in scenes]
    while not all(row.done for row in rows):
        engine.step(rows)
        errors = [row.error for row in rows if row.error]
        if errors:
            raise errors[0]
    return [row.latents.numpy() for row in rows]


def published(engine: FlowEngine, wanted: Scene) -> np.ndarray[Any, Any]:
    """The picture, 0..1, of diffusers' own pipeline over the same weights, with the same seed."""
    import diffusers
    from transformers import PreTrainedTokenizerFast

    pack, brief = engine.pack, wanted.brief
    path = str(pack.paths("tokenizer")["tokenizer.json"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=path, pad_token="<|endoftext|>", chat_template=TEMPLATE)
    parts = {role: pack.load(role) for role in ("text_encoder", "vae", "transformer", "scheduler")}
    kept = wanted.kept
    picture, mask = (wanted.product, wanted.inpaint_mask) if kept is None else (kept.picture, kept.repaint)
    told: dict[str, Any] = {
        "prompt": brief.prompt,
        "image": Image.fromarray(picture),
        "mask_image": Image.fromarray(mask),
        "num_inference_steps": brief.steps,
        "height": wanted.size[1],
        "width": wanted.size[0],
        "generator": torch.Generator("cpu").manual_seed(brief.seed),
        "max_sequence_length": LENGTH,
        "output_type": "np",
    }
    if pack.manifest.recipe == "flow_edit":
        pipeline = diffusers.Flux2KleinInpaintPipeline(**parts, tokenizer=tokenizer)
        told |= {"strength": brief.strength, "guidance_scale": brief.guidance_scale}
        if wanted.references:
            told["image_reference"] = [
                Image.fromarray(one.pixels) for one in wanted.references.pictures if one.pixels is not None
            ]
    else:
        net = pack.load("controlnet")
        pipeline = diffusers.ZImageControlNetInpaintPipeline(**parts, tokenizer=tokenizer, controlnet=net)
        told |= {
            "control_image": Image.fromarray(np.repeat(wanted.edge_map.pixels[..., None], 3, axis=2)),
            "controlnet_conditioning_scale": brief.control_scale,
            "guidance_scale": max(0.0, brief.guidance_scale - 1),  # it adds to the prompt's prediction
            "negative_prompt": brief.negative_prompt,
        }
    pipeline.set_progress_bar_config(disable=True)
    made: np.ndarray[Any, Any] = pipeline(**told).images[0]
    return made


def apart(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """The largest difference of two arrays of latents."""
    return float(np.abs(one - other).max())


def referring(wanted: Scene, *pictures: np.ndarray[Any, Any], strength: float = 1.0) -> Scene:
    of = tuple(ReferencePicture(1 / len(pictures), pixels=picture) for picture in pictures)
    return replace(wanted, references=References(of, strength))


CASES: dict[str, dict[str, Any]] = {
    "distilled": {},
    "guided": {"guidance_scale": 3.0},
    "one step": {"steps": 1},
    "wide": {"size": (80, 48), "steps": 3},
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_equals_the_published_pipeline(make: Make, recipe: str, case: dict[str, Any]) -> None:
    """The picture is within 1e-4 in fp32, for the same seed."""
    engine = make(recipe)
    wanted = scene(engine, **case)
    assert_equal(engine, wanted)


def assert_equal(engine: FlowEngine, wanted: Scene) -> None:
    (latents,) = run(engine, wanted)
    unrounded = engine._decode(torch.from_numpy(latents))[0]
    own = (unrounded / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
    picture = published(engine, wanted)
    assert np.abs(own - picture).max() <= 1e-4
    assert picture.std() > 0.05, "an even picture would agree with anything"


@pytest.mark.parametrize("count", [1, 2])
def test_references_equal_the_published_pipeline(make: Make, count: int) -> None:
    engine = make("flow_edit")
    plain = scene(engine)
    pictures = [pixels(20 + one, 32, 48) for one in range(count)]
    wanted = referring(plain, *pictures)
    assert_equal(engine, wanted)
    assert apart(run(engine, wanted)[0], run(engine, plain)[0]) > 0.01, "the reference must change the picture"


def test_the_texts_the_edges_and_the_weights_count(make: Make) -> None:
    """What the pipelines read changes the picture; a reference of strength 0.5 changes it by less."""
    for recipe in RECIPES:
        engine = make(recipe)
        plain, other = scene(engine), scene(engine, prompt="a blue jar on sand")
        assert apart(*run(engine, plain, other)) > 0.01
    edges = scene(engine, control_scale=0.3)
    assert apart(*run(engine, plain, edges)) > 0.01
    edit = make("flow_edit")
    plain = scene(edit)
    whole, half, none = (run(edit, referring(plain, pixels(20), strength=strength))[0] for strength in (1.0, 0.5, 0.0))
    (without,) = run(edit, plain)
    assert apart(none, without) == 0 < apart(half, without) < apart(whole, without)


def with_depth(wanted: Scene, scale: float = 1.0) -> Scene:
    maps = ConditionMaps(depth=np.ascontiguousarray(pixels(50)[..., 0]))
    brief = replace(wanted.brief, conditions=(Condition(kind="depth", scale=scale),))
    return replace(wanted, brief=brief, maps=maps)


def test_the_union_net_follows_depth_too(make: Make) -> None:
    """Alone and beside the edges; and a row without it in the same step is not affected."""
    engine = make("flow_control")
    plain = scene(engine, prompt="a long prompt about a red mug")
    both, alone = with_depth(plain), with_depth(scene(engine, control_scale=0.0))
    found = run(engine, plain, both, alone)
    for together, wanted in zip(found, (plain, both, alone), strict=True):
        assert apart(together, run(engine, wanted)[0]) <= 1e-4
    assert apart(found[0], found[1]) > 0.01
    assert apart(found[1], run(engine, with_depth(plain, 0.5))[0]) > 0.01


@pytest.mark.parametrize("recipe", RECIPES)
def test_company_changes_nothing(make: Make, recipe: str) -> None:
    """Scenes with other steps, guidance, texts and weights share their steps, and equal themselves alone."""
    engine = make(recipe)
    scenes = [
        scene(engine, texture=1, seed=1, steps=4),
        scene(engine, texture=2, seed=2, steps=6, guidance_scale=4.0, negative_prompt="text, a long list of faults"),
        scene(engine, texture=3, seed=3, steps=4, prompt="x", control_end=0.5),
        scene(engine, texture=4, seed=4, steps=8, guidance_scale=2.0, control_scale=0.0),
    ]
    if recipe == "flow_edit":
        scenes = [referring(one, pixels(30 + at), strength=1 - at / 5) for at, one in enumerate(scenes)]
    assert len({engine.batch_key(one) for one in scenes}) == 1
    each = 2 if recipe == "flow_edit" else 1  # a row with a reference is longer than one without
    assert [engine.rows(one) for one in scenes] == [each, 2 * each, each, 2 * each]
    for together, wanted in zip(run(engine, *scenes), scenes, strict=True):
        assert apart(together, run(engine, wanted)[0]) <= 1e-4


def test_what_cannot_share_a_step_has_another_key(make: Make) -> None:
    """A sequence with other places needs its own call: another size, number or size of references."""
    engine = make("flow_edit")
    plain = scene(engine)
    kinds = (
        plain,
        scene(engine, (80, 48)),
        referring(plain, pixels(1)),
        referring(plain, pixels(1), pixels(2)),
        referring(plain, pixels(1, 32, 48)),
    )
    assert len({engine.batch_key(one) for one in kinds}) == len(kinds)
    assert engine.batch_key(referring(plain, pixels(1, 3000, 3000))) == ((4, 4), ((32, 32),))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_may_take_several_calls(make: Make, recipe: str) -> None:
    """With a bound on the rows of a call, as after running out of memory, the result is the same."""
    engine = make(recipe)
    scenes = [scene(engine, seed=seed, guidance_scale=3.0) for seed in (1, 2)]
    rows = [engine.begin(one) for one in scenes]
    while not rows[0].done:
        engine.step(rows, max_rows=1)
    for row, together in zip(rows, run(engine, *scenes), strict=True):
        assert apart(row.latents.numpy(), together) <= 1e-4


@pytest.mark.parametrize("recipe", RECIPES)
def test_running_out_of_memory_changes_no_scene(make: Make, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make(recipe)
    row = engine.begin(scene(engine))
    before = row.latents.clone()
    with monkeypatch.context() as patched:

        def fail(*_: object, **__: object) -> None:
            raise torch.OutOfMemoryError("too much")

        patched.setattr(engine._transformer, "forward", fail)
        with pytest.raises(EngineFailed, match="engine_out_of_memory"):
            engine.step([row])
    assert row.index == 0
    assert torch.equal(row.latents, before)
    engine.step([row])
    assert row.index == 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_scene_that_breaks_fails_alone(make: Make, recipe: str) -> None:
    engine = make(recipe)
    whole, broken = (engine.begin(scene(engine, seed=seed)) for seed in (1, 2))
    broken.latents = broken.latents * float("nan")
    engine.step([whole, broken])
    assert whole.error is None
    assert isinstance(broken.error, EngineFailed)
    assert broken.error.code == "engine_nan"
    assert engine.preview(broken).shape == engine.preview(whole).shape == (SIZE_PX, SIZE_PX, 3)


def touched(engine: FlowEngine, **brief: Any) -> Scene:
    """A scene that repaints the right half of a picture."""
    repaint = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    repaint[:, SIZE_PX // 2 :] = 255
    return replace(scene(engine, **brief), kept=Kept(pixels(9), repaint))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_touchup_keeps_the_rest_of_its_picture(make: Make, recipe: str) -> None:
    """The kept half ends as the picture's own latents, and strength is the part of the schedule that is run."""
    engine = make(recipe)
    wanted = touched(engine, steps=4)
    (latents,) = run(engine, wanted)
    own = engine._encode(engine._repainted(wanted).picture).numpy()
    half = own.shape[-1] // 2
    assert apart(latents[..., :half], own[..., :half]) < 1e-5
    assert apart(latents[..., half:], own[..., half:]) > 0.1
    assert engine.begin(touched(engine, steps=4, strength=0.5)).index == 2


def test_a_touchup_equals_the_published_pipeline(make: Make) -> None:
    engine = make("flow_edit")
    assert_equal(engine, touched(engine, steps=4))
    assert_equal(engine, touched(engine, steps=4, strength=0.5))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_scene_larger_than_a_bucket_is_painted_in_windows(make: Make, recipe: str) -> None:
    engine = make(recipe)
    size = max(size for size in framings(engine) if size[0] > 2 * size[1])
    wanted = scene(engine, size, steps=4)
    row = engine.begin(wanted)
    assert len(row.windows) > 1
    while not row.done:
        engine.step([row])
    (render,) = engine.decode([row])
    assert render.pixels.shape == (size[1], size[0], 3)
    assert render.pixels.std() > 5


def framings(engine: FlowEngine) -> list[tuple[int, int]]:
    from packshot.models.packs.framing import tilings

    return [size for size, tiling in tilings(engine.pack.manifest.buckets).items() if tiling.count == 2]


def test_an_engine_without_edges_ignores_none_and_refuses_a_weight(make: Make) -> None:
    engine = make("flow_edit")
    with pytest.raises(BadInput, match="engine_cannot"):
        engine.begin(scene(engine, control_scale=0.5))


def test_the_curve_is_measured(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_engine, "LONGEST_STEP_S", WAIT_S)  # a busy machine's step may take longer
    for recipe in RECIPES:
        assert set(make(recipe).step_seconds((1, 2))) == {1, 2}
