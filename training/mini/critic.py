"""The critic of a decoder: a patch discriminator that is trained beside it, so that what it decodes has texture.

Pixel losses alone give the mean of all textures that fit the latents, which is blur. The critic sees patches of 22 px,
less their local mean: a critic of whole colours shifted them (2026-11-26). It is trained with the hinge loss. Its term
is weighted so that it pulls the decoder's last layer by PULL of what the pixel losses do (as in VQGAN), and grows over
WARM_UP_STEPS. It is not part of a checkpoint: a resumed training starts with a fresh one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WARM_UP_STEPS = 60
"""Steps in which the critic learns alone, and then again as many in which its term grows."""
PULL, MOST = 0.3, 10.0
"""The pull of the critic's term relative to the other losses', and its largest weight."""


class Critic:
    """A patch discriminator of pictures (B, 3, S, S) in -1..1 with its optimizer."""

    def __init__(self, device: torch.device, lr: float = 5e-4) -> None:
        self.net = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 96, 3, 1, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(96, 1, 3, 1, 1),
        ).to(device)  # fmt: skip
        self.net.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr, betas=(0.5, 0.99))
        self.step = 0

    def _seen(self, pictures: Tensor) -> Tensor:
        """The verdicts on a picture's patches: above 0 for real ones. Only what a blur of 9 px removes is seen."""
        blurred = F.avg_pool2d(F.pad(pictures, (4, 4, 4, 4), mode="replicate"), 9, stride=1)
        verdicts: Tensor = self.net(pictures - blurred)
        return verdicts

    def learn(self, real: Tensor, decoded: Tensor) -> Tensor:
        """Take one step on real and decoded pictures. Returns the hinge loss."""
        self.net.requires_grad_(True)
        loss = F.relu(1 - self._seen(real)).mean() + F.relu(1 + self._seen(decoded.detach())).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.net.requires_grad_(False)
        self.step += 1
        return loss.detach()

    def term(self, decoded: Tensor, others: Tensor, last: nn.Parameter) -> Tensor:
        """The critic's term of the decoder's loss. `others` is the sum of the other terms, and `last` a weight of the
        decoder's last layer, by whose gradients the terms are balanced."""
        share = min(max(self.step / WARM_UP_STEPS - 1, 0.0), 1.0)
        if not share:
            return torch.zeros((), device=decoded.device)
        fooled = -self._seen(decoded).float().mean()
        pulls = [torch.autograd.grad(one, last, retain_graph=True)[0].norm() for one in (others, fooled)]
        weight = (pulls[0] / pulls[1].clamp_min(1e-6)).clamp(max=MOST).detach()
        term: Tensor = share * PULL * weight * fooled
        return term
