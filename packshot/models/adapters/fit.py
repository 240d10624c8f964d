"""Whether an adapter fits a base: the base's layers by name, and the adapter's layers found among them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from packshot.errors import BadInput
from packshot.models.adapters.file import AdapterFile, LowRank, NetworkName

__all__ = ["Shapes", "fitted", "mismatch", "sgm_name", "shapes_of_files"]

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of the weight of each linear and convolutional layer of a network, by the layer's name."""


def shapes_of_files(files: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's layers from the headers of its safetensors files. Nothing else of them is read."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, about in header.items():
            if name.endswith(".weight") and len(about["shape"]) in (2, 4):
                shapes[name.removesuffix(".weight")] = tuple(about["shape"])
    return shapes


def fitted(file: AdapterFile, network: NetworkName, shapes: Shapes, base: str) -> dict[str, LowRank]:
    """The adapter's layers of one network by the base's names. Raises BadInput (adapter_mismatch)."""
    by_flat = {name.replace(".", "_"): name for name in shapes}
    found: dict[str, LowRank] = {}
    for written, layer in file.layers.get(network, {}).items():
        flat = written.replace(".", "_")
        inner = flat.removeprefix("text_model_")
        others = (flat, sgm_name(flat), re.sub(r"to_out$", "to_out_0", flat), inner, f"text_model_{inner}")
        name = next((by_flat[one] for one in others if one in by_flat), None)
        if name is None:
            raise mismatch(f"an adapter's layers must be those of its engine, {base} has no {network} {written[:80]!r}")
        outputs, inputs, *kernel = shapes[name]
        _, inputs_of, *kernel_of = layer.down.shape
        ones = all(side == 1 for side in (*kernel, *kernel_of))
        if layer.up.shape[0] != outputs or inputs_of != inputs or not (ones or kernel == kernel_of):
            got = (layer.up.shape[0], *layer.down.shape[1:])
            raise mismatch(f"layer {name!r} must be {shapes[name]}, as {base}'s, got {got}")
        if name in found:
            raise mismatch(f"a layer may be adapted once, got {name!r} twice")
        found[name] = layer
    return found


def mismatch(detail: str) -> BadInput:
    """The error of an adapter for another family of networks."""
    message = f"{detail}; use an adapter that was trained on this engine's family"
    return BadInput("adapter_mismatch", message, errors=[{"loc": ["file"], "msg": message}])


def sgm_name(flat: str) -> str:
    """The name in diffusers of a layer of an SDXL file, which names the blocks as its first code did."""
    found = re.fullmatch(r"(input_blocks|middle_block|output_blocks)_(\d+)_(.+)", flat)
    if found is None:
        return flat
    side, number, rest = found[1], int(found[2]), found[3]
    if side == "middle_block":
        place, inside = ("mid_block_attentions_0" if number == 1 else f"mid_block_resnets_{number // 2}"), rest
    else:
        index, _, inside = rest.partition("_")
        block, layer = divmod(number - (side == "input_blocks"), 3)
        blocks = "down_blocks" if side == "input_blocks" else "up_blocks"
        if inside in ("op", "conv"):
            return f"{blocks}_{block}_{'down' if blocks == 'down_blocks' else 'up'}samplers_0_conv"
        place = f"{blocks}_{block}_{'resnets' if index == '0' else 'attentions'}_{layer}"
    return f"{place}_{SGM_RESNET.get(inside, inside)}"


SGM_RESNET = {
    "in_layers_2": "conv1",
    "emb_layers_1": "time_emb_proj",
    "out_layers_3": "conv2",
    "skip_connection": "conv_shortcut",
}
