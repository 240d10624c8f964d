"""SAM 2 in the two parts that `SamEncoder` and `SamDecoder` use: the same clicks, boxes and masks as for SAM.

The networks are transformers' own (`Sam2Model`), so the hub's files load unchanged; what a video needs is left out.

    pixels (B, 3, S, S) -> Hiera, feature pyramid -> maps /4 /8 ──────────┐
                                       └──> features (B, C, S/16, S/16)    │
    points, boxes -> prompt tokens ─> two-way transformer over features ───┴─> masks (B, 4, S/4, S/4), IoU (B, 4)
    mask prompt (B, 1, S/4, S/4) -> downscaling -> added to features

SAM 2 was trained on photos that are stretched to a square, and SAM on photos that are padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.sam2.modeling_sam2 import Sam2MaskDecoder, Sam2Model

from packshot.models.segment.network import IMAGENET_MEAN, IMAGENET_STD, KEYS

MASK_STRIDE = 4
"""Input pixels of one pixel of a mask, on each side."""


class Sam2Encoder(nn.Module):
    """The image encoder of a `Sam2Model`, with the projections of its maps for the mask decoder."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision = model.vision_encoder
        self.to_quarter, self.to_eighth = model.mask_decoder.conv_s0, model.mask_decoder.conv_s1
        self.no_memory = model.no_memory_embedding

    def encode_with_maps(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Pixels (B, 3, S, S) to features (B, C, S/16, S/16), and the maps at 1/4 and 1/8 of S, finest first."""
        quarter, eighth, features = self.vision(pixels, return_dict=True).fpn_hidden_states
        return features + self.no_memory.view(1, -1, 1, 1), (self.to_quarter(quarter), self.to_eighth(eighth))


class Sam2Prompts(nn.Module):
    """The prompt encoder of a `Sam2Model`, by the names that SAM's has."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        encoder = model.prompt_encoder
        self.input_image_size = (encoder.input_image_size, encoder.input_image_size)
        self.image_embedding_size = encoder.image_embedding_size
        self.not_a_point_embed = encoder.not_a_point_embed
        self.no_mask_embed = encoder.no_mask_embed
        self.mask_downscaling = encoder.mask_embed
        self._points, self._positions = encoder.point_embed, encoder.shared_embedding
        self._grid = model.shared_image_embedding

    @property
    def point_embeddings(self) -> list[nn.Embedding]:
        """One embedding for each label: background, product, a box's two corners."""
        return [nn.Embedding.from_pretrained(row[None]) for row in self._points.weight]

    @property
    def pe_layer(self) -> Sam2Prompts:
        return self

    def forward_with_coords(self, coords: Tensor, size: tuple[int, int]) -> Tensor:
        """The positions (B, N, C) of points (B, N, 2) in pixels of an input of `size` (height, width)."""
        positions: Tensor = self._positions(coords[:, None].float(), size)[:, 0]
        return positions

    def get_dense_pe(self) -> Tensor:
        """The positions (1, C, s, s) of the features."""
        height, width = self.image_embedding_size
        rows, columns = ((torch.arange(n, device=self._points.weight.device) + 0.5) / n for n in (height, width))
        grid = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)], dim=-1)
        positions: Tensor = self._grid(grid[None])[0]
        return positions.permute(2, 0, 1)[None]


class Sam2Masks(Sam2MaskDecoder):  # type: ignore[misc]  # transformers is not followed
    """SAM 2's mask decoder for B photos with one prompt set each, which returns all four masks of a prompt."""

    def decode(
        self, features: Tensor, positions: Tensor, prompt_tokens: Tensor, mask_prompt: Tensor, maps: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Masks as logits (B, 4, h, w), and their predicted IoU (B, 4); see `BatchMaskDecoder.decode`."""
        masks, scores, _, _ = self(
            image_embeddings=features,
            image_positional_embeddings=positions.expand(len(features), -1, -1, -1),
            sparse_prompt_embeddings=prompt_tokens[:, None],
            dense_prompt_embeddings=mask_prompt,
            multimask_output=False,
            high_resolution_features=list(maps),
        )
        return masks[:, 0], scores[:, 0]

    def _dynamic_multimask_via_stability(self, masks: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The single answer, replaced by the best of the other three where it is unstable, and those three.

        The original calls this for the single answer alone.
        """
        if not self.config.dynamic_multimask_via_stability:
            return masks, scores
        single, its_score = super()._dynamic_multimask_via_stability(masks, scores)
        return torch.cat([single, masks[:, :, 1:]], dim=2), torch.cat([its_score, scores[:, :, 1:]], dim=2)


class Sam2(nn.Module):
    """A `Sam2Model` in SAM's parts: `image_encoder`, `prompt_encoder` and `mask_decoder`. It takes the model over."""

    def __init__(self, model: Sam2Model) -> None:
        super().__init__()
        self.image_encoder = Sam2Encoder(model)
        self.prompt_encoder = Sam2Prompts(model)
        decoder = model.mask_decoder
        del decoder.conv_s0, decoder.conv_s1  # the encoder has them, and may run in another number format
        decoder.__class__ = Sam2Masks
        decoder.dynamic_multimask_via_stability = True  # so that `_dynamic_multimask_via_stability` is called
        self.mask_decoder = decoder
        prompts, channels = model.config.prompt_encoder_config, model.config.mask_decoder_config.hidden_size
        self.packshot_config = KEYS | {
            "image_size": prompts.image_size,
            "patch_size": prompts.patch_size,
            "out_chans": channels,
            "detail": (channels // 16, channels // 8, channels // 4),
            "mask_stride": MASK_STRIDE,
            "pixel_mean": IMAGENET_MEAN,
            "pixel_std": IMAGENET_STD,
            "stretched": True,
            "padded_boxes": True,
        }


__all__ = ["Sam2", "Sam2Encoder", "Sam2Masks", "Sam2Prompts"]
