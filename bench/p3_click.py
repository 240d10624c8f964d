"""P3: a click over HTTP with a cached embedding, against in-process `predict_torch` plus the same mask encoding.

Both sides have the same dtype and number of threads, and a ViT-B with random weights, because the network's cost does
not depend on its weights. Both sides decode three candidates of one point and encode three bilevel PNGs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import skimage.data
import torch
import yaml
from safetensors.torch import save_file
from segment_anything import SamPredictor, sam_model_registry

from bench.harness import Row, interleave, report
from bench.session import post
from cluster.local import serving
from cluster.profiles import load_profile
from packshot.imaging.codec import encode_bilevel_png, encode_png
from packshot.models.device import use_threads
from packshot.models.packs.pack import find_pack, sha256_of
from packshot.models.segment.network import VIT_B
from packshot.settings import Settings

ROW = Row("P3", "cached click over HTTP ÷ in-process predict_torch + the same mask encoding, ViT-B", 1.3)
THREADS = 1  # profile laptop: decoder_threads
POINT = (280, 200)
AREAS_APART = 1e-4
"""Largest relative difference of the masks' areas. Our attention (packshot.models.segment.attention) sums in another
order, which changes a pixel or two of the masks from random weights."""


def main() -> int:
    """Measure and report."""
    torch.manual_seed(0)
    network = sam_model_registry["vit_b"]().eval()
    pixels = skimage.data.coffee()
    with tempfile.TemporaryDirectory() as folder, clicks(network, Path(folder), pixels) as (http, path):
        use_threads(2)
        predictor = SamPredictor(network)
        predictor.set_image(pixels)
        use_threads(THREADS)

        def ours() -> dict[str, Any]:
            return post(http, path, json={"points": [{"x": POINT[0], "y": POINT[1], "label": 1}]})

        def theirs() -> list[bytes]:
            coords = predictor.transform.apply_coords(np.array([POINT], np.float32), pixels.shape[:2])
            with torch.inference_mode():
                masks, _, _ = predictor.predict_torch(
                    torch.as_tensor(coords)[None], torch.ones(1, 1), multimask_output=True
                )
            return [encode_bilevel_png(mask) for mask in (masks[0].numpy() * np.uint8(255))]

        areas = sorted(mask["area"] for mask in ours()["masks"])
        expected = sorted(areas_of(predictor, pixels))
        apart = max(abs(ours_px - theirs_px) / theirs_px for ours_px, theirs_px in zip(areas, expected, strict=True))
        if apart > AREAS_APART:
            raise SystemExit(
                f"parity: the masks' areas must agree within {AREAS_APART:.2%}, got {areas} and {expected}"
            )
        sides = interleave(ours, theirs, repeats=41)
    return 0 if report(ROW, sides, f"areas {areas}, apart by {apart:.4%} at most") else 1


def areas_of(predictor: SamPredictor, pixels: np.ndarray[Any, Any]) -> list[int]:
    """The areas of the candidates in pixels, computed in this process."""
    masks, _, _ = predictor.predict(np.array([POINT]), np.array([1]), multimask_output=True)
    return [int(mask.sum()) for mask in masks]


@contextmanager
def clicks(network: torch.nn.Module, folder: Path, pixels: np.ndarray[Any, Any]) -> Iterator[tuple[httpx.Client, str]]:
    """Serve the laptop profile with `network` (a ViT-B) in place of the mini pack's segmenter, and upload `pixels`.

    Gives an HTTP client and the path of clicks on that photo. `folder` holds the pack and the cluster's data.
    """
    pack = folder / "packs" / "vit-b"
    pack.mkdir(parents=True)
    mini = find_pack("mini", Settings())
    for file in mini.folder.iterdir():
        (pack / file.name).symlink_to(file)
    weights = pack / "vit-b.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, weights)
    manifest = yaml.safe_load((mini.folder / "manifest.yaml").read_text())
    manifest["name"] = "vit-b"
    files = {weights.name: {"sha256": sha256_of(weights), "bytes": weights.stat().st_size}}
    config = {key: list(value) if isinstance(value, tuple) else value for key, value in VIT_B.items()}
    manifest["roles"]["segmenter"] |= {"config": config, "files": files}
    (pack / "manifest.yaml").unlink()
    (pack / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    settings = {"PACKSHOT_HOME": str(folder / "home"), "PACKSHOT_OPEN_ACCESS": "true", "PACKSHOT_DTYPE": "fp32"}
    settings |= {"PACKSHOT_PACK": "vit-b", "PACKSHOT_PACK_PATH": str(folder / "packs")}
    with (
        serving(load_profile("laptop"), port=0, settings=settings) as url,
        httpx.Client(base_url=url, timeout=300) as http,
    ):
        photo = post(http, "/v1/photos", files={"file": ("coffee.png", encode_png(pixels), "image/png")})
        yield http, f"/v1/photos/{photo['id']}/masks"


if __name__ == "__main__":
    raise SystemExit(main())
