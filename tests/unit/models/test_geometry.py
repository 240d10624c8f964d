"""The geometry of a cutout: inflation, the mini pack's head, and Depth Anything in hub layout."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from packshot.errors import PackRefused
from packshot.imaging.light.inflation import inflated, normals_of
from packshot.models.packs.pack import Pack, find_pack
from packshot.models.packs.weights import build
from packshot.models.segment.network import build_sam
from packshot.models.segment.segmenter import SamEncoder
from packshot.models.understand.geometry import (
    GEOMETRY_PX,
    DepthGeometry,
    GeometryEstimator,
    HeadGeometry,
    InflatedGeometry,
    MoGeGeometry,
    framed,
    load_geometry,
)
from packshot.models.understand.network import GeometryHead
from packshot.settings import Settings
from packshot.types import Cutout, Geometry
from tests.tiny_pack import SAM, build_tiny_pack

torch.set_num_threads(1)
CPU = torch.device("cpu")
DETAILED = SAM | {"detail": [8, 8, 16], "mask_stride": 4}


def disc(side: int = 120) -> NDArray[np.uint8]:
    """The mask of a disc that fills a square, 255 inside."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(x**2 + y**2 <= (side / 2 - 2) ** 2, 255, 0).astype(np.uint8)


def cutout(mask: NDArray[np.uint8]) -> Cutout:
    return Cutout(np.dstack([np.full((*mask.shape, 3), 90, np.uint8), mask]))


def test_an_inflated_disc_is_half_a_sphere() -> None:
    mask = disc()
    normals = normals_of(inflated(mask), mask)
    radius = 120 / 2 - 2
    y, x = (np.mgrid[:120, :120] - 59.5) / radius
    true = np.dstack([x, -y, np.sqrt(np.maximum(1 - x**2 - y**2, 0))])
    inner = x**2 + y**2 < 0.8**2
    angles = np.degrees(np.arccos(np.clip((normals * true).sum(2), -1, 1)))[inner]
    assert angles.mean() < 4
    assert inflated(mask).max() == pytest.approx(radius, rel=0.1)


def test_an_empty_mask_has_no_height() -> None:
    assert not inflated(np.zeros((20, 30), np.uint8)).any()


def test_maps_end_at_the_product_and_keep_its_shape() -> None:
    mask = np.zeros((400, 200), np.uint8)
    mask[40:360, 30:170] = 255
    [geometry] = InflatedGeometry().estimate([cutout(mask)])
    assert geometry.normals.shape == (GEOMETRY_PX, GEOMETRY_PX // 2, 3)
    outside = geometry.mask < 128
    assert not geometry.normals[outside].any()
    assert not geometry.depth[outside].any()
    assert geometry.depth.max() == 1
    lengths = np.linalg.norm(geometry.normals[~outside].astype(float), axis=1)
    assert np.abs(lengths - 127).max() < 2


@pytest.mark.parametrize("pixels", [np.zeros((16, 16, 4), np.uint8), np.full((1, 1, 4), 255, np.uint8)])
def test_a_cutout_of_nothing_or_one_pixel_has_a_geometry(pixels: NDArray[np.uint8]) -> None:
    [geometry] = InflatedGeometry().estimate([Cutout(pixels)])
    assert np.isfinite(geometry.depth).all()


def test_a_cutout_of_16_px_has_depth_and_a_depth_map_by_the_shipped_head() -> None:
    square = np.zeros((16, 16, 4), np.uint8)
    square[2:14, 2:14] = (180, 90, 40, 255)
    [geometry] = load_geometry(find_pack("mini", Settings()), CPU).estimate([Cutout(square)])
    assert geometry.depth.shape == (16, 16)
    assert np.isfinite(geometry.depth).all()
    assert geometry.mask[2:14, 2:14].all()


def test_a_geometry_has_maps_of_one_size() -> None:
    with pytest.raises(TypeError, match="one size"):
        Geometry(np.zeros((4, 4, 3), np.int8), np.zeros((4, 5), np.float32), np.zeros((4, 4), np.uint8))


def test_the_input_is_the_product_on_the_mean_colour() -> None:
    pixels = np.zeros((10, 20, 4), np.uint8)
    pixels[:, 5:] = (200, 0, 0, 255)
    photo, mask = framed(Cutout(pixels))
    assert photo.pixels.shape == (24, 24, 3)
    assert photo.pixels[2, 2].tolist() == [124, 116, 104]
    assert photo.pixels[5, 10].tolist() == [200, 0, 0]
    assert mask.sum() == 255 * 10 * 15


@pytest.fixture
def untrained() -> HeadGeometry:
    torch.manual_seed(0)
    sam: Any = build_sam(DETAILED)
    head = GeometryHead(feature_channels=16, detail_channels=(8, 16), width=16, depth=1).eval()
    return HeadGeometry(SamEncoder(sam, CPU, torch.float32), head, CPU)


def test_an_untrained_head_gives_the_inflation(untrained: HeadGeometry) -> None:
    both = [one.estimate([cutout(disc())])[0] for one in (untrained, InflatedGeometry())]
    on = both[0].mask >= 128
    dots = (both[0].normals[on].astype(float) / 127 * (both[1].normals[on].astype(float) / 127)).sum(1)
    assert np.degrees(np.arccos(np.clip(dots, -1, 1))).mean() < 20  # 16 px against 120
    assert np.corrcoef(both[0].depth[on], both[1].depth[on])[0, 1] > 0.9


def test_cutouts_share_a_call_without_changing_answers(untrained: HeadGeometry) -> None:
    wide = np.zeros((40, 90), np.uint8)
    wide[5:35, 4:80] = 255
    together = untrained.estimate([cutout(disc()), cutout(wide)])
    alone = untrained.estimate([cutout(wide)])
    assert together[1].normals.shape == (40, 90, 3)
    np.testing.assert_allclose(together[1].depth, alone[0].depth, atol=1e-5)
    assert untrained.estimate([]) == []


# As a role of a pack

DEPTH: dict[str, Any] = {
    "backbone_config": {
        "model_type": "dinov2", "hidden_size": 12, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56,
        "patch_size": 14, "out_features": ["stage1", "stage2", "stage3", "stage4"], "reshape_hidden_states": False,
    },
    "reassemble_hidden_size": 12, "patch_size": 14, "neck_hidden_sizes": [4, 4, 8, 8], "fusion_hidden_size": 8,
    "head_hidden_size": 4, "reassemble_factors": [4, 2, 1, 0.5],
}  # fmt: skip


def with_role(folder: Path, role: dict[str, Any]) -> Pack:
    """A tiny pack with a geometry."""
    build_tiny_pack(folder)
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    manifest["roles"]["geometry"] = {"licence": "Apache-2.0"} | role
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return find_pack(folder.name, Settings(pack_path=str(folder), home=folder.parent / "home"))


def test_a_pack_without_the_role_inflates(tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "tiny")
    pack = find_pack("tiny", Settings(pack_path=str(folder), home=tmp_path))
    assert isinstance(load_geometry(pack, CPU), InflatedGeometry)


def test_depth_anything_in_hub_layout_orders_a_product_as_transformers_does(tmp_path: Path) -> None:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    torch.manual_seed(2)
    cached = tmp_path / "home/packs/tiny/geometry"
    network = DepthAnythingForDepthEstimation(DepthAnythingConfig(**DEPTH)).eval()
    network.save_pretrained(cached)
    role = {
        "class_name": "DepthAnythingForDepthEstimation",
        "config": DEPTH,
        "source": {"repo": "depth-anything/Depth-Anything-V2-Small-hf", "revision": "b" * 40},
        "files": {"model.safetensors": {}},
    }
    loaded = load_geometry(with_role(tmp_path / "tiny", role), CPU)
    assert isinstance(loaded, DepthGeometry)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.network.state_dict()[name])
    near = torch.arange(112.0).repeat(112, 1)[None]  # nearer to the right

    class Ramp(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pixel_values: torch.Tensor) -> Any:
            return type("Answer", (), {"predicted_depth": near.expand(len(pixel_values), -1, -1)})

    mask = np.full((50, 100), 255, np.uint8)
    [geometry] = DepthGeometry(Ramp(), CPU, 112).estimate([cutout(mask)])
    assert geometry.depth.shape == (50, 100)
    assert (np.diff(geometry.depth, axis=1) >= 0).all()
    assert geometry.depth[25, 3] < 0.1
    assert geometry.depth[25, 96] > 0.9
    middle = geometry.normals[25, 50].astype(float) / 127
    assert middle[0] < -0.3  # it turns to the left, where the camera sees its far side rise towards it
    picture = np.zeros((60, 120, 3), np.uint8)
    scene = DepthGeometry(loaded.network, CPU, 56).scene_depth(picture)
    assert scene.shape == (28, 56), "whole patches, in the picture's aspect ratio"
    assert np.isfinite(scene).all()
    silhouettes: GeometryEstimator = InflatedGeometry()
    assert silhouettes.scene_depth(picture) is None, "a silhouette says nothing of a scene"
    real = DepthGeometry(loaded.network, CPU, 56).estimate([cutout(disc())])
    assert np.isfinite(real[0].depth).all()


def test_the_shipped_head_is_better_than_inflation_on_a_box() -> None:
    """A flat front is flat: inflation bulges."""
    mask = np.zeros((220, 160), np.uint8)
    mask[10:210, 10:150] = 255
    pixels = np.full((220, 160, 3), 150, np.uint8)
    pixels[40:120, 40:120] = (60, 80, 150)
    box = Cutout(np.dstack([pixels, mask]))
    heads = (load_geometry(find_pack("mini", Settings()), CPU), InflatedGeometry())
    tilt = [float(np.mean(one.estimate([box])[0].normals[60:180, 40:120, 2])) for one in heads]
    assert tilt[0] > tilt[1]


MOGE: dict[str, Any] = {"encoder": {"backbone": "dinov2_vits14", "intermediate_layers": 4, "dim_out": 384}}


def moge_role() -> dict[str, Any]:
    return {
        "class_name": "MoGeModel",
        "config": MOGE,
        "source": {"repo": "Ruicheng/moge-2-vits-normal", "revision": "c" * 40},
        "files": {"model.pt": {"sha256": "d" * 64}},
    }


@pytest.mark.skipif(importlib.util.find_spec("moge") is not None, reason="the package is here")
def test_moge_without_its_package_inflates_and_the_check_names_the_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack = with_role(tmp_path / "tiny", moge_role())
    cached = pack.cached("geometry")
    cached.mkdir(parents=True)
    (cached / "model.pt").touch()
    assert pack.manifest.sees_scenes
    assert isinstance(load_geometry(pack, CPU), InflatedGeometry)
    assert "pip install git+https://github.com/microsoft/MoGe.git" in caplog.text
    with pytest.raises(PackRefused, match=r"must have its package moge.*microsoft/MoGe.git installs it \(MIT\)"):
        build("MoGeModel", MOGE)


def test_moges_camera_is_turned_to_ours_and_its_points_to_depth() -> None:
    class Slope(torch.nn.Module):
        """A plane that comes nearer to the right, and faces up and to the viewer."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, image: torch.Tensor, num_tokens: int) -> dict[str, torch.Tensor]:
            count, _, height, width = image.shape
            points = torch.zeros(count, height, width, 3)
            points[..., 2] = torch.linspace(2, 1, width)
            return {"points": points, "normal": torch.tensor([0.0, -0.6, -0.8]).expand(count, height, width, 3)}

    slope = MoGeGeometry(Slope(), CPU)
    [geometry] = slope.estimate([cutout(np.full((50, 100), 255, np.uint8))])
    assert np.abs(geometry.normals[25, 50] / 127 - (0, 0.6, 0.8)).max() < 0.01
    assert geometry.depth[25, 3] < 0.1
    assert geometry.depth[25, 96] > 0.9
    near = slope.scene_depth(np.zeros((100, 200, 3), np.uint8))
    assert near.shape == (100, 200)
    assert (np.diff(near, axis=1) > 0).all()
