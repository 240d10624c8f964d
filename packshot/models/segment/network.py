"""The segmenter's network: a SAM of any size, built from a flat config.

The parts are segment_anything's own (`ImageEncoderViT`, `PromptEncoder`, `MaskDecoder`, `TwoWayTransformer`), so
original `.pth` checkpoints load unchanged. The tensor names of transformers' `facebook/sam-vit-*` are translated while
they load.

A small SAM may have `detail` channels. A convolutional stem then replaces the patch embedding, because it learns much
faster from little data. The stem's maps at 1/4 and 1/8 of the input's size, and at 1/2 with `mask_stride` 2, bypass
the transformer and are added while the mask is upscaled. Masks then have 1/`mask_stride` of the input's size; without
the stem they have a quarter.

    pixels (B, 3, S, S) -> stem -> maps /2 /4 /8 ──────────────────────────┐
                             └──> tokens (B, S/16, S/16, D) -> ViT -> features (B, C, S/16, S/16)
    points, boxes -> prompt tokens ─> two-way transformer over features ───┴─> masks (B, 4, h, w), predicted IoU (B, 4)
    mask prompt (B, 1, S/4, S/4) -> downscaling -> added to features
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from packshot.errors import PackRefused
from packshot.models.segment.sam_modules import MLP, ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

KEYS: dict[str, Any] = {
    "image_size": None,
    "patch_size": 16,
    "encoder_embed_dim": None,
    "encoder_depth": None,
    "encoder_heads": None,
    "window_size": 14,
    "global_attn_indexes": None,
    "relative_positions": True,
    "out_chans": 256,
    "mask_in_chans": 16,
    "decoder_depth": 2,
    "decoder_mlp_dim": 2048,
    "decoder_heads": 8,
    "iou_hidden_dim": 256,
    "pixel_mean": IMAGENET_MEAN,
    "pixel_std": IMAGENET_STD,
    "detail": (),
    "mask_stride": 2,
    "refine": "none",
    "thumbnail_px": 512,
    "automatic_grid": 8,
    "clicks_in_turn": False,
    "score_line": (0.0, 1.0),
    "expected_iou": {},
}
"""Every key of a segmenter's config with its default; None = required. The defaults are those of the published SAM."""

VIT_B = {
    "image_size": 1024,
    "encoder_embed_dim": 768,
    "encoder_depth": 12,
    "encoder_heads": 12,
    "global_attn_indexes": (2, 5, 8, 11),
}
VIT_L = VIT_B | {
    "encoder_embed_dim": 1024,
    "encoder_depth": 24,
    "encoder_heads": 16,
    "global_attn_indexes": (5, 11, 17, 23),
}
VIT_H = VIT_B | {
    "encoder_embed_dim": 1280,
    "encoder_depth": 32,
    "encoder_heads": 16,
    "global_attn_indexes": (7, 15, 23, 31),
}


class Stem(nn.Module):
    """A convolutional stem: pixels (B, 3, S, S) to tokens (B, S/16, S/16, D) and three feature maps.

    `channels` are the channels of the maps at 1/2, 1/4 and 1/8 of S. `embed_dim` is D.
    """

    def __init__(self, channels: Sequence[int], embed_dim: int) -> None:
        super().__init__()
        half, quarter, eighth = channels
        self.to_half = _stage(3, half, convolutions=1)
        self.to_quarter = _stage(half, quarter, convolutions=2)
        self.to_eighth = _stage(quarter, eighth, convolutions=2)
        self.to_tokens = nn.Conv2d(eighth, embed_dim, kernel_size=3, stride=2, padding=1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        half = self.to_half(pixels)
        quarter = self.to_quarter(half)
        eighth = self.to_eighth(quarter)
        return self.to_tokens(eighth).permute(0, 2, 3, 1), (half, quarter, eighth)


def _stage(channels_in: int, channels: int, *, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(convolutions):
        stride, into = (2, channels_in) if index == 0 else (1, channels)
        layers += [
            nn.Conv2d(into, channels, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(max(1, channels // 8), channels),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class DetailEncoder(ImageEncoderViT):  # type: ignore[misc]  # segment_anything has no types
    """SAM's image encoder with a `Stem`. `encode_with_maps` also returns the stem's maps for the mask decoder.

    `detail` are the channels of the stem's three maps, of which the decoder gets the last `skipped`, 2 or 3. The other
    arguments are those of `ImageEncoderViT`.
    """

    def __init__(self, *, detail: Sequence[int], skipped: int, embed_dim: int, **shared: Any) -> None:
        super().__init__(embed_dim=embed_dim, **shared)
        self.patch_embed = Stem(detail, embed_dim)
        self.skips = nn.ModuleList(nn.Conv2d(channels, channels, kernel_size=1) for channels in detail[-skipped:])

    def encode_with_maps(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pixels (B, 3, S, S) to features (B, C, S/16, S/16), and the maps at (1/2,) 1/4 and 1/8 of S, finest first."""
        tokens, maps = self.patch_embed(pixels)
        positions = self.pos_embed
        if positions.shape[1:3] != tokens.shape[1:3]:  # training starts with smaller pictures
            resized = functional.interpolate(positions.permute(0, 3, 1, 2), tokens.shape[1:3], mode="bilinear")
            positions = resized.permute(0, 2, 3, 1)
        tokens = tokens + positions.to(tokens.dtype)  # a sum of bf16 and fp32 would be fp32
        for block in self.blocks:
            tokens = block(tokens)
        return self.neck(tokens.permute(0, 3, 1, 2)), tuple(
            skip(feature_map) for skip, feature_map in zip(self.skips, maps[-len(self.skips) :], strict=True)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        return self.encode_with_maps(pixels)[0]


class DetailUpscaling(nn.Module):
    """Upscale features (B, C, s, s), and add the stem's maps, to mask features (B, c, 4 s, 4 s) or (B, c, 8 s, 8 s).

    `channels_in` is C. `detail` are the channels of two or three of the stem's maps, finest first; c is the first.
    """

    def __init__(self, channels_in: int, detail: Sequence[int]) -> None:
        super().__init__()
        *finer, quarter, eighth = detail
        self.up_eighth = nn.ConvTranspose2d(channels_in, eighth, kernel_size=2, stride=2)
        self.up_quarter = nn.ConvTranspose2d(eighth, quarter, kernel_size=2, stride=2)
        self.mix_quarter = nn.Conv2d(quarter, quarter, kernel_size=3, padding=1)
        self.up_half = nn.ConvTranspose2d(quarter, finer[0], kernel_size=2, stride=2) if finer else None

    def forward(self, features: Tensor, maps: Sequence[Tensor]) -> Tensor:
        *finer, quarter, eighth = maps
        features = torch.relu(self.up_eighth(features) + eighth)
        features = torch.relu(self.up_quarter(features) + quarter)
        features = torch.relu(self.mix_quarter(features))
        return features if self.up_half is None else torch.relu(self.up_half(features) + finer[0])


class BatchMaskDecoder(MaskDecoder):  # type: ignore[misc]  # segment_anything has no types
    """SAM's mask decoder for B photos with one prompt set each. The original takes one photo with B prompt sets."""

    def __init__(self, *, detail: Sequence[int] = (), **shared: Any) -> None:
        super().__init__(**shared)
        if detail:
            dim = shared["transformer_dim"]
            self.output_upscaling = DetailUpscaling(dim, detail)
            self.output_hypernetworks_mlps = nn.ModuleList(
                MLP(dim, dim, detail[0], 3) for _ in range(self.num_mask_tokens)
            )

    def decode(
        self,
        features: Tensor,
        positions: Tensor,
        prompt_tokens: Tensor,
        mask_prompt: Tensor,
        maps: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor]:
        """Masks as logits (B, 4, h, w), and their predicted IoU (B, 4).

        Mask 0 is the single answer. Masks 1 to 3 are the answers to an ambiguous prompt. `features` (B, C, s, s) are
        the encoder's output. `positions` (1, C, s, s) is the positional encoding. `prompt_tokens` (B, N, C) are the
        encoded points and boxes. `mask_prompt` (B, C, s, s) is the embedded mask prompt, or (1, C, 1, 1) that of a
        missing one. `maps` are the stem's maps, if there are any.
        """
        batch, channels, side_y, side_x = features.shape
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (1 + 4, C)
        tokens = torch.cat([output_tokens.expand(batch, -1, -1), prompt_tokens], dim=1)
        tokens, positions, mask_prompt = (part.to(features.dtype) for part in (tokens, positions, mask_prompt))
        decoded, grid = self.transformer(features + mask_prompt, positions.expand(batch, -1, -1, -1), tokens)
        grid = grid.transpose(1, 2).reshape(batch, channels, side_y, side_x)
        upscaled = self.output_upscaling(grid, maps) if maps else self.output_upscaling(grid)
        filters = torch.stack([mlp(decoded[:, 1 + k]) for k, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1)
        masks = torch.einsum("bkc,bchw->bkhw", filters, upscaled)
        return masks, self.iou_prediction_head(decoded[:, 0])


def build_sam(config: Mapping[str, Any]) -> Sam:
    """Build a SAM from a flat config. `KEYS` lists the config's keys and defaults. The weights are random.

    Raises PackRefused (pack_mismatch) for an unknown or missing key, or for sizes that do not fit together.
    """
    keys = _checked(config)
    size, patch, dim, channels = (keys[k] for k in ("image_size", "patch_size", "encoder_embed_dim", "out_chans"))
    side, detail, skipped = size // patch, tuple(keys["detail"]), 3 if keys["mask_stride"] == 2 else 2
    encoder_shared: dict[str, Any] = {
        "img_size": size,
        "patch_size": patch,
        "embed_dim": dim,
        "depth": keys["encoder_depth"],
        "num_heads": keys["encoder_heads"],
        "mlp_ratio": 4,
        "norm_layer": partial(nn.LayerNorm, eps=1e-6),
        "qkv_bias": True,
        "use_rel_pos": keys["relative_positions"],
        "global_attn_indexes": tuple(keys["global_attn_indexes"]),
        "window_size": keys["window_size"],
        "out_chans": channels,
    }
    transformer = TwoWayTransformer(
        depth=keys["decoder_depth"],
        embedding_dim=channels,
        mlp_dim=keys["decoder_mlp_dim"],
        num_heads=keys["decoder_heads"],
    )
    sam = Sam(
        image_encoder=DetailEncoder(detail=detail, skipped=skipped, **encoder_shared)
        if detail
        else ImageEncoderViT(**encoder_shared),
        prompt_encoder=PromptEncoder(
            embed_dim=channels,
            image_embedding_size=(side, side),
            input_image_size=(size, size),
            mask_in_chans=keys["mask_in_chans"],
        ),
        mask_decoder=BatchMaskDecoder(
            detail=detail[-skipped:],
            num_multimask_outputs=3,
            transformer=transformer,
            transformer_dim=channels,
            iou_head_depth=3,
            iou_head_hidden_dim=keys["iou_hidden_dim"],
        ),
        pixel_mean=list(keys["pixel_mean"]),
        pixel_std=list(keys["pixel_std"]),
    )
    sam.packshot_config = keys
    sam.register_load_state_dict_pre_hook(_accept_transformers_names)
    return sam.eval()


def _checked(config: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(config) - set(KEYS))
    missing = sorted(key for key, default in KEYS.items() if default is None and key not in config)
    if unknown or missing:
        raise PackRefused(
            "pack_mismatch",
            f"a segmenter's config must have keys of {sorted(KEYS)}, got unknown keys {unknown} and missing keys "
            f"{missing}; correct the pack's segmenter config",
        )
    keys = KEYS | dict(config)
    rules = {
        "image_size must be a multiple of patch_size": keys["image_size"] % keys["patch_size"] == 0,
        "encoder_embed_dim must be a multiple of encoder_heads": keys["encoder_embed_dim"] % keys["encoder_heads"] == 0,
        "out_chans must be a multiple of 2 x decoder_heads": keys["out_chans"] % (2 * keys["decoder_heads"]) == 0,
        "detail must hold three channel counts, and needs patch_size 16": not keys["detail"]
        or (len(keys["detail"]) == 3 and keys["patch_size"] == 16),
        "mask_stride must be 2 or 4": keys["mask_stride"] in (2, 4),
        "refine must be none or grabcut": keys["refine"] in ("none", "grabcut"),
    }
    for rule, holds in rules.items():
        if not holds:
            named = {key: keys[key] for key in KEYS if re.search(rf"\b{key}\b", rule)}
            raise PackRefused("pack_mismatch", f"{rule}, got {named}; correct the pack's segmenter config")
    return keys


_TRANSFORMERS_NAMES: tuple[tuple[str, str], ...] = (
    (r"^shared_image_embedding\.positional_embedding$", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"^vision_encoder\.layers\.(\d+)\.layer_norm([12])\.", r"image_encoder.blocks.\1.norm\2."),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
    (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
    (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
    (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
    (r"^mask_decoder\.transformer\.(.*)layer_norm(\d|_final_attn)\.", r"mask_decoder.transformer.\1norm\2."),
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.proj_out\.", r"\1.layers.2."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.0\.", r"\1.layers.1."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.proj_in\.", r"\1.layers.0."),
)
_TWICE_IN_TRANSFORMERS = "prompt_encoder.shared_embedding.positional_embedding"


def _accept_transformers_names(module: nn.Module, state: dict[str, Any], *_: Any) -> None:
    """Rename the tensors of transformers' SamModel to segment_anything's names. Other states stay unchanged."""
    if "shared_image_embedding.positional_embedding" not in state:
        return
    tensors = {name: state.pop(name) for name in list(state)}
    tensors.pop(_TWICE_IN_TRANSFORMERS, None)
    for name, tensor in tensors.items():
        for pattern, replacement in _TRANSFORMERS_NAMES:
            renamed, matches = re.subn(pattern, replacement, name)
            if matches:
                break
        state[renamed] = tensor
