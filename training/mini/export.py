"""Exports checkpoints as a pack: fp16 safetensors, words, and the manifest with sizes and hashes.

python -m training.mini export      # reads runs/, writes packshot/packs/mini
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from packshot.models.packs.roles import REFERENCE_ROLES
from packshot.training.progress import read_checkpoint
from training.mini import judge as judge_part
from training.mini import vae as vae_part
from training.mini.painter import (
    CONTROL_CHANNELS,
    DEPTH_CHANNELS,
    NATIVE_PX,
    SCHEDULER_CONFIG,
    UNET_CONFIG,
    Painter,
    control_config,
    control_from,
    text_config,
    tokenizer,
)

LICENCE = "Apache-2.0"
MOST_BYTES = 16 * 1024 * 1024
"""Largest size of a file in the pack."""
BUCKETS = [[256, 256], [320, 256], [256, 320], [384, 256], [256, 384]]


def _described(folder: Path, files: list[str]) -> dict[str, dict[str, Any]]:
    """The size and hash of each file, for the manifest. Raises ValueError when a file is larger than MOST_BYTES."""
    out = {}
    for name in files:
        data = (folder / name).read_bytes()
        if len(data) > MOST_BYTES:
            raise ValueError(
                f"a pack's file must be at most {MOST_BYTES} bytes, {name} has {len(data)}; split or shrink it"
            )
        out[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return out


def _write(folder: Path, name: str, state: dict[str, torch.Tensor]) -> list[str]:
    """Write weights as the fp16 safetensors file `name`, or as numbered shards when it would be too large.

    Returns the names of the files.
    """
    half = {
        key: (value.detach().half() if value.is_floating_point() else value).contiguous()
        for key, value in state.items()
    }
    for old in folder.glob(f"{name}*.safetensors"):
        old.unlink()
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for key, value in half.items():
        if size + value.nbytes > MOST_BYTES * 0.95:
            shards.append({})
            size = 0
        shards[-1][key] = value
        size += value.nbytes
    names = [f"{name}.safetensors"] if len(shards) == 1 else [f"{name}-{i + 1}.safetensors" for i in range(len(shards))]
    for file, shard in zip(names, shards, strict=True):
        save_file(shard, folder / file)
    return names


def _without_defaults(config: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}


def export(runs: Path, folder: Path) -> None:
    """Write the trained parts of `runs` to the pack in `folder`. Roles that `runs` does not hold are kept as they are.

    The segmenter is written by training.mini.segmenter_report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.yaml"
    before = yaml.safe_load(path.read_text("utf-8")) if path.exists() else {"roles": {}}
    painter = Painter()
    painter.load_state_dict(torch.load(runs / "painter/checkpoint.pt", map_location="cpu", weights_only=True)["ema"])
    control = control_from(painter.unet)
    if (runs / "control/checkpoint.pt").exists():
        control.load_state_dict(
            torch.load(runs / "control/checkpoint.pt", map_location="cpu", weights_only=True)["net"]
        )
    vae = vae_part.load_best(runs)
    tokenizer().save(folder / "words.json")
    parts: list[tuple[str, str, dict[str, Any], list[str]]] = [
        ("tokenizer", "WordTokenizer", {}, ["words.json"]),
        ("text_encoder", "CLIPTextModel", text_config(), _write(folder, "text_encoder", painter.text.state_dict())),
        ("vae", "AutoencoderTiny", vae_part.CONFIG, _write(folder, "vae", vae.state_dict())),
        ("unet", "UNet2DConditionModel", UNET_CONFIG, _write(folder, "unet", painter.unet.state_dict())),
        ("controlnet", "ControlNetModel", control_config(), _write(folder, "controlnet", control.state_dict())),
        ("scheduler", "DDIMScheduler", SCHEDULER_CONFIG, []),
    ]
    if (runs / "judge/checkpoint.pt").exists():
        judge = judge_part.load(runs / "judge")
        config = judge_part.CONFIG | {"size_px": judge.size_px}
        parts.append(("judge", "SceneJudge", config, _write(folder, "judge", judge.state_dict())))
    roles = dict(before["roles"])
    if (runs / "depth/checkpoint.pt").exists():
        control.load_state_dict(read_checkpoint(runs / "depth")["net"])
        files = _write(folder, "controlnet_depth", control.state_dict())
        parts.append(("controlnet_depth", "ControlNetModel", control_config(), files))
    channels = {"controlnet": CONTROL_CHANNELS, "controlnet_depth": DEPTH_CHANNELS}
    for role, class_name, config, files in parts:
        roles[role] = {
            "class_name": class_name,
            "licence": LICENCE,
            **({"control_channels": list(channels[role])} if role in channels else {}),
            "config": _without_defaults(config),
            "files": _described(folder, files),
        }
    manifest = {
        "name": "mini",
        "title": "Packshot mini: the embedded pack, trained on drawn scenes",
        "family": "mini",
        "licence": LICENCE,
        "commercial": True,
        "native_px": [NATIVE_PX, NATIVE_PX],
        "buckets": BUCKETS,
        "prediction_type": "v_prediction",
        "controls": [role.removeprefix("controlnet_") for role in roles if role.startswith("controlnet_")],
        "samplers": before.get("samplers", []),
        "references": all(role in roles for role in REFERENCE_ROLES),
        "defaults": {
            "steps": 16,
            "guidance_scale": 2.0,
            "control_scale": 0.8,
            "guidance_rescale": 0.7,
            "prompt": "product on white paper, in front of a plain white wall, soft neutral light",
        },
        "limits": {"max_steps": 100, "max_guidance_scale": 15.0, "max_control_scale": 2.0},
        "memory_gib": {
            **before.get("memory_gib", {}),
            "text_encoder": 0.01,
            "vae": 0.05,
            "unet": 0.1,
            "controlnet": 0.05,
        },
        "roles": roles,
    }
    path.write_text(
        yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None), "utf-8"
    )
    print(f"{folder}: {sum(f.stat().st_size for f in folder.glob('*.safetensors')) / 1e6:.1f} MB")
