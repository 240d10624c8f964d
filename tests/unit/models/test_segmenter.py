"""Our encode/decode halves against segment_anything's own predictor, on tiny random SAMs."""

from __future__ import annotations

import copy
import sys
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.modeling.sam import Sam

from packshot.errors import BadInput, PackRefused
from packshot.models.packs.weights import build
from packshot.models.segment import segmenter
from packshot.models.segment.candidates import around
from packshot.models.segment.network import KEYS, VIT_B
from packshot.models.segment.refine import DETAIL_PX
from packshot.models.segment.segmenter import SamDecoder, SamEncoder, build_sam
from packshot.types import Embedding, MaskCandidate, Photo, Prompts

TINY = {
    "image_size": 64,
    "patch_size": 8,
    "encoder_embed_dim": 32,
    "encoder_depth": 2,
    "encoder_heads": 2,
    "window_size": 3,
    "global_attn_indexes": (1,),
    "out_chans": 16,
    "mask_in_chans": 4,
    "decoder_mlp_dim": 32,
    "decoder_heads": 2,
    "iou_hidden_dim": 16,
}
TINY_DETAIL = TINY | {"patch_size": 16, "window_size": 2, "relative_positions": False, "detail": (8, 8, 16)}
BOX = (20.0, 10.0, 80.0, 50.0)
CPU, FP32 = torch.device("cpu"), torch.float32


def photo(seed: int = 0, width: int = 100, height: int = 60) -> Photo:
    return Photo(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def random_sam(config: dict[str, Any] = TINY) -> Sam:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    sam = build_sam(config)
    with torch.no_grad():  # born near zero: masks must have both sides, or nothing is compared
        for weight in sam.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.35)
    return sam


def halves(config: dict[str, Any] = TINY) -> tuple[SamEncoder, SamDecoder]:
    sam = random_sam(config)
    return SamEncoder(copy.deepcopy(sam), CPU, FP32), SamDecoder(sam, CPU)


def masks_of(candidates: list[MaskCandidate]) -> np.ndarray:
    return np.stack([candidate.mask.pixels for candidate in candidates])


def scores_of(candidates: list[MaskCandidate]) -> np.ndarray:
    return np.array([candidate.score for candidate in candidates])


def test_it_is_built_without_torchs_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose import takes 1.3 s of every start of an encoder or decoder of masks."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # its import raises
    assert build("Sam", TINY).prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.is_meta


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize(
    ("points", "box"),
    [
        (((50.0, 30.0, 1),), None),
        (((50.0, 30.0, 1), (5.0, 5.0, 0), (70.0, 40.0, 1)), None),
        ((), BOX),
        (((50.0, 30.0, 1), (25.0, 45.0, 0)), BOX),
    ],
    ids=["click", "clicks", "box", "box and clicks"],
)
def test_masks_and_scores_are_those_of_sam_predictor(
    points: tuple[Any, ...], box: tuple[float, float, float, float] | None, multimask: bool
) -> None:
    encoder, decoder = halves()
    picture = photo()
    predictor = SamPredictor(random_sam())
    predictor.set_image(picture.pixels)
    wanted, iou, _ = predictor.predict(
        point_coords=np.array([p[:2] for p in points]) if points else None,
        point_labels=np.array([p[2] for p in points]) if points else None,
        box=np.array(box) if box else None,
        multimask_output=multimask,
    )
    [found] = decoder.decode([(encoder.encode([picture])[0], Prompts(points, (box,) if box else (), multimask))])
    clipped = np.where(wanted.any((1, 2)), iou.clip(0, 1), 0)
    order = np.argsort(-clipped, kind="stable")
    assert 0.02 < wanted.mean() < 0.98, "all or nothing would compare nothing"
    assert np.abs(scores_of(found) - clipped[order]).max() <= 1e-5
    for candidate in found:  # clipped scores may tie: any predictor mask of that score will do
        rivals = wanted[np.abs(clipped - candidate.score) <= 1e-5]
        assert any(np.array_equal(candidate.mask.pixels > 0, rival) for rival in rivals)


@pytest.mark.parametrize("config", [TINY, TINY_DETAIL], ids=["plain", "detail"])
def test_clicks_on_different_photos_in_one_call_answer_as_alone(config: dict[str, Any]) -> None:
    encoder, decoder = halves(config)
    embeddings = encoder.encode([photo(1), photo(2, 60, 100)])
    requests = [
        (embeddings[0], Prompts(((50.0, 30.0, 1),))),
        (embeddings[1], Prompts((), ((5.0, 5.0, 50.0, 90.0),))),
        (embeddings[1], Prompts(((10.0, 90.0, 1), (50.0, 5.0, 0)), multimask=False)),
        (embeddings[0], Prompts(((20.0, 20.0, 1),))),
    ]
    together = decoder.decode(requests)
    for request, shared in zip(requests, together, strict=True):
        [alone] = decoder.decode([request])
        assert np.abs(scores_of(alone) - scores_of(shared)).max() <= 1e-5
        assert np.mean(masks_of(alone) != masks_of(shared)) <= 1e-4  # a logit of ±1e-7 may fall either way


def test_clicks_of_equal_length_share_one_call_of_the_mask_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, decoder = halves()
    rows: list[int] = []
    decode = decoder._decoder.decode

    def counted(features: torch.Tensor, *rest: Any) -> Any:
        rows.append(len(features))
        return decode(features, *rest)

    monkeypatch.setattr(decoder._decoder, "decode", counted)
    embeddings = encoder.encode([photo(seed) for seed in range(3)])
    click, box = Prompts(((50.0, 30.0, 1),)), Prompts((), (BOX,))  # a click and its pad, two corners: two tokens each
    decoder.decode([(embeddings[0], click), (embeddings[1], box), (embeddings[2], click)])
    assert rows == [3]


def test_photos_encoded_together_equal_photos_encoded_alone() -> None:
    encoder, _ = halves(TINY_DETAIL)
    pictures = [photo(1), photo(2, 30, 90), photo(3, 64, 64)]
    for picture, shared in zip(pictures, encoder.encode(pictures), strict=True):
        [alone] = encoder.encode([picture])
        assert np.allclose(alone.features, shared.features, atol=1e-4)
        assert (alone.input_width, alone.input_height) == (shared.input_width, shared.input_height)
        assert max(alone.input_width, alone.input_height) == 64


def test_no_photos_give_no_embeddings() -> None:
    assert halves()[0].encode([]) == []


def test_an_embedding_owns_its_memory_and_counts_it() -> None:
    """A view into the batch would keep every other photo of it alive in the cache."""
    encoder, _ = halves(TINY_DETAIL)
    embedding = encoder.encode([photo(1), photo(2)])[0]
    assert all(array.base is None for array in (embedding.features, *embedding.extras.values()))
    assert embedding.nbytes == embedding.features.nbytes + sum(array.nbytes for array in embedding.extras.values())


def test_features_are_half_precision_when_the_encoder_is() -> None:
    encoder = SamEncoder(random_sam(), CPU, torch.bfloat16)
    [embedding] = encoder.encode([photo()])
    assert embedding.features.dtype == np.float16
    [[best]] = SamDecoder(random_sam(), CPU).decode([(embedding, Prompts(((50.0, 30.0, 1),), multimask=False))])
    assert best.mask.pixels.shape == (60, 100)


def test_read_only_arrays_decode() -> None:
    """Ray hands arrays over read-only."""
    encoder, decoder = halves(TINY_DETAIL | {"refine": "grabcut"})
    [embedding] = encoder.encode([photo()])
    for array in (embedding.features, *embedding.extras.values()):
        array.flags.writeable = False
    assert len(decoder.decode([(embedding, Prompts(((50.0, 30.0, 1),)))])[0]) == 3


def test_candidates_come_best_first_and_empty_masks_last() -> None:
    encoder, decoder = halves()
    embeddings = encoder.encode([photo(seed) for seed in range(4)])
    for candidates in decoder.decode([(e, Prompts(((50.0, 30.0, 1),))) for e in embeddings]):
        scores = scores_of(candidates)
        assert 1 <= len(candidates) <= 3
        assert np.all(np.diff(scores) <= 0)
        assert np.all((scores >= 0) & (scores <= 1))
        assert all(c.score == 0 for c in candidates if c.mask.area_px == 0)


def test_several_boxes_join_what_each_finds() -> None:
    encoder, decoder = halves()
    [embedding] = encoder.encode([photo()])
    left, right = (5.0, 5.0, 45.0, 55.0), (55.0, 5.0, 95.0, 55.0)
    inside_left = (20.0, 20.0, 1)

    def ask(points: tuple[Any, ...], *boxes: tuple[float, float, float, float]) -> MaskCandidate:
        return decoder.decode([(embedding, Prompts(points, boxes, multimask=False))])[0][0]

    both, one, other = ask((inside_left,), left, right), ask((inside_left,), left), ask((), right)
    assert np.array_equal(both.mask.pixels, one.mask.pixels | other.mask.pixels)
    assert both.score == pytest.approx(min(one.score, other.score), abs=1e-5)


def test_without_prompts_the_most_product_like_masks_come_back() -> None:
    encoder, decoder = halves(TINY_DETAIL)
    [embedding] = encoder.encode([photo()])
    [many], [one] = (decoder.decode([(embedding, Prompts(multimask=flag))]) for flag in (True, False))
    assert 1 <= len(many) <= 3
    assert len(one) == 1
    assert np.array_equal(one[0].mask.pixels, many[0].mask.pixels)


def test_the_best_mask_without_a_prompt_is_asked_again_with_its_own_box() -> None:
    encoder, decoder = halves(TINY_DETAIL | {"refine": "grabcut"})
    [embedding] = encoder.encode([photo()])
    with mock.patch.object(segmenter, "reconsidered", side_effect=lambda first, again, seen: again) as asked:
        [[found]] = decoder.decode([(embedding, Prompts(multimask=False))])
    box = around(asked.call_args.args[0].shape.bbox_xyxy((60, 100)), (60, 100))
    [[expected]] = decoder.decode([(embedding, Prompts(boxes=(box,), multimask=False))])
    assert 0 < np.count_nonzero(expected.mask.pixels) < 6000
    assert np.array_equal(found.mask.pixels, expected.mask.pixels)


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (64, 64)])
def test_extreme_aspects_pass(shape: tuple[int, int]) -> None:
    encoder, decoder = halves(TINY_DETAIL | {"refine": "grabcut"})
    height, width = shape
    [embedding] = encoder.encode([photo(0, width, height)])
    for prompts in (Prompts(((width - 1.0, height - 1.0, 1),)), Prompts()):
        [candidates] = decoder.decode([(embedding, prompts)])
        assert candidates[0].mask.pixels.shape == shape


@pytest.mark.parametrize(
    ("prompts", "code"),
    [(Prompts(((100.0, 0.0, 1),)), "point_outside"), (Prompts((), ((9.0, 9.0, 9.0, 20.0),)), "box_invalid")],
)
def test_prompts_outside_the_photo_are_refused(prompts: Prompts, code: str) -> None:
    embedding = Embedding(np.zeros((16, 8, 8), np.float32), 100, 60, 64, 38)
    with pytest.raises(BadInput) as refusal:
        SamDecoder(random_sam(), CPU).decode([(embedding, prompts)])
    assert refusal.value.code == code


def test_vit_b_has_the_published_checkpoint_s_names_and_shapes() -> None:
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        ours, theirs = build_sam(VIT_B).state_dict(), sam_model_registry["vit_b"]().state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in theirs.items()}


def test_weights_named_by_transformers_give_transformers_masks() -> None:
    from transformers import SamConfig, SamModel

    torch.manual_seed(5)
    config = SamConfig(
        vision_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 8,
            "window_size": 3,
            "global_attn_indexes": [1],
            "mlp_dim": 128,
            "output_channels": 16,
            "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
    )
    theirs = SamModel(config).eval()
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.normal_(0, 0.2)
    sam = build_sam(TINY)
    sam.load_state_dict(theirs.state_dict())
    pixels, point = torch.randn(1, 3, 64, 64), torch.tensor([[30.0, 20.0]])
    with torch.no_grad():
        wanted = theirs(pixel_values=pixels, input_points=point[None, None], multimask_output=True)
        sparse, dense = sam.prompt_encoder((point[None], torch.ones(1, 1)), None, None)
        features = sam.image_encoder(pixels)
        masks, scores = sam.mask_decoder.decode(features, sam.prompt_encoder.get_dense_pe(), sparse, dense[..., :1, :1])
    assert torch.allclose(masks[:, 1:], wanted.pred_masks[:, 0], atol=1e-4)
    assert torch.allclose(scores[:, 1:], wanted.iou_scores[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"image_size": 60}, "patch_size"),
        ({"encoder_heads": 3}, "encoder_heads"),
        ({"refine": "magic"}, "grabcut"),
        ({"detail": (8, 8)}, "three"),
        ({"image_sise": 64}, "image_sise"),
    ],
)
def test_configs_that_do_not_fit_are_refused(change: dict[str, object], word: str) -> None:
    with pytest.raises(PackRefused, match=word):
        build_sam(TINY | change)


def test_a_missing_key_is_named() -> None:
    assert KEYS["image_size"] is None
    with pytest.raises(PackRefused, match="image_size"):
        build_sam({key: value for key, value in TINY.items() if key != "image_size"})


def test_an_embedding_holds_the_photo_in_the_sizes_that_borders_need() -> None:
    encoder, _ = halves(TINY_DETAIL | {"refine": "grabcut", "thumbnail_px": 80})
    small, middle, large = encoder.encode([photo(0, 60, 40), photo(0, 100, 60), photo(0, 2000, 200)])
    assert small.extras["thumbnail"].shape == (40, 60, 3)
    assert "large" not in small.extras
    assert middle.extras["thumbnail"].shape == (48, 80, 3)
    assert middle.extras["large"].shape == (60, 100, 3)
    assert large.extras["large"].shape == (154, DETAIL_PX, 3)
