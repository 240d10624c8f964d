"""A pack's networks as a training uses them: encoded pictures and texts, noise, and the UNet's prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from packshot.models.engines.prompts import added_conditions
from packshot.models.engines.step_networks import predicted
from packshot.models.engines.word_tokenizer import Tokenizer
from packshot.models.packs.pack import Pack
from packshot.training.spec import require_trainable
from packshot.types import U8

__all__ = ["Networks", "Residuals", "require_trainable"]

Residuals = tuple[Sequence[Tensor], Tensor]


class Networks:
    """The networks of a pack whose recipe is unet_controlnet, frozen, on `device`.

    `dtype` is the number format of the UNet's and the text encoders' weights that are not trained. `kept` (T,) are the
    scheduler's alphas_cumprod: the signal's share of the variance at each timestep. Raises BadInput (engine_cannot) for
    another recipe, and PackRefused when parts are missing, were altered, or do not fit together.
    """

    def __init__(self, pack: Pack, device: torch.device, dtype: torch.dtype) -> None:
        require_trainable(pack)
        self.pack, self.device, self.dtype = pack, device, dtype
        self.tokenizers: list[Tokenizer] = [pack.tokenizer()]
        self.text_encoders: list[Any] = [pack.load("text_encoder", device, dtype)]
        if "text_encoder_2" in pack.manifest.roles:
            self.tokenizers.append(pack.load("tokenizer_2"))
            self.text_encoders.append(pack.load("text_encoder_2", device, dtype))
        self.vae: Any = pack.load("vae", device)  # in fp32: SDXL's overflows in fp16, and it runs once a picture
        self.unet: Any = pack.load("unet", device, dtype)
        self.scheduler: Any = pack.load("scheduler")
        self.kept: Tensor = self.scheduler.alphas_cumprod.to(device)
        self.factor = pack.vae_factor
        self.channels = int(self.vae.config.latent_channels)
        self.inpaints = int(self.unet.config.in_channels) != self.channels
        self.prediction = pack.manifest.prediction_type

    def networks(self) -> list[nn.Module]:
        """The networks that texts and latents pass through while training."""
        return [*self.text_encoders, self.unet]

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The means and standard deviations of the latents (n, c, h, w), fp32, of pictures (n, 3, S, S), -1..1.

        A VAE that is no distribution has standard deviations of 0.
        """
        means, deviations = [], []
        for picture in pictures:  # one by one: a VAE's activations are the largest of a training
            coded = self.vae.encode(picture[None].to(self.device, torch.float32))
            known = hasattr(coded, "latent_dist")
            mean = coded.latent_dist.mean if known else coded.latents
            means.append(mean.float())
            deviations.append(coded.latent_dist.std.float() if known else torch.zeros_like(mean, dtype=torch.float32))
        scale = float(self.vae.config.scaling_factor)
        return scale * torch.cat(means), scale * torch.cat(deviations)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[U8]:
        """The pictures, uint8 HxWx3, of latents (n, c, h, w)."""
        from packshot.models.engines.tensors import to_pixels

        unscaled = latents.float() / float(self.vae.config.scaling_factor)
        return [to_pixels(self.vae.decode(one[None], return_dict=False)[0].float()) for one in unscaled]

    def texts(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """The encoded prompts (n, L, D), and the second encoder's pooled texts (n, P) or None, as engines read them."""
        ids = [torch.from_numpy(tokenizer(list(prompts))).to(self.device) for tokenizer in self.tokenizers]
        if len(ids) == 1:
            return self.text_encoders[0](ids[0])[0], None
        found = [network(one, output_hidden_states=True) for network, one in zip(self.text_encoders, ids, strict=True)]
        return torch.cat([one.hidden_states[-2] for one in found], dim=-1), found[-1].text_embeds

    def predict(
        self,
        latents: Tensor,
        times: Tensor,
        texts: Tensor,
        pooled: Tensor | None,
        inpaint: Tensor | None,
        residuals: Residuals | None = None,
    ) -> Tensor:
        """The UNet's prediction (n, c, h, w), fp32, for noisy latents (n, c, h, w) at timesteps (n,).

        `inpaint` (n, 1 + c, h, w) holds mask and masked latents, for an inpainting UNet.
        """
        given = latents if inpaint is None else torch.cat([latents, inpaint], dim=1)
        down, mid = residuals or (None, None)
        added = self.added(pooled, latents)
        return predicted(self.unet, given.to(self.dtype), times, texts.to(self.dtype), down, mid, added).float()

    def added(self, pooled: Tensor | None, latents: Tensor) -> dict[str, Tensor] | None:
        """What SDXL's networks get besides the texts, for latents (n, c, h, w); None for others."""
        if pooled is None:
            return None
        height, width = (side * self.factor for side in latents.shape[-2:])
        return added_conditions([one[None] for one in pooled.to(self.dtype)], [1] * len(pooled), (width, height))

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The latents with noise at timesteps (n,)."""
        signal, share = self._shares(times)
        return signal * clean + share * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network should predict: the noise, v, or the latents, as the pack does."""
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "sample":
            return clean
        signal, share = self._shares(times)
        return signal * noise - share * clean

    def _shares(self, times: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.kept[times][:, None, None, None]
        return kept.sqrt(), (1 - kept).sqrt()

    def loss_weights(self, times: Tensor, gamma: float) -> Tensor:
        """Min-SNR weights (n,) of timesteps (Hang et al. 2023), as diffusers' trainings use them; 1 for gamma 0."""
        if not gamma:
            return torch.ones(len(times), device=self.device)
        kept = self.kept[times]
        snr = kept / (1 - kept).clamp_min(1e-8)
        capped = snr.clamp(max=gamma)
        if self.prediction == "epsilon":
            return capped / snr.clamp_min(1e-8)
        return capped / (snr + 1) if self.prediction == "v_prediction" else capped
