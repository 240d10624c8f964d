"""The ControlNet-inpaint recipe, as steps that rows of different requests can share.

For each scene, once (`begin`):
    1.  Refuse what the pack cannot do.
    2.  Encode the prompt, and the negative prompt when guidance needs it (cached by text).
    3.  Embed the control image: it does not depend on the timestep.
    4.  Make the scene's own scheduler and seeded generator.
    5.  Encode the masked picture for an inpainting UNet (2c + 1 channels), the whole picture for a plain one (c).
    6.  Draw the initial noise.
For each tick, over all rows (`step`):
    7.t Scale the latents; a row with guidance gives two rows.
    8.t One ControlNet call: residuals, times each row's own scale.
    9.t One UNet call, with a (B,) vector of timesteps.
    10.t Guide each row, and rescale.
    11.t Step each row's scheduler; for a plain UNet put the known part back, noised to the next timestep.
For each scene, at the end (`decode`):
    12. Decode the latents.

The networks run in the engine's dtype, the latents and the schedulers' arithmetic in fp32. Noise comes from a CPU
generator, so a seed means the same on every device and in every batch. Nothing here takes a lock: one engine, one
thread.
"""

from __future__ import annotations

import copy
import inspect
import math
import time
import warnings
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from packshot.contract.verdict import Finding
from packshot.errors import BadInput, EngineFailed, PackRefused
from packshot.models.engines.step_networks import ControlledUNet, Frozen
from packshot.models.engines.word_tokenizer import read_prompt
from packshot.models.packs.pack import Pack
from packshot.types import U8, Brief, EdgeMap, Render, Scene

TEXTS_KEPT = 256
PREVIEW_LATENTS = 16
"""Longest side of a preview's latents: with a VAE of factor 8, 128 px."""
LONGEST_STEP_S = 0.35
"""Whoever joins waits for the step that runs: no batch is made so large that it takes longer."""


@dataclass(eq=False)
class Denoising:
    """A scene on its way, c latent channels, h x w latents. Owned by the engine that began it; made of its tensors.

    In the engine's dtype: `texts` ([negative,] prompt: 1 or 2, L, D), `control` (1, C, h, w) and `inpaint` (mask and
    masked-picture latents: 1, 1 + c, h, w; None for a plain UNet). In fp32: `latents`, `noise`, `known` (the picture's
    latents; None for an inpainting UNet), all (1, c, h, w), and `mask` (1, 1, h, w; 1 = repaint). `control_scales`: one
    for each step, 0 outside the control window. `findings`: how the prompt was read. `predicted`: the clean latents
    that the last step implied. `error`: why this row alone cannot go on.
    """

    brief: Brief
    texts: Tensor
    control: Tensor
    inpaint: Tensor | None
    known: Tensor | None
    mask: Tensor
    noise: Tensor
    latents: Tensor
    scheduler: Any
    timesteps: Tensor
    control_scales: tuple[float, ...]
    generator: torch.Generator
    findings: tuple[Finding, ...] = ()
    index: int = 0
    error: Exception | None = None
    predicted: Tensor | None = field(default=None, repr=False)

    @property
    def steps(self) -> int:
        return len(self.timesteps)

    @property
    def done(self) -> bool:
        return self.index >= self.steps

    @property
    def guided(self) -> bool:
        return self.brief.rows_per_step == 2  # at 1 the unconditional row would cancel out


class DiffusionEngine:
    """A pack's generator on one device. Not safe for threads: call it from one thread only.

    `freeze`: trace small networks on a CPU at their first step, so that later ones run without Python between the
    kernels and rows side by side (1.4 to 1.9 times as fast; `packshot.models.engines.step_networks.Frozen`); worth its
    two seconds in a process that stays. Raises PackRefused when the pack's parts are missing, altered, or do not fit.
    """

    def __init__(
        self,
        pack: Pack,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        freeze: bool = False,
    ) -> None:
        pack.check()
        self.pack = pack
        self.device = torch.device(device)
        self.dtype = dtype
        self.factor = pack.vae_factor
        self._tokenizer = pack.tokenizer()
        self._text_encoder, self._vae, self._unet, self._controlnet = (
            pack.load(role, self.device, dtype) for role in ("text_encoder", "vae", "unet", "controlnet")
        )
        if self.device.type == "cpu":  # its decoding takes 25 ms instead of 45; the other networks gain nothing
            self._vae.to(memory_format=torch.channels_last)
        self._scheduler = pack.load("scheduler")
        self._scheduler_step_takes_generator = "generator" in inspect.signature(self._scheduler.step).parameters
        # Step 3 runs it once a scene; in the ControlNet's own call the embedding then passes through.
        self._embed_control = self._controlnet.controlnet_cond_embedding
        self._controlnet.controlnet_cond_embedding = nn.Identity()
        network = ControlledUNet(self._unet, self._controlnet).eval()
        self._controlled = Frozen(network) if freeze and Frozen.pays(network, self.device) else network
        self.channels = int(self._vae.config.latent_channels)
        self.inpaints = int(self._unet.config.in_channels) != self.channels
        self._texts: OrderedDict[str, Tensor] = OrderedDict()
        self._check_vocabulary()

    def _check_vocabulary(self) -> None:
        config = self._text_encoder.config
        for what, has, room in (
            ("tokenizer's vocabulary", self._tokenizer.vocab_size, config.vocab_size),
            ("tokenizer's max_length", self._tokenizer.max_length, config.max_position_embeddings),
        ):
            if has > room:
                detail = f"pack {self.pack.name!r}: the {what} must fit the text encoder's {room}, got {has}"
                raise PackRefused("pack_mismatch", f"{detail}; take parts that fit")

    @property
    def native(self) -> tuple[int, int]:
        """(width, height) in pixels that the pack was trained at."""
        return self.pack.manifest.native_px

    def bucket(self, canvas_w: int, canvas_h: int) -> tuple[int, int]:
        """The (width, height) to render a canvas at: the bucket nearest in aspect and area."""
        return self.pack.manifest.bucket(canvas_w, canvas_h)

    def batch_key(self, scene: Scene) -> Hashable:
        """Scenes of equal keys can share a step: their latents have one size."""
        return (scene.size[0] // self.factor, scene.size[1] // self.factor)

    def rows(self, scene: Scene) -> int:
        """Rows of the networks' batch that each step of the scene takes: with guidance two."""
        return scene.brief.rows_per_step

    @torch.inference_mode()
    def step_seconds(self, rows: Sequence[int] = (1, 2, 4, 8, 16, 32, 64)) -> dict[int, float]:
        """Seconds that the networks take for a step of so many rows at the native size: this machine's batch curve.

        Measured now, the quicker of two. A count that may take longer than LONGEST_STEP_S, by the one before, ends the
        measuring, and so does one that does not fit into memory.
        """
        width, height = self.native
        repaint = np.full((height, width), 255, np.uint8)
        brief = Brief("", steps=1, guidance_scale=1.0)
        row = self.begin(Scene(np.full((height, width, 3), 128, np.uint8), repaint, EdgeMap(repaint), brief))
        self._predict([row], [row.latents])  # warm
        found: dict[int, float] = {}
        for last, count in zip((None, *rows), rows, strict=False):
            if last and found[last] * count / last > LONGEST_STEP_S:
                break
            try:
                with _memory_errors_told():
                    found[count] = min(self._timed([row] * count) for _ in range(2))
            except EngineFailed:
                break
        return found

    def _timed(self, rows: Sequence[Denoising]) -> float:
        started_at = time.perf_counter()
        self._predict(rows, [row.latents for row in rows])
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started_at

    @torch.inference_mode()
    def begin(self, scene: Scene) -> Denoising:
        """Everything that does not depend on the timestep. Raises BadInput for a brief beyond the pack's limits."""
        # 1. Refuse what the pack cannot do.
        brief = scene.brief
        self._admit(scene)
        with _memory_errors_told():
            # 2. Encode the texts.
            prompt, finding = read_prompt(brief.prompt, self._tokenizer, self.pack.manifest.defaults.prompt)
            texts = [brief.negative_prompt, prompt] if brief.rows_per_step == 2 else [prompt]
            encoded = torch.cat([self._text(text) for text in texts])  # (1 or 2, L, D)
            # 3. Embed the control image.
            repaint = torch.from_numpy(scene.inpaint_mask >= 128).to(self.device, torch.float32)[
                None, None
            ]  # (1, 1, H, W)
            control = self._embed_control(self.control_image(scene, repaint).to(self.dtype))  # (1, C, h, w)
            # 4. A scheduler and a generator of the scene's own: both keep state from step to step.
            scheduler = copy.deepcopy(self._scheduler)
            with warnings.catch_warnings():
                # diffusers 0.42 hands tensors to np.array, which numpy 2.5 tells as deprecated
                warnings.simplefilter("ignore", DeprecationWarning)
                scheduler.set_timesteps(brief.steps)
            generator = torch.Generator("cpu").manual_seed(brief.seed)
            # 5. and 6. The order of the draws is the published pipeline's, so that a seed gives its picture.
            picture = _to_unit(scene.product).to(self.device)  # (1, 3, H, W), -1..1
            height, width = (side // self.factor for side in picture.shape[-2:])
            mask = functional.interpolate(repaint, size=(height, width))  # nearest: (1, 1, h, w)
            known = None if self.inpaints else self._encode(picture, generator)
            noise = torch.randn((1, self.channels, height, width), generator=generator).to(self.device)
            inpaint = None
            if self.inpaints:
                masked = self._encode(picture * (repaint < 0.5), generator)
                inpaint = torch.cat([mask, masked], dim=1).to(self.dtype)  # (1, 1 + c, h, w)
        count = len(scheduler.timesteps)
        return Denoising(
            brief=brief,
            texts=encoded,
            control=control,
            inpaint=inpaint,
            known=known,
            mask=mask,
            noise=noise,
            latents=noise * scheduler.init_noise_sigma,
            scheduler=scheduler,
            timesteps=scheduler.timesteps,
            control_scales=tuple(
                brief.control_scale
                if brief.control_start <= i / count and (i + 1) / count <= brief.control_end
                else 0.0
                for i in range(count)
            ),
            generator=generator,
            findings=(finding,),
        )

    def _admit(self, scene: Scene) -> None:
        brief, limits = scene.brief, self.pack.manifest.limits
        if scene.size not in self.pack.manifest.buckets:
            detail = f"a scene must have a bucket's size, one of {self.pack.manifest.buckets}, got {scene.size}"
            raise BadInput("invalid_request", f"{detail}; render at bucket(canvas)")
        for name, value, least, most in (
            ("steps", brief.steps, 1, limits.max_steps),
            ("guidance_scale", brief.guidance_scale, 0, limits.max_guidance_scale),
            ("control_scale", brief.control_scale, 0, limits.max_control_scale),
            ("control_start", brief.control_start, 0, 1),
            ("control_end", brief.control_end, brief.control_start, 1),
        ):
            if not least <= value <= most:  # also when it is not a number
                detail = f"{name} must be between {least} and {most} for pack {self.pack.name!r}, got {value}"
                raise BadInput("invalid_request", detail, errors=[{"loc": [name], "msg": detail}])

    def _text(self, text: str) -> Tensor:
        """(1, L, D) in the engine's dtype; the texts used last are kept."""
        if text not in self._texts:
            ids = torch.from_numpy(self._tokenizer([text])).to(self.device)
            self._texts[text] = self._text_encoder(ids)[0].to(self.dtype)
            if len(self._texts) > TEXTS_KEPT:
                self._texts.popitem(last=False)
        self._texts.move_to_end(text)
        return self._texts[text]

    def control_image(self, scene: Scene, repaint: Tensor) -> Tensor:
        """(1, K, H, W) fp32, 0..1: the channels that the manifest's `control_channels` names."""
        channels = {
            "canny": torch.from_numpy(scene.edge_map.pixels.astype(np.float32) / 255).to(self.device),
            "product": 1 - repaint[0, 0],
        }
        return torch.stack([channels[name] for name in self.pack.role("controlnet").control_channels])[None]

    def _encode(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        """Latents (1, c, h, w) fp32 of a picture (1, 3, H, W), -1..1."""
        encoded = self._vae.encode(picture.to(self.dtype))
        drawn: Tensor = encoded.latent_dist.sample(generator) if hasattr(encoded, "latent_dist") else encoded.latents
        return (float(self._vae.config.scaling_factor) * drawn).float()

    @torch.inference_mode()
    def step(self, rows: Sequence[Denoising]) -> None:
        """One denoising step of every row that can go on; all must have one batch key.

        A row whose latents stop being numbers gets an `error`; the others are not touched by it.
        """
        rows = [row for row in rows if not row.done and row.error is None]
        if not rows:
            return
        with _memory_errors_told():
            scaled = [row.scheduler.scale_model_input(row.latents, row.timesteps[row.index]) for row in rows]
            predictions = self._predict(rows, scaled)
            for row, inputs, prediction in zip(rows, scaled, predictions, strict=True):
                guided = self._guide(row, prediction)
                row.predicted = _clean(row, inputs, guided, self.pack.manifest.prediction_type)
                self._advance(row, guided)
            finite = torch.isfinite(torch.cat([row.latents for row in rows])).flatten(1).all(1).tolist()
        for row, numbers in zip(rows, finite, strict=True):
            row.index += 1
            if not numbers:
                detail = (
                    f"step {row.index} of {row.steps} gave values that are not numbers (dtype {self.dtype}); try fp32"
                )
                row.error = EngineFailed("engine_nan", detail)

    def _predict(self, rows: Sequence[Denoising], scaled: Sequence[Tensor]) -> list[Tensor]:
        """What the UNet says, fp32, one (1 or 2, c, h, w) for each row: ([negative,] prompt)."""
        # 7.t A row with guidance gives two rows: n rows in all.
        counts = [len(row.texts) for row in rows]
        latents = _repeat(scaled, counts).to(self.dtype)  # (n, c, h, w)
        texts = torch.cat([row.texts for row in rows])  # (n, L, D)
        times = torch.stack([row.timesteps[row.index] for row in rows]).to(self.device)
        times = times.repeat_interleave(torch.tensor(counts, device=self.device))  # (n,)
        inpaint = [_repeat([row.inpaint for row in rows if row.inpaint is not None], counts)] if self.inpaints else []
        # 8.t, 9.t
        scales = [row.control_scales[row.index] for row in rows]
        if any(scales):
            scale = _repeat([torch.full((1, 1, 1, 1), one, device=self.device) for one in scales], counts)
            control = _repeat([row.control for row in rows], counts)
            inputs = (latents, times, texts, control, scale.to(self.dtype), *inpaint)
            out = self._controlled(*inputs)
        else:
            out = self._unet(
                torch.cat([latents, *inpaint], dim=1), times, encoder_hidden_states=texts, return_dict=False
            )[0]
        return list(out.float().split(counts))

    def _guide(self, row: Denoising, prediction: Tensor) -> Tensor:
        """10.t (1, c, h, w): away from the negative prompt; the pack's share of it at the prompt's own contrast."""
        if not row.guided:
            return prediction
        negative, prompt = prediction.chunk(2)
        guided = negative + row.brief.guidance_scale * (prompt - negative)
        share = self.pack.manifest.defaults.guidance_rescale
        if share:
            guided = guided * (1 - share + share * prompt.std() / guided.std().clamp(min=1e-8))
        return guided

    def _advance(self, row: Denoising, prediction: Tensor) -> None:
        """11.t"""
        extra = {"generator": row.generator} if self._scheduler_step_takes_generator else {}
        now = row.timesteps[row.index]
        row.latents = row.scheduler.step(prediction, now, row.latents, return_dict=False, **extra)[0]
        if row.known is not None:
            known = row.known
            if row.index + 1 < row.steps:
                known = row.scheduler.add_noise(known, row.noise, row.timesteps[row.index + 1][None])
            row.latents = (1 - row.mask) * known + row.mask * row.latents

    @torch.inference_mode()
    def preview(self, row: Denoising) -> U8:
        """A small picture of what the row is becoming: uint8 hxwx3 RGB, at most PREVIEW_LATENTS latents on a side."""
        latents = row.latents if row.predicted is None else row.predicted
        shrink = -(-max(latents.shape[-2:]) // PREVIEW_LATENTS)
        if shrink > 1:
            latents = functional.avg_pool2d(latents, shrink)
        with _memory_errors_told():
            return self._picture(torch.nan_to_num(latents))

    @torch.inference_mode()
    def decode(self, rows: Sequence[Denoising]) -> list[Render]:
        """12. The painted scenes, in order. One at a time: the decoder's activations are an engine's largest."""
        with _memory_errors_told():
            return [Render(self._picture(row.latents), row.brief.seed, row.findings) for row in rows]

    def _picture(self, latents: Tensor) -> U8:
        unscaled = latents.to(self.dtype) / self._vae.config.scaling_factor
        decoded: Tensor = self._vae.decode(unscaled, return_dict=False)[0]
        if not torch.isfinite(decoded).all():
            detail = f"the VAE gave values that are not numbers (dtype {self.dtype}); try fp32"
            raise EngineFailed("engine_nan", detail)
        pixels = (decoded[0].float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)  # (3, H, W)
        picture: U8 = pixels.permute(1, 2, 0).contiguous().cpu().numpy()
        return picture


def _to_unit(pixels: U8) -> Tensor:
    """(1, 3, H, W) fp32, -1..1, of uint8 HxWx3."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None] * 2 - 1


def _repeat(parts: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Each (1, …) part as often as its count says, in one (n, …)."""
    return torch.cat([part.expand(count, *part.shape[1:]) for part, count in zip(parts, counts, strict=True)])


def _clean(row: Denoising, inputs: Tensor, prediction: Tensor, kind: str) -> Tensor:
    """The clean latents that a prediction implies: good enough to look at, whatever the scheduler.

    `inputs` are what the network saw: variance-preserving also with a scheduler that counts in sigmas.
    """
    if kind == "sample":
        return prediction
    now = int(row.timesteps[row.index])
    kept = float(row.scheduler.alphas_cumprod[min(now, len(row.scheduler.alphas_cumprod) - 1)])
    noise_share, signal_share = math.sqrt(1 - kept), math.sqrt(kept)
    if kind == "v_prediction":
        return signal_share * inputs - noise_share * prediction
    return (inputs - noise_share * prediction) / max(signal_share, 1e-3)


@contextmanager
def _memory_errors_told() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        detail = f"the device ran out of memory: {error}; fewer rows a batch or a smaller pack would fit"
        raise EngineFailed("engine_out_of_memory", detail, retryable=True) from error


__all__ = ["Denoising", "DiffusionEngine"]
