"""An adapter's file -> its arrays. Two published layouts of a LoRA are read, and three of a textual inversion.

    peft, diffusers   unet.down_blocks.0.….to_q.lora_A.weight, .lora_B.weight    [.alpha]
    kohya             lora_unet_down_blocks_0_…_to_q.lora_down.weight, .lora_up.weight, .alpha
    inversion         {token: (n, D)}, {emb_params: (n, D)}, or {clip_l: (n, D), clip_g: (n, E)}

Only safetensors is read: a pickle can run code. Nothing here imports torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from packshot.contract.adapters import AdapterKind
from packshot.errors import BadInput

__all__ = ["MAX_RANK", "MAX_VECTORS", "AdapterFile", "LowRank", "NetworkName", "read_adapter"]

MAX_RANK = 128
"""The largest rank of a layer: published files have 4 to 128."""
MAX_VECTORS = 32
"""The most vectors of an inversion."""
MAX_HEADER_BYTES = 8 * 2**20

NetworkName = Literal["unet", "text_encoder", "text_encoder_2"]
NETWORKS: tuple[tuple[str, NetworkName], ...] = (
    ("lora_unet_", "unet"),
    ("lora_te1_", "text_encoder"),
    ("lora_te2_", "text_encoder_2"),
    ("lora_te_", "text_encoder"),
    ("unet.", "unet"),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoder.", "text_encoder"),
)
"""How names begin, and the network that they mean. A name without any of them means the UNet."""

PARTS = {
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_A.default.weight": "down",
    "lora_B.default.weight": "up",
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "alpha": "alpha",
}
FOREIGN = ("lora_magnitude_vector", "dora_scale", "hada_w", "lokr_w", "lora_mid", "diff", "diff_b", "lora_embedding")
"""Parts of methods that are not a plain LoRA."""
INVERSIONS: Mapping[str, NetworkName] = {
    "emb_params": "text_encoder",
    "clip_l": "text_encoder",
    "clip_g": "text_encoder_2",
}
TYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


@dataclass(frozen=True)
class LowRank:
    """The low-rank change of a layer with I inputs and O outputs.

    `down` is (R, I) or (R, I, k, k), and `up` is (O, R) or (O, R, 1, 1). The change is `share` * `up` @ `down`.
    """

    down: NDArray[np.float32]
    up: NDArray[np.float32]
    share: float

    @property
    def rank(self) -> int:
        return int(self.down.shape[0])


@dataclass(frozen=True)
class AdapterFile:
    """A read adapter.

    `layers` are a LoRA's, by network and by the layer's name as the file writes it. `vectors` (n, D) are an
    inversion's, by text encoder. `token` is the word of an inversion as the file names it; empty = the file names none.
    `metadata` is the file's own.
    """

    kind: AdapterKind
    layers: Mapping[NetworkName, Mapping[str, LowRank]] = field(default_factory=dict)
    vectors: Mapping[NetworkName, NDArray[np.float32]] = field(default_factory=dict)
    token: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """The largest rank of a LoRA's layers, or the number of an inversion's vectors."""
        ranks = [layer.rank for layers in self.layers.values() for layer in layers.values()]
        return max([*ranks, *(len(one) for one in self.vectors.values())])


def read_adapter(data: bytes) -> AdapterFile:
    """Read a file. Raises BadInput (adapter_invalid) for a file that is no safetensors, no adapter, or damaged."""
    tensors, metadata = _tensors(data)
    if not tensors:
        raise refused("an adapter must have tensors, got a file without any; export it again")
    if all(_network_part(name) is None for name in tensors):
        return _inversion(tensors, metadata)
    return _lora(tensors, metadata)


def refused(detail: str) -> BadInput:
    """The error of a file that cannot be an adapter."""
    return BadInput("adapter_invalid", detail, errors=[{"loc": ["file"], "msg": detail}])


def _tensors(data: bytes) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """The arrays in fp32, and the metadata, of a safetensors file."""
    import safetensors

    length = int.from_bytes(data[:8], "little")
    whole = length <= min(MAX_HEADER_BYTES, len(data) - 8)
    if not whole and data[:2] in (b"PK", *(bytes((0x80, protocol)) for protocol in range(2, 6))):
        detail = "an adapter must be a safetensors file, got a pickle (.pt, .bin, .ckpt), which can run code"
        raise refused(f"{detail}; convert it where you trust it, and send the .safetensors file")
    if not whole:
        raise refused("an adapter must be a whole safetensors file, got other or truncated bytes; send the file again")
    try:
        header = json.loads(data[8 : 8 + length])
        found = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except (ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise refused(f"an adapter must be a whole safetensors file, got: {error}; send the file again") from error
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, about in found:
        if about["dtype"] not in TYPES:
            detail = f"tensors must be F32, F16 or BF16, got {about['dtype']} for {name[:80]!r}"
            raise refused(f"{detail}; save the adapter in one of these")
        array = np.frombuffer(about["data"], TYPES[about["dtype"]]).reshape(about["shape"])
        if about["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        if not np.isfinite(array).all():
            detail = f"weights must be finite, got NaN or infinity in {name[:80]!r}"
            raise refused(f"{detail}; the training diverged: export an earlier checkpoint")
        tensors[name] = array.astype(np.float32)
    metadata = header.get("__metadata__") or {}
    return tensors, {str(key): str(value) for key, value in metadata.items()}


def _network_part(name: str) -> tuple[NetworkName, str, str] | None:
    """The network, the layer's name and the part that a tensor's name means; None for a name of no LoRA."""
    for ending, part in PARTS.items():
        if name.endswith(f".{ending}"):
            layer = name.removesuffix(f".{ending}").removeprefix("base_model.model.")
            for beginning, network in NETWORKS:
                if layer.startswith(beginning):
                    rest = layer.removeprefix(beginning).removeprefix("base_model.model.")
                    return network, rest.replace(".processor.", ".").replace("_lora", ""), part
            return "unet", layer, part
    return None


def _lora(tensors: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, str]) -> AdapterFile:
    parts: dict[tuple[NetworkName, str], dict[str, NDArray[np.float32]]] = {}
    for name, array in tensors.items():
        found = _network_part(name)
        if found is None:
            foreign = next((part for part in FOREIGN if part in name), "")
            what = f"another method ({foreign})" if foreign else "a tensor of no LoRA"
            raise refused(f"an adapter must be a plain LoRA, got {what}: {name[:80]!r}; export a LoRA")
        network, layer, part = found
        parts.setdefault((network, layer), {})[part] = array
    layers: dict[NetworkName, dict[str, LowRank]] = {}
    alphas = _alphas(metadata)
    for (network, layer), given in parts.items():
        layers.setdefault(network, {})[layer] = _low_rank(layer, given, alphas.get(network))
    return AdapterFile("lora", layers=layers, metadata=dict(metadata))


def _alphas(metadata: Mapping[str, str]) -> dict[NetworkName, float]:
    """The `lora_alpha` that diffusers writes into the metadata for a network."""
    try:
        about = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        return {}
    return {
        network: float(about[f"{network}.lora_alpha"])
        for network in ("unet", "text_encoder", "text_encoder_2")
        if isinstance(about, dict) and isinstance(about.get(f"{network}.lora_alpha"), int | float)
    }


def _low_rank(layer: str, given: Mapping[str, NDArray[np.float32]], alpha: float | None) -> LowRank:
    named = f"layer {layer[:80]!r}"
    if "down" not in given or "up" not in given:
        raise refused(f"each layer needs a down and an up matrix, got only {', '.join(given)} for {named}")
    down, up = given["down"], given["up"]
    if down.ndim not in (2, 4) or up.ndim not in (2, 4):
        raise refused(f"matrices must have 2 or 4 dimensions, got {down.ndim} and {up.ndim} for {named}")
    rank = down.shape[0]
    if not 1 <= rank <= MAX_RANK:
        raise refused(f"a rank must be 1 to {MAX_RANK}, got {rank} for {named}; train or resize to a smaller rank")
    if up.shape[1] != rank or (up.ndim == 4 and up.shape[2:] != (1, 1)):
        raise refused(f"up must be (outputs, {rank}), as down's rank is, got {up.shape} for {named}")
    if "alpha" in given:
        if given["alpha"].size != 1:
            raise refused(f"alpha must be one number, got {given['alpha'].shape} for {named}")
        alpha = float(given["alpha"].reshape(()))
    return LowRank(down, up, 1.0 if alpha is None else alpha / rank)


def _inversion(tensors: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, str]) -> AdapterFile:
    vectors: dict[NetworkName, NDArray[np.float32]] = {}
    token = ""
    for name, array in tensors.items():
        network = INVERSIONS.get(name)
        if network is None:
            if len(tensors) > 1 or not re.fullmatch(r"\S{1,64}", name):
                detail = f"an adapter must be a LoRA or a textual inversion, got tensors such as {name[:80]!r}"
                raise refused(f"{detail}; whole checkpoints are imported by `packshot packs import`")
            network, token = "text_encoder", name
        rows = array[None] if array.ndim == 1 else array
        if rows.ndim != 2 or not 1 <= len(rows) <= MAX_VECTORS or not rows.shape[1]:
            raise refused(f"an inversion must be 1 to {MAX_VECTORS} vectors, got the shape {array.shape}")
        vectors[network] = rows
    return AdapterFile("inversion", vectors=vectors, token=token, metadata=dict(metadata))
