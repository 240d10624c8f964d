"""Words find products in one process: GroundingDINO's own class with random weights, as a pack from the hub has it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

from graphs.one_process import serving_in_process
from packshot.client import Client
from packshot.errors import BadInput
from packshot.settings import Settings
from tests.api_graph import png
from tests.tiny_pack import build_tiny_pack
from tests.unit.models.test_detector import GROUNDING, tokenizer_file


def test_a_packs_detector_finds_boxes_and_the_segmenter_cuts_them(tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "tiny")
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    manifest["roles"]["detector"] = {
        "class_name": "GroundingDinoForObjectDetection",
        "licence": "Apache-2.0",
        "config": GROUNDING,
        "source": {"repo": "IDEA-Research/grounding-dino-tiny", "revision": "a" * 40},
        "files": {"model.safetensors": {}, "tokenizer.json": {}},
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    settings = Settings(
        home=tmp_path / "home", pack_path=str(folder), pack="tiny", open_access=True, device="cpu", dtype="fp32"
    )
    with serving_in_process(settings) as url, Client(url) as client:
        photo = client.upload(png()).id
        with pytest.raises(BadInput, match="packs fetch") as refused:
            client.find(photo, "red mug")
        assert refused.value.code == "not_served"
    torch.manual_seed(3)
    here = settings.pack_cache_dir / "tiny" / "detector"
    here.mkdir(parents=True)
    GroundingDinoForObjectDetection(GroundingDinoConfig(**GROUNDING)).save_pretrained(here)
    tokenizer_file(here / "tokenizer.json")
    with serving_in_process(settings) as url, Client(url) as client:
        answer = client.find(photo, "红色 杯子 mug", not_text="red")
        assert answer.found is not None
        assert answer.found.words.known == ("红色", "杯子", "mug")
        assert [box.mask_id for box in answer.found.boxes] == [mask.id for mask in answer.masks]
        for box in answer.found.boxes:
            x0, y0, x1, y1 = box.box
            assert 0 <= x0 < x1 <= 120
            assert 0 <= y0 < y1 <= 90
        scores = [box.score for box in answer.found.boxes]
        assert scores == sorted(scores, reverse=True)
        assert {mask.source for mask in answer.masks} <= {"text"}
