"""Write one trained network into a pack as a role, beside the roles that are there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file
from torch import nn

from packshot.models.packs.roles import RoleName

MEMORY_GIB = 0.05


def ship(
    folder: Path,
    role: RoleName,
    class_name: str,
    config: Mapping[str, Any],
    net: nn.Module,
    others: Sequence[Path] = (),
) -> dict[str, Any]:
    """Write the weights in fp16 as `<role>.safetensors` and the role into the manifest. Returns the role.

    `others` are further files of the role in the pack's folder.
    """
    weights, manifest_path = folder / f"{role}.safetensors", folder / "manifest.yaml"
    save_file({name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}, weights)
    files = {}
    for path in (weights, *others):
        data = path.read_bytes()
        files[path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    spec = {"class_name": class_name, "licence": "Apache-2.0", "config": dict(config), "files": files}
    manifest = yaml.safe_load(manifest_path.read_text("utf-8"))
    manifest["roles"][role] = spec
    manifest.setdefault("memory_gib", {})[role] = MEMORY_GIB
    manifest_path.write_text(
        yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None), "utf-8"
    )
    return spec
