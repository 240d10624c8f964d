"""Captioners: the embedded pack's, and BLIP on tiny random weights."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from transformers import BlipConfig, BlipForConditionalGeneration

from packshot.errors import BadInput
from packshot.imaging.codec import encode_png
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.training.captions import load_captioner, write_captions
from tests.tiny_pack import build_tiny_pack
from tests.unit.models.test_detector import tokenizer_file
from tests.unit.training.conftest import draw_dataset

CPU = torch.device("cpu")


def test_the_embedded_pack_describes_product_and_scene(tmp_path: Path) -> None:
    picture, mask = np.full((128, 128, 3), 235, np.uint8), np.zeros((128, 128), np.uint8)
    picture[80:] = 205
    picture[40:100, 45:85], mask[40:100, 45:85] = (190, 40, 40), 255
    for name in ("masked", "plain", "written"):
        (tmp_path / f"{name}.png").write_bytes(encode_png(picture))
    (tmp_path / "masked.mask.png").write_bytes(encode_png(mask))
    (tmp_path / "written.txt").write_text("my own words", "utf-8")
    captioner = load_captioner(find_pack("mini", Settings()), CPU)
    assert [path.stem for path in write_captions(tmp_path, captioner, tag="acme7")] == ["masked", "plain"]
    for name in ("masked", "plain"):
        text = (tmp_path / f"{name}.txt").read_text("utf-8")
        assert re.match(r"acme7, an? [a-z ]+ on [a-z ]+, in front of [a-z ]+(, (soft|hard) \w+ light)?\n$", text), text
    assert "acme7, a red " in (tmp_path / "masked.txt").read_text("utf-8")
    assert (tmp_path / "written.txt").read_text("utf-8") == "my own words"
    (tmp_path / "torn.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"1 of 4 are not: torn.png"):
        write_captions(tmp_path, captioner)


def test_a_pack_with_blip_writes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build_tiny_pack(tmp_path / "packs/tiny-blip", "sd15")
    tokenizer_file(folder / "tokenizer.json")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": 9, "bos_token_id": 2, "sep_token_id": 3, "pad_token_id": 0, "eos_token_id": 3}
    config = {
        "text_config": {**small, **tokens, "encoder_hidden_size": 16, "max_position_embeddings": 40},
        "vision_config": {**small, "image_size": 32, "patch_size": 8},
    }
    torch.manual_seed(0)
    state = BlipForConditionalGeneration(BlipConfig(**config)).state_dict()
    save_file({name: tensor.clone() for name, tensor in state.items()}, folder / "captioner.safetensors")
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    files = {
        name: {"sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
        for name in ("captioner.safetensors", "tokenizer.json")
    }
    role = {"class_name": "BlipForConditionalGeneration", "licence": "BSD-3-Clause", "config": config, "files": files}
    manifest["roles"]["captioner"] = role
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    monkeypatch.setenv("PACKSHOT_PACK_PATH", str(tmp_path / "packs"))
    pack = find_pack("tiny-blip", Settings())
    assert "captioner" not in pack.roles  # no server loads it, nor waits for its files
    pictures = draw_dataset(tmp_path / "pictures", 1, captions=False)
    (text,) = write_captions(pictures, load_captioner(pack, CPU))
    assert text.read_text("utf-8").strip()


def test_a_pack_without_a_captioner_is_refused(with_tiny_packs: Path) -> None:
    with pytest.raises(BadInput, match="need a pack with a captioner"):
        load_captioner(find_pack("tiny-sd15", Settings()), CPU)
