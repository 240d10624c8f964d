"""The matting network of a pack: it sees what transformers' processor gives, where alpha is unknown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from packshot.imaging import matting
from packshot.imaging.canvas import cut, cutout_bbox
from packshot.imaging.matting import CONTEXT_PX, CORE_PX, disk
from packshot.models.matting import VitMatte, load_matting
from packshot.models.packs.pack import Pack, find_pack
from packshot.models.packs.weights import build
from packshot.settings import Settings
from packshot.types import F32, U8, Mask, Photo

CONFIG: dict[str, Any] = {
    "hidden_size": 16,
    "convstream_hidden_sizes": [4, 8, 8],
    "fusion_hidden_sizes": [8, 8, 8, 8],
    "backbone_config": {
        "model_type": "vitdet",
        "num_channels": 4,
        "image_size": 64,
        "pretrain_image_size": 32,
        "patch_size": 16,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "use_absolute_position_embeddings": True,
        "use_relative_position_embeddings": True,
        "window_size": 2,
        "window_block_indices": [0],
        "residual_block_indices": [1],
        "out_features": ["stage2"],
    },
}
HUB = {"repo": "someone/matting", "revision": "0" * 40}


def tiny_pack(folder: Path) -> Pack:
    """A pack whose matting role has random weights, in the layout of the hub: ROLE/FILE beside the manifest."""
    from safetensors.torch import save_file
    from transformers import VitMatteConfig, VitMatteForImageMatting

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VitMatteForImageMatting(VitMatteConfig(**CONFIG))
        state = network.state_dict()
        for name, tensor in state.items():  # initial weights give alphas of about one half
            if tensor.is_floating_point() and "running_var" not in name:
                state[name] = tensor + 0.3 * torch.randn_like(tensor)
        state["decoder.matting_head.matting_convs.3.weight"] *= 6
    file = folder / "matting/model.safetensors"
    file.parent.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    role = {
        "class_name": "VitMatteForImageMatting",
        "licence": "Apache-2.0",
        "source": HUB,
        "config": CONFIG,
        "files": {"model.safetensors": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}},
    }
    manifest = {
        "name": folder.name,
        "title": "Matting alone",
        "family": "sd15",
        "licence": "Apache-2.0",
        "commercial": True,
        "renderable": False,
        "reason": "only its matting is tested",
        "native_px": [64, 64],
        "buckets": [[64, 64]],
        "prediction_type": "epsilon",
        "roles": {"matting": role},
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest), "utf-8")
    return found(folder)


def found(folder: Path) -> Pack:
    return find_pack(folder.name, Settings(pack_path=str(folder), home=folder.parent / "home"))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return tiny_pack(tmp_path_factory.mktemp("packs") / "matted")


def product(width: int, height: int, radius: int) -> tuple[Photo, Mask]:
    """A photo of noise, and the mask of a disk in its middle."""
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    mask = cv2.circle(np.zeros((height, width), np.uint8), (width // 2, height // 2), radius, 255, -1)
    return Photo(pixels), Mask(mask)


class Painted:
    """A network whose alpha is a function of the pixel alone, so that tiles cannot change it. It counts its calls."""

    def __init__(self, of: Callable[[U8], F32]) -> None:
        self.of = of
        self.sizes: list[tuple[int, ...]] = []

    def alpha(self, rgb: U8, trimap: U8) -> F32:
        assert set(np.unique(trimap)) <= {0, 128, 255}
        self.sizes.append(trimap.shape)
        return self.of(rgb)


def reds(rgb: U8) -> F32:
    return rgb[..., 0].astype(np.float32) / np.float32(255)


def test_the_band_is_the_networks_alpha_and_the_lock_is_exact(pack: Pack) -> None:
    from transformers import VitMatteImageProcessor

    photo, mask = product(150, 110, 40)
    network = load_matting(pack)
    assert isinstance(network, VitMatte)
    rgba = cut(photo, mask, 4, matting=network).pixels

    inside = cv2.erode(mask.pixels, disk(4)) > 0
    band = (cv2.dilate(mask.pixels, disk(4)) > 0) & ~inside
    trimap = np.where(inside, 255, np.where(band, 128, 0)).astype(np.uint8)
    inputs = VitMatteImageProcessor()(images=photo.pixels, trimaps=trimap, return_tensors="pt")
    with torch.inference_mode():
        alphas = pack.load("matting")(**inputs).alphas[0, 0, :110, :150].numpy()
    wanted = np.rint(alphas * 255)
    x0, y0, x1, y1 = cutout_bbox(mask, 4)
    here, alpha = np.s_[y0:y1, x0:x1], rgba[..., 3].astype(int)
    soft = band[here] & (wanted[here] > 5) & (wanted[here] < 250)
    assert np.ptp(alpha[soft]) > 50, "the random network's alpha varies"
    assert np.abs(alpha - wanted[here])[soft].max() <= 1
    assert (alpha[inside[here]] == 255).all()
    assert not alpha[~(inside | band)[here]].any()
    opaque = alpha == 255
    assert np.array_equal(rgba[opaque, :3], photo.pixels[here][opaque])


def test_tiles_along_the_border_join_without_a_seam() -> None:
    photo, mask = product(1400, 1300, 600)
    network = Painted(reds)
    x0, y0, x1, y1 = cutout_bbox(mask, 4)
    alpha = cut(photo, mask, 4, matting=network).pixels[..., 3]
    inside = cv2.erode(mask.pixels, disk(4)) > 0
    band = (cv2.dilate(mask.pixels, disk(4)) > 0) & ~inside
    wanted = np.rint(reds(photo.pixels) * 255)
    checked = band & (wanted > 5) & (wanted < 250)
    assert np.array_equal(alpha[checked[y0:y1, x0:x1]], wanted[checked])
    assert 8 <= len(network.sizes) < 16, "the tiles in the product's middle are left out"
    assert max(max(size) for size in network.sizes) == CORE_PX + 2 * CONTEXT_PX


@pytest.mark.parametrize("fault", ["a long border", "not a number"])
def test_what_the_network_cannot_do_is_solved_in_closed_form(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photo, mask = product(160, 120, 40)
    if fault == "a long border":
        monkeypatch.setattr(matting, "MAX_TILES", 0)
    network = Painted(lambda rgb: np.full(rgb.shape[:2], np.nan, np.float32))
    assert np.array_equal(cut(photo, mask, matting=network).pixels[..., 3], cut(photo, mask).pixels[..., 3])


def test_a_soft_mask_keeps_its_own_alpha() -> None:
    photo, mask = product(160, 120, 40)
    soft = Mask(cv2.GaussianBlur(mask.pixels, (0, 0), 3))
    x0, y0, x1, y1 = cutout_bbox(soft, 2)
    alpha = cut(photo, soft, matting=Painted(reds)).pixels[..., 3]
    given = soft.pixels[y0:y1, x0:x1]
    partly = (given > 0) & (given < 255)
    assert np.array_equal(alpha[partly], given[partly])


def test_the_role_is_optional(pack: Pack, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_matting(find_pack("mini", Settings(home=tmp_path))) is None
    assert not caplog.records
    folder = tmp_path / "matted"
    folder.mkdir()
    (folder / "manifest.yaml").write_bytes((pack.folder / "manifest.yaml").read_bytes())
    assert load_matting(found(folder)) is None
    assert "packshot packs fetch matted" in caplog.text


@pytest.mark.parametrize("name", ["sd15", "sd2"])
def test_a_shipped_manifest_describes_the_published_file_to_the_byte(name: str, tmp_path: Path) -> None:
    spec = find_pack(name, Settings(home=tmp_path)).role("matting")
    with torch.device("meta"):
        state = build(spec.class_name, spec.config).state_dict()
    kinds, at = {torch.float32: "F32", torch.int64: "I64"}, 0
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for key, tensor in sorted(state.items(), key=lambda item: (-item[1].element_size(), item[0])):
        end = at + tensor.nbytes
        about = {"dtype": kinds[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, end]}
        header, at = header | {key: about}, end
    text = len(json.dumps(header, separators=(",", ":")))
    assert 8 + -(-text // 8) * 8 + at == spec.files["model.safetensors"].bytes
