"""A ControlNet to train: a pack's own, or a new one from the encoder of its UNet, and its control images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from packshot.errors import BadInput
from packshot.models.packs.manifest import ControlChannel
from packshot.training.dataset import Picture
from packshot.training.networks import Networks

__all__ = ["control_from", "control_images", "load_control"]

OF_UNET = (
    "addition_embed_type",
    "addition_embed_type_num_heads",
    "addition_time_embed_dim",
    "attention_head_dim",
    "block_out_channels",
    "class_embed_type",
    "cross_attention_dim",
    "down_block_types",
    "flip_sin_to_cos",
    "freq_shift",
    "layers_per_block",
    "norm_num_groups",
    "num_attention_heads",
    "projection_class_embeddings_input_dim",
    "resnet_time_scale_shift",
    "transformer_layers_per_block",
    "use_linear_projection",
)
"""What a ControlNet's encoder has in common with its UNet's."""


def control_from(unet: Any, config: dict[str, Any]) -> Any:
    """A new ControlNet of this config with the weights of the UNet's encoder, and zero outputs.

    The ControlNet takes only the noisy latents, which are an inpainting UNet's first input channels.
    """
    from diffusers import ControlNetModel

    control = ControlNetModel(**config)
    own, theirs = control.state_dict(), unet.state_dict()
    taken = {key: theirs[key] for key in own if key in theirs and theirs[key].shape == own[key].shape}
    taken["conv_in.weight"] = theirs["conv_in.weight"][:, : config["in_channels"]]
    taken["conv_in.bias"] = theirs["conv_in.bias"]
    control.load_state_dict({**own, **taken})
    # With torch's default initialisation the edges' signal vanishes over the embedding's eight convolutions (1e-6 after
    # a short training), so an initialisation that keeps the variance is used. The zero convolutions behind it still
    # give a fresh ControlNet zero outputs.
    embedding = control.controlnet_cond_embedding
    for conv in (embedding.conv_in, *embedding.blocks, embedding.conv_out):
        torch.nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        torch.nn.init.zeros_(conv.bias)
    return control


def load_control(networks: Networks) -> tuple[Any, dict[str, Any], tuple[ControlChannel, ...]]:
    """The ControlNet to train, its config, and what each channel of its control image shows.

    It goes on from the pack's own. A pack whose ControlNet is a union of conditions gets a new one, for the edges.
    Raises BadInput (engine_cannot) when the pack's has channels besides edges and product.
    """
    spec = networks.pack.role("controlnet")
    if spec.class_name == "ControlNetModel":
        if set(spec.control_channels) - {"canny", "product"}:
            rule = "a ControlNet can be trained on edges and the product's mask"
            raise BadInput("engine_cannot", f"{rule}; that of {networks.pack.name!r} reads {spec.control_channels}")
        return networks.pack.load("controlnet", networks.device), spec.config, spec.control_channels
    unet = dict(networks.unet.config)
    config = {key: unet[key] for key in OF_UNET if unet.get(key) is not None} | {"in_channels": networks.channels}
    blocks = spec.config.get("conditioning_embedding_out_channels", [16, 32, 96, 256])
    config["conditioning_embedding_out_channels"] = list(blocks)
    return control_from(networks.unet, config).to(networks.device), config, ("canny", "canny", "canny")


def control_images(pictures: Sequence[Picture], channels: Sequence[ControlChannel]) -> Tensor:
    """The control images (n, K, S, S), fp32, 0..1: the Canny edges of each whole picture, and its product."""
    images = []
    for picture in pictures:
        edges = cv2.Canny(picture.pixels, 100, 200)
        product = np.zeros_like(edges) if picture.mask is None else picture.mask
        shown = {"canny": edges, "product": product}
        images.append(np.stack([shown[channel] for channel in channels]))
    return torch.from_numpy(np.stack(images).astype(np.float32) / 255)
