"""The mini pack's detector: it proposes boxes on the segmenter's features, and compares what is in them with phrases.

    features (B, C, s, s) ─┐
    eighth (B, c, 2s, 2s) ─┴─> joined ─> blocks ─> at each place: is it a product's, and the product's box
                                 ├──> a box's 7 x 7 view ─> blocks ─> a better box
                                 └──> a box's 4 x 4 view, and its aspect ratio ─> linear ─> how well each phrase fits

The phrases are those that the training asked. A request's words choose among them: "my coffee cup" is the phrase
"coffee cup", and not "cup".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from packshot.models.blocks import Block
from packshot.models.engines.word_tokenizer import UNK

WIDE_VIEW, WIDE_CONTEXT = 7, 0.12
"""The side of the view from which a box is mended, and the share of the box that it shows beyond each edge."""
VIEW, CONTEXT = 4, 0.05
"""The side of the view that is compared with phrases, and what it shows beyond each edge."""
ASPECT_WEIGHT = 7.0
"""The weight of a box's aspect ratio beside each number of its view."""


class NameFinder(nn.Module):
    """The network of the drawing above. Boxes are XYXY in shares of the input's side.

    `feature_channels` (C) and `detail_channels` (c) are the segmenter's. `width` and `depth` are those of the proposing
    blocks, `view_width` and `view_depth` those of the mending ones. `phrases` is their number, `phrase_words` the
    largest number of ids of one, and `vocabulary` the number of word ids. `threshold` is the score from which a box is
    an answer; the network itself does not use it.
    """

    def __init__(
        self,
        *,
        feature_channels: int,
        detail_channels: int,
        vocabulary: int,
        phrases: int,
        phrase_words: int,
        width: int = 192,
        depth: int = 4,
        view_width: int = 128,
        view_depth: int = 2,
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        self.threshold, self.vocabulary = threshold, vocabulary
        joined = feature_channels + 4 * detail_channels
        self.mix = nn.Conv2d(joined, width, 1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm = nn.GroupNorm(1, width)
        self.product = nn.Conv2d(width, 1, 1)
        self.box = nn.Conv2d(width, 4, 1)
        self.enter = nn.Conv2d(joined, view_width, 1)
        self.content = nn.Sequential(*(Block(view_width) for _ in range(view_depth)))
        self.better = nn.Linear(WIDE_VIEW**2 * view_width, 4)
        numbers = joined * VIEW**2 + 1
        self.fits = nn.Linear(numbers, phrases)
        self.mean: Tensor
        self.spread: Tensor
        self.phrases: Tensor
        self.line: Tensor
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("spread", torch.ones(numbers))
        self.register_buffer("phrases", torch.zeros(phrases, phrase_words))
        self.register_buffer("line", torch.tensor([1.0, 0.0]))

    @staticmethod
    def joined(features: Tensor, eighth: Tensor) -> Tensor:
        """Both of the segmenter's maps at one size, (B, C + 4c, s, s)."""
        return torch.cat([features, functional.pixel_unshuffle(eighth, 2)], dim=1)

    def proposed(self, joined: Tensor) -> tuple[Tensor, Tensor]:
        """At each place the logit that it is a product's (B, s, s), and the box of that product (B, s, s, 4)."""
        seen = self.norm(self.blocks(self.mix(joined)))
        left, top, right, bottom = functional.softplus(self.box(seen).float() - 2).unbind(1)
        side = joined.shape[-1]
        middle = (torch.arange(side, device=joined.device) + 0.5) / side
        x, y = middle.expand(side, side), middle[:, None].expand(side, side)
        return self.product(seen)[:, 0], torch.stack([x - left, y - top, x + right, y + bottom], dim=-1)

    def mended(self, joined: Tensor, boxes: Tensor, rows: Tensor) -> Tensor:
        """Boxes (R, 4) of the pictures `rows` (R), moved to what they show: (R, 4)."""
        seen = self.content(self.enter(view(joined, boxes, rows, WIDE_VIEW, WIDE_CONTEXT)))
        change = self.better(seen.flatten(1)).float() / WIDE_VIEW**2  # a sum of so many places
        size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        return boxes + 0.5 * torch.tanh(change) * size

    def numbers(self, joined: Tensor, boxes: Tensor, rows: Tensor) -> Tensor:
        """What phrases are compared with: the views of boxes (R, 4) of the pictures `rows` (R), (R, F)."""
        size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
        aspect = torch.log(size[:, :1] / size[:, 1:])
        return torch.cat([view(joined, boxes, rows, VIEW, CONTEXT).flatten(1), aspect], dim=1)

    def standard(self, numbers: Tensor) -> Tensor:
        """Numbers (R, F) with the mean 0 and the spread of one over their count; the aspect ratio counts more."""
        weights = torch.ones_like(self.mean)
        weights[-1] = ASPECT_WEIGHT
        scaled: Tensor = (numbers - self.mean) / self.spread * weights / len(self.mean) ** 0.5
        return scaled

    def scores(self, numbers: Tensor, asked: Tensor) -> Tensor:
        """The probability that each of R boxes is what each of Q requests asks for: (R, Q).

        `numbers` is (R, F), and `asked` (Q, phrases) the share of each phrase in each request (`chosen`).
        """
        fit = self.fits(self.standard(numbers)) @ asked.T
        return torch.where(asked.sum(1) > 0, (self.line[0] * fit + self.line[1]).sigmoid(), 0.0)

    def chosen(self, ids: Tensor) -> Tensor:
        """The phrases that requests name: word ids (Q, L) to shares (Q, phrases), or 0 where no phrase fits.

        A request names the phrases whose words are all among its own, and that are no part of another such phrase.
        """
        own, given = (self._bags(part) for part in (self.phrases.round().long(), ids))
        inside = (own[None] <= given[:, None]).all(-1)  # (Q, phrases)
        part_of = ((own[:, None] <= own[None]).all(-1) & (own[:, None] != own[None]).any(-1)).float()
        longest = inside & (inside.float() @ part_of.T == 0)
        return longest.float() / longest.sum(1, keepdim=True).clamp(min=1)

    def _bags(self, ids: Tensor) -> Tensor:
        """Which words ids (N, L) hold: (N, vocabulary). Ids up to `<unk>` are ignored."""
        bags = torch.zeros(len(ids), self.vocabulary, dtype=torch.bool, device=ids.device)
        bags.scatter_(1, ids, value=True)
        bags[:, : UNK + 1] = False
        return bags


def view(joined: Tensor, boxes: Tensor, rows: Tensor, side: int, context: float) -> Tensor:
    """What boxes (R, 4) of the pictures `rows` (R) show, with `context` around: float (R, C + 4c, side, side)."""
    at = torch.linspace(-context, 1 + context, side, device=boxes.device)
    x = boxes[:, None, 0] + at * (boxes[:, None, 2] - boxes[:, None, 0])
    y = boxes[:, None, 1] + at * (boxes[:, None, 3] - boxes[:, None, 1])
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=-1) * 2 - 1
    return functional.grid_sample(
        joined[rows].float(), grid.float(), mode="bilinear", padding_mode="zeros", align_corners=False
    )


__all__ = ["NameFinder"]
