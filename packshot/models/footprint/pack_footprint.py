"""A pack's footprint: the memory and arithmetic of each GPU stage, kept beside the manifest in `footprint.yaml`.

The footprint is computed from the manifest (packshot/models/footprint/counting.py), and the file holds the manifest's
digest. If the manifest has changed, or the file is missing, the footprint is computed again, which takes half a minute.

    python -m packshot.models.footprint.pack_footprint sd15 sd2 mini      # write the files
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from packshot.models.footprint.stage_footprint import Footprint, GpuStage, PackFootprint
from packshot.models.packs.roles import RoleName

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

FILE = "footprint.yaml"
NOT_ON_GPU: tuple[RoleName, ...] = ("matting", "judge", "reader")
"""The roles that no GPU stage loads."""


def digest(pack: Pack) -> str:
    """A hash of what a footprint depends on: the configs of the networks that are used, and the sizes."""
    manifest = pack.manifest
    used = ((role, pack.role(role)) for role in pack.roles if role not in NOT_ON_GPU)
    networks = {role: [spec.class_name, spec.config] for role, spec in used}
    inputs = json.dumps([networks, manifest.native_px, manifest.buckets], sort_keys=True)
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def compute_footprint(pack: Pack, dtype: Literal["bf16", "fp32"] = "bf16") -> PackFootprint:
    """Compute a pack's footprint from its manifest, without weights. Loads torch and the model libraries.

    A segmenter pack has no generator. Raises PackRefused for an engine's pack that cannot render.
    """
    import torch

    from packshot.models.footprint.counting import engine_footprint
    from packshot.models.footprint.photo_counting import (
        detector_footprint,
        geometry_footprint,
        segmenter_footprints,
    )
    from packshot.models.footprint.references import encoder_footprint

    _check(pack)
    arithmetic = torch.bfloat16 if dtype == "bf16" else torch.float32
    stages: dict[GpuStage, Footprint] = {}
    if "segmenter" in pack.manifest.roles:
        stages["sam_encoder"], stages["mask_decoder"] = segmenter_footprints(pack, arithmetic)
    if "detector" in pack.manifest.roles:
        stages["detector"] = detector_footprint(pack, arithmetic)
    if "geometry" in pack.manifest.roles:
        stages["understand"] = geometry_footprint(pack, arithmetic)
    if "image_encoder" in pack.manifest.roles:
        stages["reference_encoder"] = encoder_footprint(pack, arithmetic)
    if pack.manifest.kind == "engine" and pack.manifest.endpoint is None:  # a vendor's service has no device of ours
        stages["generator"] = engine_footprint(pack, arithmetic)
    return PackFootprint(of=digest(pack), dtype=dtype, stages=stages)


def _check(pack: Pack) -> None:
    """Raise PackRefused unless the pack can do what its kind is for: cut products out, or paint."""
    if pack.manifest.kind == "segmenter":
        pack.check_segmenter()
    else:
        pack.check()


def find_footprint(pack: Pack, dtype: Literal["bf16", "fp32"] = "bf16") -> PackFootprint:
    """The footprint in `footprint.yaml` if it belongs to the manifest and the dtype; otherwise it is computed.

    Raises PackRefused for an engine's pack that cannot render.
    """
    _check(pack)
    file = pack.folder / FILE
    if file.is_file():
        kept = PackFootprint.model_validate(yaml.safe_load(file.read_text("utf-8")))
        if (kept.of, kept.dtype) == (digest(pack), dtype):
            return kept
    return compute_footprint(pack, dtype)


def write_footprint(pack: Pack) -> Path:
    """Compute a pack's footprint, write it beside the manifest, and return the file's path."""
    footprint = compute_footprint(pack).model_dump(mode="json")
    for stage in footprint["stages"].values():
        for key, value in stage.items():
            stage[key] = float(f"{value:.4g}")
    file = pack.folder / FILE
    header = f"# python -m packshot.models.footprint.pack_footprint {pack.name}\n"
    file.write_text(header + yaml.safe_dump(footprint, sort_keys=False), "utf-8")
    return file


def main() -> None:
    """Write the footprints of the packs that the command's arguments name."""
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings

    for name in sys.argv[1:]:
        sys.stdout.write(f"{write_footprint(find_pack(name, Settings()))}\n")


if __name__ == "__main__":
    main()

__all__ = ["Footprint", "GpuStage", "PackFootprint", "compute_footprint", "digest", "find_footprint", "write_footprint"]
