"""The upscaler of a pack: released layouts, tiles that leave no seam, and scenes that are enlarged where it helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.footprint.counting import engine_footprint
from packshot.models.packs.pack import find_pack, sha256_of
from packshot.models.packs.weights import build, convert_pth
from packshot.models.upscale.network import RRDBNet, SRVGGNetCompact
from packshot.models.upscale.upscaler import TILE_PX, Upscaler
from packshot.settings import Settings
from packshot.types import Brief, EdgeMap, Framing, Render, Scene
from tests.tiny_pack import SIZE_PX, build_tiny_pack

torch.set_num_threads(1)
CPU = torch.device("cpu")
SMALL: dict[str, dict[str, Any]] = {
    "RRDBNet": {"num_feat": 8, "num_block": 2, "num_grow_ch": 4, "scale": 4},
    "SRVGGNetCompact": {"num_feat": 8, "num_conv": 2, "upscale": 4},
}


def network(name: str, **changes: Any) -> Any:
    torch.manual_seed(3)
    cls = {"RRDBNet": RRDBNet, "SRVGGNetCompact": SRVGGNetCompact}[name]
    return cls(**SMALL[name] | changes).eval()


def tiny(folder: Path, name: str) -> Path:
    """The tiny pack with an upscaler beside it."""
    build_tiny_pack(folder)
    save_file(network(name).state_dict(), folder / "upscaler.safetensors")
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text("utf-8"))
    manifest["roles"]["upscaler"] = {
        "class_name": name,
        "licence": "BSD-3-Clause",
        "config": SMALL[name],
        "files": {"upscaler.safetensors": {"sha256": sha256_of(folder / "upscaler.safetensors")}},
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest), "utf-8")
    return folder


def scene(enlarged_by: float) -> Scene:
    grey = np.full((SIZE_PX, SIZE_PX, 3), 127, np.uint8)
    everywhere = np.full((SIZE_PX, SIZE_PX), 255, np.uint8)
    brief = Brief("marble table", seed=5, steps=2, enlarged_by=enlarged_by)
    return Scene(grey, everywhere, EdgeMap(np.zeros_like(everywhere)), brief)


def render(engine: DiffusionEngine, what: Scene) -> Render:
    row = engine.begin(what)
    while not row.done:
        engine.step([row])
    return engine.decode([row])[0]


def test_the_layouts_are_those_of_the_released_weights() -> None:
    """Names and shapes, by which released files load: 16.7 and 1.2 million parameters."""
    large, small = RRDBNet().state_dict(), SRVGGNetCompact(num_conv=32).state_dict()
    assert sum(tensor.numel() for tensor in large.values()) == 16_697_987
    assert large["body.22.rdb3.conv5.weight"].shape == (64, 192, 3, 3)
    assert {name.split(".")[0] for name in large} == {
        *("conv_first", "body", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
    }
    assert sum(tensor.numel() for tensor in small.values()) == 1_213_296
    assert (small["body.0.weight"].shape, small["body.66.weight"].shape) == ((64, 3, 3, 3), (48, 64, 3, 3))
    assert RRDBNet(scale=2).state_dict()["conv_first.weight"].shape == (64, 12, 3, 3)


@pytest.mark.parametrize("key", ["params", "params_ema"])
def test_a_released_file_is_converted(tmp_path: Path, key: str) -> None:
    state = network("SRVGGNetCompact").state_dict()
    torch.save({key: state}, tmp_path / "released.pth")
    converted = load_file(convert_pth(tmp_path / "released.pth", tmp_path / "out.safetensors"))
    assert all(torch.equal(converted[name], tensor) for name, tensor in state.items())
    build("SRVGGNetCompact", SMALL["SRVGGNetCompact"]).load_state_dict(converted, assign=True)


@pytest.mark.parametrize(("name", "scale"), [("RRDBNet", 4), ("RRDBNet", 2), ("SRVGGNetCompact", 4)])
def test_tiles_leave_no_seam(name: str, scale: int) -> None:
    """Several tiles give the pixels of one call; the small networks see less than a tile's context."""
    net = network(name, **({"scale": scale} if name == "RRDBNet" else {"upscale": scale}))
    torch.manual_seed(1)
    picture = torch.rand(1, 3, 40, TILE_PX + 24) * 2 - 1
    upscaler = Upscaler(net, name, CPU, torch.float32)
    tiled = upscaler.enlarge(picture)
    assert tiled.shape == (1, 3, 40 * scale, (TILE_PX + 24) * scale)
    with torch.inference_mode():
        edge = 40 * scale
        whole = net((picture + 1) / 2).clamp(0, 1) * 2 - 1
    inner = (..., slice(edge // 2 - 4, edge // 2 + 4), slice(edge, -edge))  # away from the picture's own border
    assert torch.allclose(tiled[inner], whole[inner], atol=1e-4)


def test_an_odd_tile_is_enlarged_whole() -> None:
    upscaler = Upscaler(network("RRDBNet", scale=2), "RRDBNet", CPU, torch.float32)
    assert upscaler.enlarge(torch.zeros(1, 3, 17, 33)).shape == (1, 3, 34, 66)


@pytest.mark.parametrize("name", SMALL)
def test_a_scene_that_the_canvas_enlarges_is_painted_larger(tmp_path: Path, name: str) -> None:
    """Its pixels are those of the scene; a scene that is shown at its size is left alone."""
    folder = tiny(tmp_path / "tiny", name)
    pack = find_pack("tiny", Settings(pack_path=str(folder), home=tmp_path))
    assert "upscaler" in pack.engine_roles
    assert "upscaler" in pack.hashes(pack.engine_roles), "the recipe tells its weights"
    engine = DiffusionEngine(pack, CPU, torch.float32)
    plain, large = render(engine, scene(1.1)), render(engine, scene(4.0))
    assert plain.pixels.shape == (SIZE_PX, SIZE_PX, 3)
    assert large.pixels.shape == (4 * SIZE_PX, 4 * SIZE_PX, 3)
    assert [finding.check for finding in plain.findings].count("upscaler") == 0
    assert large.findings[-1].check == "upscaler"
    assert large.findings[-1].detail == f"the scene was enlarged 4x by {name}"
    if name == "SRVGGNetCompact":  # it adds to the nearest pixels
        nearest = plain.pixels.repeat(4, axis=0).repeat(4, axis=1)
        assert np.abs(large.pixels.astype(int) - nearest).mean() < 60


def test_its_memory_is_counted(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "tiny", "RRDBNet")
    bare_folder = build_tiny_pack(tmp_path / "bare")
    mine, bare = (
        engine_footprint(find_pack(one.name, Settings(pack_path=str(one), home=tmp_path)), torch.float32)
        for one in (folder, bare_folder)
    )
    assert mine.weights_gib > bare.weights_gib
    assert mine.scene_tflop > bare.scene_tflop
    assert mine.alone_gib >= bare.alone_gib


def test_how_much_a_canvas_enlarges_a_scene() -> None:
    framing = Framing((256, 256), (0, 64, 256, 192))
    assert framing.enlargement((1024, 512)) == 4
    assert replace(framing, shown_xyxy=(0, 0, 256, 256)).enlargement((128, 512)) == 2
