"""The loss of a training, and the error by which checks compare it with the untrained pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from packshot.training.latents import Latents, Noise
from packshot.training.networks import Networks
from packshot.training.spec import TrainingSpec
from packshot.training.trainables import Trained

__all__ = ["Objective"]

DROPOUT = 0.1
"""The share of samples without a caption. Guidance needs to know what is painted without words."""
PRIOR_STREAM, CHECK_STREAM = 1, 2


@dataclass
class Objective:
    """The loss of samples of a dataset, and of DreamBooth's prior pictures, `prior`, None = none."""

    networks: Networks
    trained: Trained
    spec: TrainingSpec
    data: Latents
    prior: Latents | None
    seed: int

    def __post_init__(self) -> None:
        self._texts: dict[str, tuple[Tensor, Tensor | None]] = {}

    def loss(self, step: int, numbers: Sequence[int], rank: int = 0, ranks: int = 1) -> dict[str, Tensor]:
        """The losses of a worker's part of the step's batch: `loss` in all, and its parts.

        `numbers` are the pictures of the whole batch.
        """
        own = self._part(self.data, numbers, step, 0, rank, ranks, dropout=DROPOUT)
        if self.prior is None:
            return {"loss": own}
        chosen = [(step * len(numbers) + place) % len(self.prior) for place in range(len(numbers))]
        kept = self._part(self.prior, chosen, step, PRIOR_STREAM, rank, ranks, dropout=0.0)
        return {"loss": own + self.spec.prior_weight * kept, "own": own, "prior": kept}

    def _part(
        self, data: Latents, numbers: Sequence[int], step: int, stream: int, rank: int, ranks: int, *, dropout: float
    ) -> Tensor:
        noise = Noise(self.seed, step, len(numbers), data.shape, stream).part(rank, ranks)
        size = len(numbers) // ranks
        mine = list(numbers)[rank * size : (rank + 1) * size]
        return self._errors(data, mine, noise, dropout, self.spec.min_snr).mean()

    def _errors(self, data: Latents, numbers: Sequence[int], noise: Noise, dropout: float, gamma: float) -> Tensor:
        """The error of each sample (n,): squared, a mean over its places by their weights."""
        networks = self.networks
        batch = data.draw(numbers, noise, dropout)
        times = noise.times(len(networks.kept), networks.device)
        drawn = noise.noise.to(networks.device)
        noisy = networks.noised(batch.clean, drawn, times)
        texts, pooled = self._encoded(batch.captions)
        guide = self.trained.residuals
        residuals = None if guide is None or data is not self.data else guide(noisy, times, texts, pooled, numbers)
        made = networks.predict(noisy, times, texts, pooled, batch.inpaint, residuals)
        error = (made - networks.target(batch.clean, drawn, times)) ** 2
        each = (error * batch.weight).mean((1, 2, 3)) / batch.weight.mean((1, 2, 3)).clamp_min(1e-6)
        return each * networks.loss_weights(times, gamma)

    def _encoded(self, captions: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """The texts of the captions; each is encoded once while no text encoder changes."""
        if self.trained.texts:
            return self.networks.texts(captions)
        for caption in captions:
            if caption not in self._texts:
                with torch.no_grad():
                    self._texts[caption] = self.networks.texts([caption])
        found = [self._texts[caption] for caption in captions]
        pools = [pooled for _, pooled in found if pooled is not None]
        return torch.cat([states for states, _ in found]), torch.cat(pools) if pools else None

    @torch.no_grad()
    def error(self, data: Latents, most: int = 16, draws: int = 4) -> float:
        """The mean error on the first `most` pictures, each with the same `draws` noises at every call."""
        total, count = 0.0, min(most, len(data))
        for draw in range(draws):
            noise = Noise(self.seed, draw, count, data.shape, CHECK_STREAM)
            total += float(self._errors(data, range(count), noise, 0.0, 0.0).mean())
        return total / draws
