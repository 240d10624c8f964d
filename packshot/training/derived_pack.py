"""A pack with trained networks: the base pack's roles, of which some have new weights."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from packshot.models.packs.files import sha256_of
from packshot.models.packs.pack import MANIFEST, Pack
from packshot.models.packs.roles import RoleName
from packshot.training.lora import write_tensors
from packshot.training.progress import named_disk_errors

__all__ = ["write_pack"]

ABOUT = "training.json"


def write_pack(
    base: Pack,
    folder: Path,
    changed: Mapping[RoleName, tuple[Mapping[str, Any], Mapping[str, Tensor]]],
    metadata: Mapping[str, str],
    **classes: str,
) -> list[Path]:
    """Write a pack named after `folder`, which `PACKSHOT_PACK_PATH` finds, and return its manifest and new weights.

    `changed` has (config, state) of each role with new weights, and `classes` the class of such a role where it is
    another one than the base pack's. Files of the other roles are linked; those that are not on this machine stay where
    their source says. Raises StorageFull (storage_full).
    """
    content = base.manifest.model_dump(mode="json", exclude_defaults=True)
    content |= {"name": folder.name, "title": f"{folder.name}, trained from {base.name}"}
    with named_disk_errors(folder):
        for kept in base.manifest.roles:
            if kept not in changed:
                _keep(base, kept, folder)
    written = []
    for role, (config, state) in changed.items():
        tensors = {name: tensor.detach().cpu() for name, tensor in state.items()}
        path = write_tensors(folder / role / f"{role}.safetensors", tensors, metadata)
        file = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        spec = base.role(role)
        entry: dict[str, Any] = {"class_name": classes.get(role, spec.class_name), "licence": spec.licence}
        entry |= {"config": dict(config), "files": {f"{role}/{role}.safetensors": file}}
        if channels := content["roles"][role].get("control_channels"):
            entry["control_channels"] = channels
        content["roles"][role] = entry
        written.append(path)
    with named_disk_errors(folder):
        (folder / ABOUT).write_text(json.dumps(dict(metadata), indent=1) + "\n", "utf-8")
        plain = json.loads(json.dumps(content))  # tuples of configs become lists
        (folder / MANIFEST).write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), "utf-8")
    return [folder / MANIFEST, *written]


def _keep(base: Pack, role: RoleName, folder: Path) -> None:
    """Link the role's files that are on this machine, or copy them where the folders lie on two disks."""
    for file in base.role(role).files:
        present = base.locate(role, file)
        if present is None:
            continue
        target = folder / role / file if base.role(role).source else folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(present.resolve(), target)
        except OSError:
            shutil.copy2(present, target)
