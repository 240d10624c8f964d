"""An IP-Adapter (Ye et al. 2023): image tokens of a reference, and the keys and values by which a UNet attends to them.

The tensors have the names of the published files: `image_proj.proj`, `image_proj.norm`, and `ip_adapter.N.to_k_ip` and
`ip_adapter.N.to_v_ip`, where N is the number of the attention among all of the UNet's (self-attentions too).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["IPAdapter"]


class ImageProjection(nn.Module):
    """Turns a reference's vector into tokens of the text's width."""

    def __init__(self, image_dim: int, text_dim: int, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.proj = nn.Linear(image_dim, tokens * text_dim)
        self.norm = nn.LayerNorm(text_dim)

    def forward(self, embeddings: Tensor) -> Tensor:
        """The tokens (B, tokens, text_dim) of vectors (B, image_dim)."""
        out: Tensor = self.norm(self.proj(embeddings).unflatten(1, (self.tokens, -1)))
        return out


class KeyValue(nn.Module):
    """The keys and values of image tokens in one cross-attention."""

    def __init__(self, text_dim: int, width: int) -> None:
        super().__init__()
        self.to_k_ip = nn.Linear(text_dim, width, bias=False)
        self.to_v_ip = nn.Linear(text_dim, width, bias=False)


class IPAdapter(nn.Module):
    """The networks of an adapter. `packshot.models.engines.references` puts them into a UNet.

    `image_dim` is the length of a reference's vector, and `text_dim` that of a token. `attentions` are the UNet's
    cross-attentions in the order of its processors, as runs of (width, count). `style_blocks` are the prefixes of those
    that are used; empty = all. With `pooled_dim`, a vector of this length takes the place of the words' in the UNet's
    time embedding, which the embedded pack's UNet reads its words from.
    """

    def __init__(
        self,
        image_dim: int,
        text_dim: int,
        attentions: Sequence[Sequence[int]],
        tokens: int = 4,
        style_blocks: Sequence[str] = (),
        pooled_dim: int = 0,
    ) -> None:
        super().__init__()
        self.image_dim, self.style_blocks = image_dim, tuple(style_blocks)
        self.image_proj = ImageProjection(image_dim, text_dim, tokens)
        widths = [width for width, count in attentions for _ in range(count)]
        self.ip_adapter = nn.ModuleDict({str(2 * i + 1): KeyValue(text_dim, width) for i, width in enumerate(widths)})
        self.pooled = nn.Linear(image_dim, pooled_dim) if pooled_dim else None
