"""Adapter files of random weights for a pack's networks, in the layouts that are published."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from packshot.models.adapters.fit import shapes_of_files
from packshot.models.packs.pack import Pack
from packshot.models.packs.roles import RoleName

F32 = NDArray[np.float32]
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def lora(
    pack: Pack,
    *,
    rank: int = 4,
    seed: int = 0,
    layers: Iterable[str] = ATTENTION,
    roles: Iterable[RoleName] = ("unet",),
    size: float = 0.3,
) -> dict[str, tuple[F32, F32]]:
    """Random (down, up) of a pack's layers whose names end so, by `ROLE.NAME`."""
    dice = np.random.default_rng(seed)
    made: dict[str, tuple[F32, F32]] = {}
    for role in roles:
        for name, (outputs, inputs, *kernel) in sorted(shapes_of_files(list(pack.paths(role).values())).items()):
            if name.endswith(tuple(layers)):
                down = dice.standard_normal((rank, inputs, *kernel)) / np.sqrt(inputs)
                up = size * dice.standard_normal((outputs, rank, *(1 for _ in kernel)))
                made[f"{role}.{name}"] = down.astype(np.float32), up.astype(np.float32)
    return made


def peft_file(pairs: dict[str, tuple[F32, F32]], metadata: dict[str, str] | None = None) -> bytes:
    """The file as diffusers and peft write it: alpha is the rank."""
    tensors = {f"{name}.lora_A.weight": down for name, (down, _) in pairs.items()}
    return saved(tensors | {f"{name}.lora_B.weight": up for name, (_, up) in pairs.items()}, metadata)


def kohya_file(pairs: dict[str, tuple[F32, F32]], *, alpha: float, second: bool = False) -> bytes:
    """The file as kohya's scripts write it. `second`: the pack has two text encoders."""
    begins = {"unet": "lora_unet", "text_encoder": "lora_te1" if second else "lora_te", "text_encoder_2": "lora_te2"}
    tensors: dict[str, F32] = {}
    for name, (down, up) in pairs.items():
        role, layer = name.split(".", 1)
        inner = layer if role == "unet" or layer.startswith("text_model.") else f"text_model.{layer}"
        flat = f"{begins[role]}_{inner.replace('.', '_')}"
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        tensors[f"{flat}.alpha"] = np.full((), alpha, np.float32)
    return saved(tensors)


def saved(tensors: dict[str, F32], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file."""
    from safetensors.numpy import save

    return bytes(save(tensors, metadata))
