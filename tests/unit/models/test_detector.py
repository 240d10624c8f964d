"""Words to boxes: the mini pack's head on the segmenter's features, and GroundingDINO in hub layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from packshot.errors import PackRefused
from packshot.models.detect.detector import (
    MOST,
    GroundingDetector,
    MiniDetector,
    kept,
    load_detector,
)
from packshot.models.detect.network import NameFinder
from packshot.models.detect.phrases import find_phrases
from packshot.models.engines.word_tokenizer import WordTokenizer
from packshot.models.packs.pack import Pack, find_pack, sha256_of
from packshot.settings import Settings
from packshot.types import Embedding, Photo
from tests.tiny_pack import build_tiny_pack

torch.set_num_threads(1)
CPU = torch.device("cpu")
WORDS = WordTokenizer({"mug": 3, "red": 4, "shoe": 5}, {"cup": "mug"}, 6)
CONFIG: dict[str, Any] = {
    "feature_channels": 4, "detail_channels": 2, "vocabulary": 6, "phrases": 3, "phrase_words": 2, "width": 8,
    "depth": 1, "view_width": 8, "view_depth": 1,
}  # fmt: skip
PHRASES = torch.tensor([[3, 0], [5, 0], [4, 3]])
"""Mug, shoe, red mug."""


class OnePlace(NameFinder):
    """Sees a mug at row 1, column 2 of 4, with a box of a quarter to each side."""

    def proposed(self, joined: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        products = torch.full((len(joined), 4, 4), -9.0)
        products[:, 1, 2] = 9
        middle = (torch.arange(4) + 0.5) / 4
        x, y = middle.expand(4, 4), middle[:, None].expand(4, 4)
        boxes = torch.stack([x - 0.25, y - 0.25, x + 0.25, y + 0.25], -1).repeat(len(joined), 1, 1, 1)
        return products, boxes

    def mended(self, joined: torch.Tensor, boxes: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return boxes

    def numbers(self, joined: torch.Tensor, boxes: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return ((boxes - torch.tensor([0.375, 0.125, 0.875, 0.625])).abs().amax(1) < 1e-6).float()

    def scores(self, numbers: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        return numbers[:, None] * asked[:, 0]


@pytest.fixture
def mini() -> MiniDetector:
    torch.manual_seed(0)
    network = OnePlace(**CONFIG).eval()
    network.phrases.copy_(PHRASES)
    return MiniDetector(network, WORDS, CPU)


def embedding(width: int = 64, height: int = 64) -> Embedding:
    """Of a photo of 640x480 px by default, whose input fills the square of 64 px but for its shape."""
    features = np.zeros((4, 4, 4), np.float32)
    return Embedding(features, 640, 480, width, height, {"eighth": np.zeros((2, 8, 8), np.float16)})


def test_a_named_product_has_its_box_in_photo_pixels(mini: MiniDetector) -> None:
    [[found]] = mini.find([(embedding(64, 48), "mug")])
    # the place (2.5, 1.5) / 4, a quarter of the 64-px input around: 24..56 of 64 across, 8..40 of 48 down
    assert found.box_xyxy == pytest.approx((240, 80, 560, 400))
    assert found.score > 0.9


def test_a_box_ends_at_the_photo(mini: MiniDetector) -> None:
    [[found]] = mini.find([(embedding(48, 32), "mug")])
    assert found.box_xyxy == pytest.approx((24 / 48 * 640, 8 / 32 * 480, 640, 480))


@pytest.mark.parametrize("words", ["shoe", "giraffe", ""])
def test_what_is_absent_unknown_or_unsaid_is_not_found(mini: MiniDetector, words: str) -> None:
    assert mini.find([(embedding(), words)]) == [[]]


def test_a_synonym_finds_and_an_unknown_word_is_named(mini: MiniDetector) -> None:
    assert len(mini.find([(embedding(), "Cup")])[0]) == 1
    assert mini.read("a giraffe cup") == (["cup"], ["a", "giraffe"])
    assert mini.read("red") == ([], ["red"]), "known as a part of a name, and no name itself"


def test_words_are_read_as_the_network_chooses_its_phrases() -> None:
    """Whoever reads words without the network, from the pack's files alone, says the same."""
    pack = find_pack("mini", Settings())
    found, detector = find_phrases(pack), load_detector(pack, CPU)
    assert found is not None
    assert isinstance(detector, MiniDetector)
    names = [word for word in detector.tokenizer.vocab if not word.startswith("<")]
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(names, rng.integers(1, 12))) for _ in range(300)]
    ids = torch.from_numpy(detector.tokenizer(texts))
    chosen = detector.network.chosen(ids) > 0
    for text, own in zip(texts, chosen, strict=True):
        asked = set(detector.network.phrases[own].round().long().flatten().tolist())
        known = [one for one in detector.tokenizer.words(text) if asked.intersection(detector.tokenizer.ids_of(one))]
        assert (found.read(text)[0], detector.read(text)) == (known, found.read(text))


def test_a_detector_of_any_words_has_no_phrases(tmp_path: Path) -> None:
    pack = find_pack("sd15", Settings(home=tmp_path))
    assert (pack.manifest.roles["detector"].class_name, find_phrases(pack)) == ("GroundingDinoForObjectDetection", None)


def test_photos_share_a_call_without_changing_answers(mini: MiniDetector) -> None:
    asked = [(embedding(), "mug"), (embedding(48, 32), "shoe"), (embedding(48, 32), "mug")]
    assert mini.find(asked) == [mini.find([one])[0] for one in asked]


def test_the_head_reads_embeddings_alone(mini: MiniDetector) -> None:
    with pytest.raises(TypeError, match="encode it"):
        mini.find([(Photo(np.zeros((8, 8, 3), np.uint8)), "mug")])


def test_overlapping_boxes_are_one_and_answers_are_few() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 0, 30, 10], [40, 0, 40.5, 10]], np.float32)
    found = kept(boxes, np.array([0.6, 0.9, 0.7, 0.99], np.float32), 0.5)
    assert [one.box_xyxy for one in found] == [(1, 1, 11, 11), (20, 0, 30, 10)]
    many = np.array([[20 * n, 0, 20 * n + 10, 10] for n in range(20)], np.float32)
    assert len(kept(many, np.full(20, 0.9, np.float32), 0.5)) == MOST
    assert kept(boxes, np.full(4, 0.4, np.float32), 0.5) == []


def test_a_box_shows_its_own_part_of_the_picture() -> None:
    """Boxes are XYXY in shares of the input: x across and y down."""
    network = NameFinder(**CONFIG).eval()
    joined = torch.zeros(2, 12, 8, 8)
    joined[1, :, :4, 4:] = 1.0  # top right of the second picture
    boxes = torch.tensor([[0.6, 0.1, 0.9, 0.4], [0.1, 0.6, 0.4, 0.9], [0.6, 0.1, 0.9, 0.4]])
    numbers = network.numbers(joined, boxes, torch.tensor([1, 1, 0]))
    assert (numbers[0, :-1] == 1).all()
    assert not numbers[1:, :-1].any()
    wide = network.numbers(joined, torch.tensor([[0.1, 0.4, 0.9, 0.6]]), torch.tensor([0]))
    assert float(wide[0, -1]) == pytest.approx(np.log(4))
    assert network.mended(joined, boxes, torch.tensor([1, 1, 0])).shape == (3, 4)


@pytest.mark.parametrize(
    ("words", "shares"),
    [("mug", [1, 0, 0]), ("my red cup", [0, 0, 1]), ("mug shoe", [0.5, 0.5, 0]), ("red", [0, 0, 0]), ("", [0, 0, 0])],
)
def test_words_choose_the_longest_phrases_that_they_hold(mini: MiniDetector, words: str, shares: list[float]) -> None:
    assert mini.network.chosen(torch.from_numpy(WORDS([words])))[0].tolist() == shares


def test_words_that_name_no_phrase_score_nothing() -> None:
    network = NameFinder(**CONFIG).eval()
    network.line.copy_(torch.tensor([1.0, 5.0]))
    scores = network.scores(torch.randn(4, 12 * 16 + 1), torch.tensor([[0.0, 0, 0], [1, 0, 0]]))
    assert not scores[:, 0].any()
    assert (scores[:, 1] > 0).all()


# As a role of a pack


def with_role(folder: Path, role: dict[str, Any]) -> Pack:
    """A tiny pack with a detector."""
    build_tiny_pack(folder)
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    manifest["roles"]["detector"] = {"licence": "Apache-2.0"} | role
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return find_pack(folder.name, Settings(pack_path=str(folder), home=folder.parent / "home"))


def files_of(folder: Path, *names: str) -> dict[str, Any]:
    return {name: {"sha256": sha256_of(folder / name)} for name in names}


def test_a_pack_without_the_role_has_no_detector(tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "tiny")
    assert load_detector(find_pack("tiny", Settings(pack_path=str(folder), home=tmp_path)), CPU) is None


def test_a_pack_loads_its_own_head_with_its_words(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    save_file(NameFinder(**CONFIG).state_dict(), folder / "detector.safetensors")
    WORDS.save(folder / "detector_words.json")
    files = files_of(folder, "detector.safetensors", "detector_words.json")
    role = {"class_name": "NameFinder", "config": CONFIG, "files": files}
    detector = load_detector(with_role(folder, role), CPU)
    assert isinstance(detector, MiniDetector)
    assert detector.reads == "embedding"
    assert torch.equal(detector.network.phrases, torch.zeros(3, 2))
    with pytest.raises(PackRefused, match=r"vocabulary.*must be 6"):
        load_detector(with_role(folder, role | {"config": CONFIG | {"vocabulary": 7}}), CPU)


GROUNDING: dict[str, Any] = {
    "backbone_config": {
        "model_type": "swin", "image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [1, 1, 1, 1],
        "num_heads": [1, 2, 2, 2], "window_size": 2, "out_features": ["stage2", "stage3", "stage4"],
    },
    "text_config": {
        "model_type": "bert", "vocab_size": 9, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 32,
    },
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_queries": 12, "max_text_len": 16,
}  # fmt: skip
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "red", "mug", "?")


def tokenizer_file(path: Path) -> None:
    """A BERT tokenizer of nine pieces, as the hub has it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = {piece: number for number, piece in enumerate(PIECES)}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))


def test_grounding_dino_in_hub_layout_answers_as_transformers_does(tmp_path: Path) -> None:
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, GroundingDinoProcessor

    torch.manual_seed(3)
    cached = tmp_path / "home/packs/tiny/detector"
    cached.mkdir(parents=True)
    network = GroundingDinoForObjectDetection(GroundingDinoConfig(**GROUNDING)).eval()
    network.save_pretrained(cached)
    tokenizer_file(cached / "tokenizer.json")
    role = {
        "class_name": "GroundingDinoForObjectDetection",
        "config": GROUNDING,
        "source": {"repo": "IDEA-Research/grounding-dino-tiny", "revision": "a" * 40},
        "files": {"model.safetensors": {}, "tokenizer.json": {}},
    }
    pack = with_role(tmp_path / "tiny", role)
    assert pack.settings.pack_cache_dir == tmp_path / "home/packs"
    loaded = load_detector(pack, CPU)
    assert isinstance(loaded, GroundingDetector)
    assert loaded.reads == "photo"
    detector = GroundingDetector(loaded.network, loaded.tokenizer, CPU, shorter_px=48, threshold=0.0)
    photo = Photo(np.random.default_rng(0).integers(0, 256, (48, 72, 3), dtype=np.uint8))
    [found] = detector.find([(photo, "Red mug")])
    tokens = loaded.tokenizer("red mug.", return_tensors="pt")
    assert tokens.input_ids.tolist() == [[2, 6, 7, 5, 3]]
    with torch.no_grad():
        answer = network(pixel_values=detector._pixels(photo), **tokens)
    processor = GroundingDinoProcessor.__new__(GroundingDinoProcessor)
    processor.tokenizer = loaded.tokenizer
    [true] = processor.post_process_grounded_object_detection(
        answer, tokens.input_ids, threshold=0.0, text_threshold=0.0, target_sizes=[(48, 72)]
    )
    best = int(true["scores"].argmax())
    assert found[0].score == pytest.approx(float(true["scores"][best]), abs=1e-5)
    limits = np.array([72, 48, 72, 48])
    assert found[0].box_xyxy == pytest.approx(np.clip(true["boxes"][best].numpy(), 0, limits), abs=1e-3)
    assert detector.find([(photo, " ")]) == [[]]
    with pytest.raises(TypeError, match="pass the photo"):
        detector.find([(embedding(), "red mug")])


def test_the_shipped_words_are_a_vocabulary_of_its_own() -> None:
    pack = find_pack("mini", Settings())
    words = json.loads((pack.folder / "detector_words.json").read_text())
    assert {"mug", "shoe", "bottle"} <= words["vocab"].keys()
