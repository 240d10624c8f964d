"""Reference pictures in a UNet: decoupled cross-attention (IP-Adapter, Ye et al. 2023) for some batch rows of a step.

In each cross-attention of the adapter's style blocks, a row attends to its references' image tokens too, and the result
is added to what it reads from its words. All tokens share one softmax, in which a reference counts by its weight. The
addition is multiplied by the scene's strength, and by the share of each place that is scene and not product. A row
without references gets an addition of exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from packshot.errors import PackRefused
from packshot.models.engines.looks import linear
from packshot.models.references.adapter import IPAdapter, KeyValue

__all__ = ["GuidedAttentions", "RowGuides"]


NEEDED = ("tokens", "bias", "strength", "area")


@dataclass(frozen=True)
class RowGuides:
    """The references of n batch rows, each with T tokens.

    `tokens` (n, T, D) are the image tokens, and `bias` (n, 1, 1, T) the logarithm of their weights, -inf for padding.
    `strength` (n, 1, 1) is 0..1, and 0 for a row without references. `area` (n, 1, h, w) is 1 where the scene is
    painted and 0 on the product. `pooled` (n, P) replaces the words' vector by `share` (n, 1), 0..1; None where the
    adapter has no such vector.
    """

    tokens: Tensor
    bias: Tensor
    strength: Tensor
    area: Tensor
    pooled: Tensor | None = None
    share: Tensor | None = None

    def within(self, start: int, stop: int) -> RowGuides:
        """The part for the batch rows `start` to `stop` - 1."""
        return self._each(lambda one: one[start:stop])

    def unguided(self, count: int) -> RowGuides:
        """`count` rows without references, with as many tokens."""
        return self._each(lambda one: torch.zeros_like(one[:1]).expand(count, *one.shape[1:]))

    def padded(self, tokens: int) -> RowGuides:
        """The same with `tokens` tokens a row."""
        more = tokens - self.tokens.shape[1]
        padded = functional.pad(self.tokens, (0, 0, 0, more))
        return replace(self, tokens=padded, bias=functional.pad(self.bias, (0, more), value=-torch.inf))

    @classmethod
    def joined(cls, parts: Sequence[RowGuides | None], counts: Sequence[int]) -> RowGuides | None:
        """The guides of several scenes' rows, in order; None when no scene has references.

        A part is None for a scene without references. `counts` are the scenes' numbers of rows.
        """
        guided = [part for part in parts if part is not None]
        if not guided:
            return None
        most = max(part.tokens.shape[1] for part in guided)
        rows = [
            guided[0].padded(most).unguided(count) if part is None else part.padded(most)
            for part, count in zip(parts, counts, strict=True)
        ]
        return rows[0]._each(lambda *ones: torch.cat(ones), *rows[1:])

    def _each(self, call: Callable[..., Tensor], *others: RowGuides) -> RowGuides:
        """The guides whose tensors are what `call` makes of the tensors of these and of `others`."""

        def made(name: str) -> Tensor | None:
            ones = [getattr(one, name) for one in (self, *others)]
            return None if ones[0] is None else call(*ones)

        tokens, bias, strength, area = (call(*(getattr(one, name) for one in (self, *others))) for name in NEEDED)
        return RowGuides(tokens, bias, strength, area, made("pooled"), made("share"))


class GuidedAttentions:
    """An adapter in a UNet. It changes the UNet's attention processors; outside `during` their results stay the same.

    Use it from one thread only. Raises PackRefused (pack_mismatch) when the adapter does not fit the UNet.
    """

    def __init__(self, unet: Any, adapter: IPAdapter) -> None:
        self._adapter = adapter
        self._rows: RowGuides | None = None
        processors = dict(unet.attn_processors)
        names = [f"{2 * i + 1}" for i in range(sum("attn2" in name for name in processors))]
        if sorted(names) != sorted(adapter.ip_adapter):
            detail = f"the UNet has {len(names)} cross-attentions, the ip_adapter {len(adapter.ip_adapter)}"
            raise PackRefused("pack_mismatch", f"{detail}; correct `attentions` in the manifest")
        for number, name in enumerate(processors):
            if str(number) not in adapter.ip_adapter or not name.startswith(adapter.style_blocks or ("",)):
                continue
            pair = adapter.ip_adapter[str(number)]
            assert isinstance(pair, KeyValue)
            width = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
            if pair.to_k_ip.out_features != width:
                detail = f"attention {name} must have the width {width}, the ip_adapter has {pair.to_k_ip.out_features}"
                raise PackRefused("pack_mismatch", f"{detail}; correct `attentions` in the manifest")
            processors[name] = _Processor(processors[name], pair, self)
        unet.set_attn_processor(processors)
        if adapter.pooled is not None:
            unet.add_embedding.register_forward_hook(self._replace_pooled)

    @property
    def rows(self) -> RowGuides | None:
        """The guides of the call's batch rows; None outside `during`."""
        return self._rows

    @contextmanager
    def during(self, rows: RowGuides | None) -> Iterator[None]:
        """Guide the UNet's calls in this context by `rows`."""
        self._rows = rows
        try:
            yield
        finally:
            self._rows = None

    def guides(self, embeddings: Tensor, weights: Tensor, *, strength: float, area: Tensor, texts: int) -> RowGuides:
        """The guides of one scene, for each of its windows and each of its `texts` (1, or 2 with the negative prompt).

        `embeddings` (R, image_dim) are those of its references, and `weights` (R,) sum to 1. `area` (n, 1, h, w) is
        that of each window. The negative prompt's rows see the tokens of an empty vector, as the adapter was trained.
        """
        adapter = self._adapter
        seen = torch.stack([torch.zeros_like(embeddings), embeddings][-texts:])  # (texts, R, image_dim)
        tokens = adapter.image_proj(seen.flatten(0, 1)).unflatten(0, seen.shape[:2]).flatten(1, 2)  # (texts, R * T, D)
        bias = weights.log().repeat_interleave(adapter.image_proj.tokens)
        windows, count = len(area), texts * len(area)
        pooled = share = None
        if adapter.pooled is not None:
            mean = (adapter.pooled(embeddings) * weights[:, None].to(embeddings)).sum(0)
            pooled = mean.expand(count, -1)
            share = torch.full((count, 1), strength, dtype=mean.dtype, device=mean.device)
            share[: count - windows] = 0  # the negative prompt keeps its own
        return RowGuides(
            tokens.repeat_interleave(windows, dim=0),
            bias.to(tokens)[None, None, None].expand(count, 1, 1, -1),
            torch.full((count, 1, 1), strength, dtype=tokens.dtype, device=tokens.device),
            area.to(tokens).repeat(texts, 1, 1, 1),
            pooled,
            share,
        )

    def _replace_pooled(self, module: nn.Module, inputs: Any, words: Tensor) -> Tensor | None:
        if self._rows is None or self._rows.pooled is None or self._rows.share is None:
            return None
        return torch.lerp(words, self._rows.pooled, self._rows.share)


class _Processor:
    """A cross-attention that adds what its rows read from their references to what `plain` makes of their words."""

    def __init__(self, plain: Any, pair: KeyValue, guided: GuidedAttentions) -> None:
        self._plain, self._pair, self._guided = plain, pair, guided

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **more: Any) -> Tensor:
        out: Tensor = self._plain(attn, hidden_states, *args, **more)
        rows = self._guided.rows
        if rows is None:
            return out
        query, key, value = (
            one.unflatten(2, (attn.heads, -1)).transpose(1, 2)  # (n, heads, L or T, d)
            for one in (attn.to_q(hidden_states), self._pair.to_k_ip(rows.tokens), self._pair.to_v_ip(rows.tokens))
        )
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=rows.bias)
        share = _places(rows.area, hidden_states.shape[1]) * rows.strength  # (n, L, 1)
        # the output's projection is linear, so its part of the addition can be added behind it
        added = linear(attn.to_out[0], read.transpose(1, 2).flatten(2) * share)
        guided: Tensor = out + added / attn.rescale_output_factor
        return guided


def _places(area: Tensor, count: int) -> Tensor:
    """The mean of `area` (n, 1, h, w) at each of an attention's `count` places, (n, count, 1)."""
    height, width = area.shape[-2:]
    while height * width > count:
        height, width = -(-height // 2), -(-width // 2)
    return functional.adaptive_avg_pool2d(area, (height, width)).flatten(2).transpose(1, 2)
