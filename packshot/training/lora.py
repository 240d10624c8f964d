"""LoRA by PEFT: into a pack's networks, and out of them as files that diffusers and readers of kohya's layout load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from packshot.training.networks import Networks

__all__ = ["add_lora", "kohya_layout", "lora_state", "write_tensors"]

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
"""The linear layers of a UNet's attention blocks, as the published trainings choose them."""
CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut")
"""Those of its residual blocks."""
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj")
NAME = "default"
"""PEFT's name of the one adapter of a training."""


def add_lora(networks: Networks, rank: int, *, convolutions: bool, text_encoder: bool) -> list[nn.Parameter]:
    """Put a LoRA of this rank into the UNet, and into the text encoders too if asked. Returns what is to be trained.

    It begins as a change of nothing. Its weights are fp32 whatever the networks' format is.
    """
    from peft import LoraConfig, inject_adapter_in_model

    # Initialised on the CPU from torch's generator, which has the training's seed: all workers begin alike.
    def config(targets: tuple[str, ...]) -> Any:
        return LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets), init_lora_weights="gaussian")

    inject_adapter_in_model(config(ATTENTION + (CONVOLUTIONS if convolutions else ())), networks.unet, NAME)
    for encoder in networks.text_encoders if text_encoder else ():
        inject_adapter_in_model(config(TEXT), encoder, NAME)
    found = []
    for network in networks.networks():
        for name, weight in network.named_parameters():
            weight.requires_grad_("lora_" in name)
            if "lora_" in name:
                weight.data = weight.data.float()
                found.append(weight)
    return found


def lora_state(networks: Networks) -> dict[str, Tensor]:
    """The LoRA's tensors in diffusers' layout: `unet.….lora_A.weight`, `text_encoder.…`, `text_encoder_2.…`.

    A text encoder's names begin with `text_model`, as files have them. The installed classes may lack that level.
    """
    from peft import get_peft_model_state_dict

    named = {"unet": networks.unet}
    named |= dict(zip(("text_encoder", "text_encoder_2"), networks.text_encoders, strict=False))
    state: dict[str, Tensor] = {}
    for prefix, network in named.items():
        if hasattr(network, "peft_config"):
            own = get_peft_model_state_dict(network, adapter_name=NAME)
            level = "" if prefix == "unet" or next(iter(own)).startswith("text_model.") else "text_model."
            state |= {f"{prefix}.{level}{key}": tensor.detach().float().cpu() for key, tensor in own.items()}
    return state


def kohya_layout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same LoRA in kohya's layout, with alpha = rank.

    One text encoder is `lora_te`, two are `lora_te1` and `lora_te2`. diffusers' own converter always writes the latter,
    and would break `text_model` out of the names.
    """
    two = any(key.startswith("text_encoder_2.") for key in state)
    prefixes = {"unet": "lora_unet", "text_encoder": "lora_te1" if two else "lora_te", "text_encoder_2": "lora_te2"}
    out: dict[str, Tensor] = {}
    for key, tensor in state.items():
        network, _, rest = key.partition(".")
        module, _, which = rest.removesuffix(".weight").rpartition(".")
        name = f"{prefixes[network]}_{module.replace('.', '_')}"
        if which == "lora_A":
            out[f"{name}.lora_down.weight"] = tensor
            out[f"{name}.alpha"] = torch.tensor(float(len(tensor)))
        else:
            out[f"{name}.lora_up.weight"] = tensor
    return out


def write_tensors(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Write a safetensors file atomically. Raises StorageFull (storage_full)."""
    from safetensors import SafetensorError
    from safetensors.torch import save

    from packshot.training.progress import named_disk_errors

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    try:
        data = save({key: tensor.contiguous() for key, tensor in state.items()}, dict(metadata) | {"format": "pt"})
    except SafetensorError as error:
        raise RuntimeError(f"{path.name} could not be written") from error
    with named_disk_errors(path.parent, partial):
        partial.write_bytes(data)
        partial.replace(path)
    return path
