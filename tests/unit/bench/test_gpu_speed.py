"""The rows of ways to run networks faster: listed, skipped with a reason, and the same pictures on a CPU."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from bench import gpu_speed
from packshot.models.engines.loading import PackEngine, load_engine
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings
from packshot.types import U8, Brief, EdgeMap, Scene
from tests.tiny_pack import SIZE_PX, build_tiny_pack

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    folder = build_tiny_pack(tmp_path_factory.mktemp("packs") / "tiny", "sd15")
    return find_pack("tiny", Settings(pack_path=str(folder), home=folder.parent))


def picture(engine: PackEngine) -> U8:
    grey, everywhere = np.full((SIZE_PX, SIZE_PX, 3), 127, np.uint8), np.full((SIZE_PX, SIZE_PX), 255, np.uint8)
    row = engine.begin(Scene(grey, everywhere, EdgeMap(everywhere), Brief("marble", steps=2, guidance_scale=3.0)))
    while not row.done:
        engine.step([row], 8)
    return engine.decode([row])[0].pixels


def test_without_a_gpu_each_row_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_speed.main(["sd15", "sdxl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["row"] for line in lines] == [
        f"GPU-{name}-{way}" for name in ("sd15", "sdxl") for way in gpu_speed.WAYS
    ]
    assert {line["not_measured"] for line in lines} == {"no CUDA device"}


@pytest.mark.parametrize("way", ["channels_last", "vae_tiling"])
def test_a_way_paints_and_gives_a_ratio(pack: Pack, way: str) -> None:
    engine = load_engine(pack, CPU, torch.float32)
    before = picture(engine)
    gpu_speed.WAYS[way][1](engine)
    after = picture(engine)
    if way == "channels_last":  # tiles of the VAE have their own means, so their picture differs
        assert np.abs(after.astype(int) - before).max() <= 1
    assert all(ratio > 0 for ratio in gpu_speed.measure(pack, way, CPU, torch.float32, scenes=2))


def test_the_engines_networks_and_their_repeated_blocks_are_found(pack: Pack) -> None:
    engine = load_engine(pack, CPU, torch.float32)
    found = gpu_speed.networks(engine)
    assert {"UNet2DConditionModel", "AutoencoderKL"} <= {type(one).__name__ for one in found}
    blocks: list[nn.Module] = [block for one in found for block in gpu_speed._repeated(one)]
    assert len(blocks) > 4
