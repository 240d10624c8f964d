"""A pack's footprint: what each GPU stage needs of memory and arithmetic, kept beside the manifest in `footprint.yaml`.

It is computed from the manifest (packshot/models/paper.py) and carries the manifest's digest: a pack that changed, or one that
has no such file, is computed anew, which takes half a minute.

    python -m packshot.models.paper sd15 sd2 mini      # write the files
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from packshot.models.packs import Pack

FILE = "footprint.yaml"
GpuStage = Literal["sam_encoder", "mask_decoder", "generator"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Footprint(_Strict):
    """One stage of a pack. A row: a photo (sam_encoder), a prompt set (mask_decoder), a row of a denoising step (generator).

    `weights_gib` stay; `loading_gib` is the most while they load. Activations of a call: `base_gib` + `row_gib` x rows, or
    `alone_gib`, that of the largest call that takes one scene whatever the batch. `scene_gib`: what a scene on its way
    holds. Each row of each call spends `row_tflop` (10^12 multiplications and additions in matrix kernels) and moves
    `row_gb` (10^9 bytes in all others); each scene, once, `scene_tflop` and `scene_gb`.
    """

    weights_gib: float = Field(gt=0)
    loading_gib: float = Field(ge=0)
    base_gib: float = Field(ge=-0.1)
    row_gib: float = Field(ge=0)
    row_tflop: float = Field(gt=0)
    row_gb: float = Field(ge=0)
    alone_gib: float = Field(0, ge=0)
    scene_gib: float = Field(0, ge=0)
    scene_tflop: float = Field(0, ge=0)
    scene_gb: float = Field(0, ge=0)

    def activations_gib(self, rows: int, scenes: int = 0) -> float:
        """The most beside the weights, GiB: a call of so many rows, while so many scenes are on their way."""
        return max(self.base_gib + self.row_gib * rows, self.alone_gib) + self.scene_gib * scenes


class PackFootprint(_Strict):
    """`of`: digest of the manifest's networks and sizes. `dtype`: the arithmetic that it is for."""

    of: str
    dtype: Literal["bf16", "fp32"] = "bf16"
    stages: dict[GpuStage, Footprint]


def digest(pack: Pack) -> str:
    """Of what a footprint depends on: the networks' configs and the sizes."""
    manifest = pack.manifest
    networks = {role: [spec.class_name, spec.config] for role, spec in manifest.roles.items()}
    facts = json.dumps([networks, manifest.native_px, manifest.buckets], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def compute_footprint(pack: Pack, dtype: Literal["bf16", "fp32"] = "bf16") -> PackFootprint:
    """From the manifest, on paper. Loads torch and the model libraries; raises PackRefused for a pack that cannot render."""
    import torch

    from packshot.models.paper import engine_footprint, segmenter_footprints

    pack.check()
    arithmetic = torch.bfloat16 if dtype == "bf16" else torch.float32
    encoder, decoder = segmenter_footprints(pack, arithmetic)
    stages: dict[GpuStage, Footprint] = {
        "sam_encoder": encoder,
        "mask_decoder": decoder,
        "generator": engine_footprint(pack, arithmetic),
    }
    return PackFootprint(of=digest(pack), dtype=dtype, stages=stages)


def find_footprint(pack: Pack, dtype: Literal["bf16", "fp32"] = "bf16") -> PackFootprint:
    """The one beside the manifest while it is the manifest's, else computed."""
    pack.check()
    file = pack.folder / FILE
    if file.is_file():
        kept = PackFootprint.model_validate(yaml.safe_load(file.read_text("utf-8")))
        if (kept.of, kept.dtype) == (digest(pack), dtype):
            return kept
    return compute_footprint(pack, dtype)


def write_footprint(pack: Pack) -> Path:
    """Compute a pack's and keep it beside the manifest."""
    told = compute_footprint(pack).model_dump(mode="json")
    for stage in told["stages"].values():
        for key, value in stage.items():
            stage[key] = float(f"{value:.4g}")
    file = pack.folder / FILE
    header = f"# python -m packshot.models.paper {pack.name}\n"
    file.write_text(header + yaml.safe_dump(told, sort_keys=False), "utf-8")
    return file


__all__ = ["Footprint", "PackFootprint", "compute_footprint", "digest", "find_footprint", "write_footprint"]
