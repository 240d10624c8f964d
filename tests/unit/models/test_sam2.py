"""SAM 2 gives the masks of transformers' own model, through the same encoder and decoder as SAM."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from packshot.errors import PackRefused
from packshot.models.packs.pack import Pack, find_pack
from packshot.models.segment.segmenter import SamDecoder, SamEncoder, load_segmenter
from packshot.settings import Settings
from packshot.types import Embedding, Photo, Prompts

torch.set_num_threads(1)
SIDE = 128
TINY: dict[str, Any] = {
    "vision_config": {
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "image_size": [SIDE, SIDE],
            "hidden_size": 8,
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 2, 2, 4],
            "window_size_per_stage": [4, 4, 4, 4],
            "global_attention_blocks": [3],
            "window_positional_embedding_background_size": [4, 4],
        },
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": SIDE, "mask_input_channels": 8},
    "mask_decoder_config": {
        "hidden_size": 32,
        "mlp_dim": 32,
        "num_attention_heads": 4,
        "iou_head_hidden_dim": 16,
    },
}


@pytest.fixture(scope="module")
def model() -> Any:
    """transformers' video model, whose files the hub holds, with random weights."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    memory = {"memory_attention_num_layers": 1, "memory_attention_hidden_size": 32, "memory_encoder_hidden_size": 32}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Sam2VideoModel(Sam2VideoConfig(**TINY, **memory)).eval()
        for weight in made.parameters():
            weight.data.add_(0.1 * torch.randn_like(weight))
    made.shared_image_embedding.positional_embedding.copy_(made.prompt_encoder.shared_embedding.positional_embedding)
    return made


@pytest.fixture(scope="module")
def reference(model: Any) -> Any:
    """transformers' picture model with the same weights."""
    from transformers import Sam2Config, Sam2Model

    config = Sam2Config(**TINY)
    made, found = Sam2Model.from_pretrained(
        None, config=config, state_dict=dict(model.state_dict()), output_loading_info=True
    )
    assert not found["missing_keys"]
    return made.eval()


@pytest.fixture(scope="module")
def pack(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    folder = tmp_path_factory.mktemp("packs") / "tiny-sam2"
    folder.mkdir()
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    segmenter = {"class_name": "Sam2Model", "licence": "Apache-2.0", "config": TINY}
    manifest = {
        "name": folder.name,
        "title": "Tiny SAM 2",
        "kind": "segmenter",
        "licence": "Apache-2.0",
        "terms": {"commercial": True},
        "roles": {"segmenter": segmenter | {"files": {"model.safetensors": {"sha256": sha256}}}},
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return find_pack(folder.name, Settings(pack_path=str(folder), home=folder.parent / "home"))


@pytest.fixture(scope="module")
def parts(pack: Pack) -> tuple[SamEncoder, SamDecoder]:
    return load_segmenter(pack, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def photo() -> Photo:
    """A photo of the encoder's size, so that no scaling stands between the two."""
    noise = np.random.default_rng(1).integers(0, 255, (SIDE // 8, SIDE // 8, 3), np.uint8)
    return Photo(np.ascontiguousarray(noise.repeat(8, 0).repeat(8, 1)))


@pytest.fixture(scope="module")
def embedding(parts: tuple[SamEncoder, SamDecoder], photo: Photo) -> Embedding:
    [encoded] = parts[0].encode([photo])
    return encoded


def pixels(photo: Photo) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((torch.from_numpy(photo.pixels.copy()) / 255 - mean) / std).permute(2, 0, 1)[None]


def logits(decoder: SamDecoder, embedding: Embedding, prompts: Prompts) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's answers to the only prompt set: logits (4, h, w) and predicted IoU (4,)."""
    [one] = decoder._sets(0, embedding, prompts)
    masks, scores = decoder._call([one], [(embedding, prompts)])
    return masks[0], scores[0]


def test_the_embedding_is_transformers_own(reference: Any, embedding: Embedding, photo: Photo) -> None:
    quarter, eighth, features = reference.get_image_embeddings(pixels(photo))
    for ours, theirs in (
        (embedding.features, features),
        (embedding.extras["quarter"], quarter),
        (embedding.extras["eighth"], eighth),
    ):
        assert torch.allclose(torch.from_numpy(ours), theirs[0], atol=1e-5)


PROMPTS: dict[str, tuple[Prompts, dict[str, Any]]] = {
    "click": (Prompts(points=((40.0, 50.0, 1),)), {"input_points": [[[[40.0, 50.0]]]], "input_labels": [[[1]]]}),
    "clicks": (
        Prompts(points=((40.0, 50.0, 1), (90.0, 20.0, 0))),
        {"input_points": [[[[40.0, 50.0], [90.0, 20.0]]]], "input_labels": [[[1, 0]]]},
    ),
    "box": (Prompts(boxes=((20.0, 30.0, 100.0, 110.0),)), {"input_boxes": [[[20.0, 30.0, 100.0, 110.0]]]}),
    "box and click": (
        Prompts(points=((40.0, 50.0, 1),), boxes=((20.0, 30.0, 100.0, 110.0),)),
        {
            "input_points": [[[[40.0, 50.0]]]],
            "input_labels": [[[1]]],
            "input_boxes": [[[20.0, 30.0, 100.0, 110.0]]],
        },
    ),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_masks_and_scores_are_transformers_own(
    reference: Any, parts: tuple[SamEncoder, SamDecoder], embedding: Embedding, photo: Photo, name: str
) -> None:
    prompts, asked = PROMPTS[name]
    masks, scores = logits(parts[1], embedding, prompts)
    inputs = {key: torch.tensor(value) for key, value in asked.items()}
    with torch.inference_mode():
        several = reference(pixel_values=pixels(photo), multimask_output=True, **inputs)
        single = reference(pixel_values=pixels(photo), multimask_output=False, **inputs)
    assert (masks[1:] - several.pred_masks[0, 0]).abs().max() < 1e-4
    assert (masks[:1] - single.pred_masks[0, 0]).abs().max() < 1e-4
    assert (scores[1:] - several.iou_scores[0, 0]).abs().max() < 1e-4
    assert (scores[:1] - single.iou_scores[0, 0]).abs().max() < 1e-4


def test_a_mask_prompt_is_transformers_own(
    reference: Any, parts: tuple[SamEncoder, SamDecoder], embedding: Embedding, photo: Photo
) -> None:
    from packshot.types import Mask

    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[32:96, 48:112] = 255
    prompts = Prompts(points=((60.0, 60.0, 1),), mask=Mask(mask))
    masks, _ = logits(parts[1], embedding, prompts)
    prompt = torch.from_numpy(np.where(mask[::4, ::4] > 0, 10.0, -10.0).astype(np.float32))[None, None]
    with torch.inference_mode():
        theirs = reference(
            pixel_values=pixels(photo),
            input_points=torch.tensor([[[[60.0, 60.0]]]]),
            input_labels=torch.tensor([[[1]]]),
            input_masks=prompt,
            multimask_output=True,
        )
    assert (masks[1:] - theirs.pred_masks[0, 0]).abs().max() < 1e-4


def test_a_photo_is_stretched_and_masks_come_back_in_its_size(parts: tuple[SamEncoder, SamDecoder]) -> None:
    wide = Photo(np.random.default_rng(2).integers(0, 255, (60, 200, 3), np.uint8))
    [embedding] = parts[0].encode([wide])
    assert (embedding.input_width, embedding.input_height) == (SIDE, SIDE)
    prompts = [Prompts(), Prompts(points=((150.0, 30.0, 1),)), Prompts(boxes=((0.0, 0.0, 90.0, 50.0),))]
    for candidates in parts[1].decode([(embedding, one) for one in prompts]):
        assert all(candidate.mask.pixels.shape == (60, 200) for candidate in candidates)


def test_photos_share_a_call_as_if_alone(parts: tuple[SamEncoder, SamDecoder], photo: Photo) -> None:
    other = Photo(255 - photo.pixels)
    together = parts[0].encode([photo, other])
    for one, alone in zip(together, [photo, other], strict=True):
        [expected] = parts[0].encode([alone])
        assert np.abs(one.features - expected.features).max() < 1e-4


def test_in_bf16_the_decoder_stays_in_fp32(pack: Pack, photo: Photo) -> None:
    encoder, decoder = load_segmenter(pack, torch.device("cpu"), torch.bfloat16)
    [embedding] = encoder.encode([photo])
    assert embedding.features.dtype == embedding.extras["quarter"].dtype == np.float16
    assert decoder.decode([(embedding, Prompts(points=((40.0, 50.0, 1),)))])[0]
    kept = next(iter(decoder._decoder.parameters()))
    assert kept.dtype == torch.float32


def test_a_file_of_another_size_is_refused(pack: Pack) -> None:
    config = TINY | {"mask_decoder_config": TINY["mask_decoder_config"] | {"iou_head_hidden_dim": 8}}
    role = pack.manifest.roles["segmenter"].model_copy(update={"config": config})
    other = pack.manifest.model_copy(update={"roles": {"segmenter": role}})
    with pytest.raises(PackRefused) as refused:
        load_segmenter(Pack(other, pack.folder, pack.settings), torch.device("cpu"), torch.float32)
    assert refused.value.code == "pack_mismatch"


def test_the_shipped_config_has_the_files_number_of_parameters(tmp_path: Path) -> None:
    """With a video's memory, which the file also holds, and 8 + 901 rows of header: 897,897,416 bytes."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    spec = find_pack("sam2.1", Settings(home=tmp_path)).role("segmenter")
    with torch.device("meta"):
        state = Sam2VideoModel(Sam2VideoConfig(**spec.config)).state_dict()
    size = spec.files["model.safetensors"].bytes
    assert size is not None
    assert 80 * len(state) < size - 4 * sum(tensor.numel() for tensor in state.values()) < 160 * len(state)
