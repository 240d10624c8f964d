"""A union ControlNet whose batch rows do not see each other.

diffusers' `ControlNetUnionModel` mixes the means of the control images and of the latents by attention, in layers that
take their first axis for the tokens. That axis is the batch, so each mean attends to the same mean of the other rows.
In the published pipeline all rows are copies of one picture: attention over equal rows is attention to oneself. Here a
batch holds rows of several pictures, which would change each other. So attention to oneself is computed directly, which
gives the published result for each row, in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["RowScale", "keep_rows_apart", "union_residuals"]


class OwnAttention(nn.Module):
    """Attention of each token to itself alone, with the weights of `attention`."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **_: object) -> tuple[Tensor, None]:
        """`attention.forward` for tokens that see only themselves: the softmax of one value is 1."""
        width, bias = self.attention.embed_dim, self.attention.in_proj_bias
        own = functional.linear(value, self.attention.in_proj_weight[2 * width :], bias[2 * width :])
        return self.attention.out_proj(own), None


def keep_rows_apart(network: Any) -> Any:
    """Replace the attention of a `ControlNetUnionModel` across its batch. Returns the same network."""
    for layer in network.transformer_layes:
        layer.attn = OwnAttention(layer.attn)
    return network


class RowScale:
    """The weight of each batch row as a factor of tensors whose first axis is the batch. `scale` is (n, 1, 1, 1)."""

    def __init__(self, scale: Tensor) -> None:
        self._scale = scale.flatten()

    def __rmul__(self, other: Tensor) -> Tensor:
        return other * self._scale.view(-1, *[1] * (other.dim() - 1))


def union_residuals(
    network: Any,
    latents: Tensor,
    times: Tensor,
    texts: Tensor,
    controls: Sequence[Tensor],
    scales: Sequence[Tensor],
    types: Sequence[int],
    added: dict[str, Tensor],
) -> tuple[list[Tensor], Tensor]:
    """The residuals of a union ControlNet for n batch rows that all have the conditions `types`.

    `controls` are the embedded control images, (n, C, h, w) each, and `scales` their weights, (n, 1, 1, 1) each. The
    others are as in `ControlledUNet.forward`.
    """
    vector = latents.new_zeros((len(latents), network.config.num_control_type))
    vector[:, list(types)] = 1
    down, mid = network(
        latents,
        times,
        encoder_hidden_states=texts,
        controlnet_cond=list(controls),
        control_type=vector,
        control_type_idx=list(types),
        conditioning_scale=[RowScale(scale) for scale in scales],
        added_cond_kwargs=added,
        return_dict=False,
    )
    return down, mid
