"""ControlNet inpainting in steps that scenes of different requests can share.

For each scene, once (`begin`):
    1.  Refuse a brief that exceeds the pack's limits.
    2.  Encode the prompt, and the negative prompt when guidance needs it (cached by text).
    3.  Embed the control image: it does not depend on the timestep.
    4.  Make a scheduler and a seeded random generator for the scene.
    5.  Encode the masked picture for an inpainting UNet (2c + 1 channels), the whole picture for a plain one (c).
    6.  Draw the initial noise.
For each denoising step, over all scenes of the step (`step`):
    7.t Scale the latents. A scene with guidance takes two batch rows.
    8.t Call the ControlNet once, and multiply the residuals by each row's own scale.
    9.t Call the UNet once, with a (B,) vector of timesteps.
    10.t Apply each scene's guidance, and rescale.
    11.t Step each scene's scheduler. For a plain UNet, put the known part back, noised to the next timestep.
For each scene, at the end (`decode`):
    12. Decode the latents.

The networks run in the engine's dtype. The latents and the schedulers' arithmetic are in fp32. Noise comes from a CPU
generator, so a seed gives the same noise on every device and in every batch. Nothing here takes a lock, because one
thread owns an engine.
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

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from packshot.errors import BadInput, EngineFailed, PackRefused
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.step_networks import ControlledUNet, Frozen
from packshot.models.engines.word_tokenizer import read_prompt
from packshot.models.packs.pack import Pack
from packshot.types import U8, Brief, EdgeMap, Render, Scene

TEXT_CACHE_SIZE = 256
"""The number of encoded texts that are cached."""
PREVIEW_LATENTS = 16
"""Longest side of a preview, in latents: 128 px with a VAE of factor 8."""
LONGEST_STEP_S = 0.35
"""Longest allowed step in seconds. A scene that joins waits for the running step, so no larger batch is used."""


class DiffusionEngine:
    """A pack's engine on one device. It is not thread-safe: call it from one thread only.

    `dtype` is the number format of the networks. `freeze` traces small networks on a CPU at their first step
    (`packshot.models.engines.step_networks.Frozen`). Tracing takes two seconds, and later steps are 1.4 to 1.9 times as
    fast, so use it in processes that serve. The constructor raises PackRefused when parts of the pack are missing, were
    altered, or do not fit together.
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
        if self.device.type == "cpu":  # decoding takes 25 ms instead of 45 ms; the other networks do not get faster
            self._vae.to(memory_format=torch.channels_last)
        self._scheduler = pack.load("scheduler")
        self._scheduler_step_takes_generator = "generator" in inspect.signature(self._scheduler.step).parameters
        # Step 3 embeds the control image once for each scene, so the ControlNet's own call must not do it again.
        self._embed_control = self._controlnet.controlnet_cond_embedding
        self._controlnet.controlnet_cond_embedding = nn.Identity()
        network = ControlledUNet(self._unet, self._controlnet).eval()
        self._controlled = Frozen(network) if freeze and Frozen.worthwhile(network, self.device) else network
        self.channels = int(self._vae.config.latent_channels)
        self.inpaints = int(self._unet.config.in_channels) != self.channels
        self._texts: OrderedDict[str, Tensor] = OrderedDict()
        self._check_vocabulary()

    def _check_vocabulary(self) -> None:
        config = self._text_encoder.config
        for quantity, value, limit in (
            ("tokenizer's vocabulary", self._tokenizer.vocab_size, config.vocab_size),
            ("tokenizer's max_length", self._tokenizer.max_length, config.max_position_embeddings),
        ):
            if value > limit:
                detail = f"pack {self.pack.name!r}: the {quantity} must fit the text encoder's {limit}, got {value}"
                raise PackRefused("pack_mismatch", f"{detail}; use parts that fit together")

    @property
    def native(self) -> tuple[int, int]:
        """The (width, height) in pixels at which the pack was trained."""
        return self.pack.manifest.native_px

    def bucket(self, canvas_w: int, canvas_h: int) -> tuple[int, int]:
        """The (width, height) at which a canvas is rendered: the bucket that is nearest in aspect ratio and area."""
        return self.pack.manifest.bucket(canvas_w, canvas_h)

    def batch_key(self, scene: Scene) -> Hashable:
        """Scenes with equal keys can share a step, because their latents have the same size."""
        return (scene.size[0] // self.factor, scene.size[1] // self.factor)

    def rows(self, scene: Scene) -> int:
        """The number of batch rows that each step of the scene needs: 2 with guidance, else 1."""
        return scene.brief.rows_per_step

    @torch.inference_mode()
    def step_seconds(self, rows: Sequence[int] = (1, 2, 4, 8, 16, 32, 64)) -> dict[int, float]:
        """Measure this machine's batch curve: the seconds of a step at the native size for each number of batch rows.

        Each value is the faster of two measurements. The measurement stops at the first number of rows whose step is
        expected to exceed LONGEST_STEP_S, or that runs out of memory.
        """
        width, height = self.native
        repaint = np.full((height, width), 255, np.uint8)
        brief = Brief("", steps=1, guidance_scale=1.0)
        row = self.begin(Scene(np.full((height, width, 3), 128, np.uint8), repaint, EdgeMap(repaint), brief))
        self._predict([row], [row.latents])  # warm up
        curve: dict[int, float] = {}
        for last, count in zip((None, *rows), rows, strict=False):
            if last and curve[last] * count / last > LONGEST_STEP_S:
                break
            try:
                with _convert_memory_errors():
                    curve[count] = min(self._timed([row] * count) for _ in range(2))
            except EngineFailed:
                break
        return curve

    def _timed(self, rows: Sequence[Denoising]) -> float:
        started_at = time.perf_counter()
        self._predict(rows, [row.latents for row in rows])
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started_at

    @torch.inference_mode()
    def begin(self, scene: Scene) -> Denoising:
        """Compute everything that does not depend on the timestep.

        Raises BadInput (invalid_request) when the scene's size is no bucket or the brief exceeds the pack's limits, and
        EngineFailed (engine_out_of_memory).
        """
        # 1. Refuse a brief that exceeds the pack's limits.
        brief = scene.brief
        self._check_limits(scene)
        with _convert_memory_errors():
            # 2. Encode the prompt and the negative prompt.
            prompt, finding = read_prompt(brief.prompt, self._tokenizer, self.pack.manifest.defaults.prompt)
            texts = [brief.negative_prompt, prompt] if brief.rows_per_step == 2 else [prompt]
            encoded = torch.cat([self._text(text) for text in texts])  # (1 or 2, L, D)
            # 3. Embed the control image.
            repaint = torch.from_numpy(scene.inpaint_mask >= 128).to(self.device, torch.float32)[
                None, None
            ]  # (1, 1, H, W)
            control = self._embed_control(self.control_image(scene, repaint).to(self.dtype))  # (1, C, h, w)
            # 4. Each scene has its own scheduler and generator, because both keep state from step to step.
            scheduler = copy.deepcopy(self._scheduler)
            with warnings.catch_warnings():
                # diffusers 0.42 passes tensors to np.array, which numpy 2.5 reports as deprecated
                warnings.simplefilter("ignore", DeprecationWarning)
                scheduler.set_timesteps(brief.steps)
            generator = torch.Generator("cpu").manual_seed(brief.seed)
            # 5. and 6. Draw random numbers in the published pipeline's order, so that a seed gives the same picture.
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

    def _check_limits(self, scene: Scene) -> None:
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
            if not least <= value <= most:  # also true for NaN
                detail = f"{name} must be between {least} and {most} for pack {self.pack.name!r}, got {value}"
                raise BadInput("invalid_request", detail, errors=[{"loc": [name], "msg": detail}])

    def _text(self, text: str) -> Tensor:
        """The encoded text, (1, L, D) in the engine's dtype. The most recently used texts are cached."""
        if text not in self._texts:
            ids = torch.from_numpy(self._tokenizer([text])).to(self.device)
            self._texts[text] = self._text_encoder(ids)[0].to(self.dtype)
            if len(self._texts) > TEXT_CACHE_SIZE:
                self._texts.popitem(last=False)
        self._texts.move_to_end(text)
        return self._texts[text]

    def control_image(self, scene: Scene, repaint: Tensor) -> Tensor:
        """The control image, (1, K, H, W) fp32, 0..1, with the channels that the manifest's `control_channels` lists.

        `repaint` is (1, 1, H, W) fp32, 1 = repaint.
        """
        channels = {
            "canny": torch.from_numpy(scene.edge_map.pixels.astype(np.float32) / 255).to(self.device),
            "product": 1 - repaint[0, 0],
        }
        return torch.stack([channels[name] for name in self.pack.role("controlnet").control_channels])[None]

    def _encode(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        """The latents (1, c, h, w), fp32, of a picture (1, 3, H, W), -1..1."""
        encoded = self._vae.encode(picture.to(self.dtype))
        latents: Tensor = encoded.latent_dist.sample(generator) if hasattr(encoded, "latent_dist") else encoded.latents
        return (float(self._vae.config.scaling_factor) * latents).float()

    @torch.inference_mode()
    def step(self, rows: Sequence[Denoising]) -> None:
        """Take one denoising step of every scene that is neither done nor failed. All must have the same batch key.

        A scene whose latents become NaN or infinite gets an `error`; the others are not affected. Raises EngineFailed
        (engine_out_of_memory) when the step does not fit into the device's memory.
        """
        rows = [row for row in rows if not row.done and row.error is None]
        if not rows:
            return
        with _convert_memory_errors():
            scaled = [row.scheduler.scale_model_input(row.latents, row.timesteps[row.index]) for row in rows]
            predictions = self._predict(rows, scaled)
            for row, inputs, prediction in zip(rows, scaled, predictions, strict=True):
                guided = self._guide(row, prediction)
                row.predicted = _clean(row, inputs, guided, self.pack.manifest.prediction_type)
                self._advance(row, guided)
            finite = torch.isfinite(torch.cat([row.latents for row in rows])).flatten(1).all(1).tolist()
        for row, is_finite in zip(rows, finite, strict=True):
            row.index += 1
            if not is_finite:
                detail = (
                    f"values must be finite, step {row.index} of {row.steps} produced NaN or infinity "
                    f"(dtype {self.dtype}); set PACKSHOT_DTYPE=fp32"
                )
                row.error = EngineFailed("engine_nan", detail)

    def _predict(self, rows: Sequence[Denoising], scaled: Sequence[Tensor]) -> list[Tensor]:
        """The UNet's predictions in fp32, for each scene (1 or 2, c, h, w): ([negative prompt,] prompt)."""
        # 7.t A scene with guidance takes two batch rows: n rows in all.
        counts = [len(row.texts) for row in rows]
        latents = _repeat(scaled, counts).to(self.dtype)  # (n, c, h, w)
        texts = torch.cat([row.texts for row in rows])  # (n, L, D)
        times = torch.stack([row.timesteps[row.index] for row in rows]).to(self.device)
        times = times.repeat_interleave(torch.tensor(counts, device=self.device))  # (n,)
        inpaint = [_repeat([row.inpaint for row in rows if row.inpaint is not None], counts)] if self.inpaints else []
        # 8.t, 9.t
        scales = [row.control_scales[row.index] for row in rows]
        if any(scales):
            scale = _repeat([torch.full((1, 1, 1, 1), value, device=self.device) for value in scales], counts)
            control = _repeat([row.control for row in rows], counts)
            inputs = (latents, times, texts, control, scale.to(self.dtype), *inpaint)
            out = self._controlled(*inputs)
        else:
            out = self._unet(
                torch.cat([latents, *inpaint], dim=1), times, encoder_hidden_states=texts, return_dict=False
            )[0]
        return list(out.float().split(counts))

    def _guide(self, row: Denoising, prediction: Tensor) -> Tensor:
        """10.t Apply classifier-free guidance, and rescale the pack's share of it to the prompt's own contrast.

        Returns (1, c, h, w).
        """
        if not row.guided:
            return prediction
        negative, prompt = prediction.chunk(2)
        guided = negative + row.brief.guidance_scale * (prompt - negative)
        share = self.pack.manifest.defaults.guidance_rescale
        if share:
            guided = guided * (1 - share + share * prompt.std() / guided.std().clamp(min=1e-8))
        return guided

    def _advance(self, row: Denoising, prediction: Tensor) -> None:
        """11.t Step the scene's scheduler. For a plain UNet, put the known part back, noised to the next timestep."""
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
        """A preview of the scene, uint8 hxwx3 RGB, decoded from at most PREVIEW_LATENTS latents on each side."""
        latents = row.latents if row.predicted is None else row.predicted
        shrink = -(-max(latents.shape[-2:]) // PREVIEW_LATENTS)
        if shrink > 1:
            latents = functional.avg_pool2d(latents, shrink)
        with _convert_memory_errors():
            return self._picture(torch.nan_to_num(latents))

    @torch.inference_mode()
    def decode(self, rows: Sequence[Denoising]) -> list[Render]:
        """12. Decode the latents of finished scenes, in order.

        The scenes are decoded one by one, because the VAE decoder's activations are the largest of an engine. Raises
        EngineFailed: engine_nan when the VAE produces NaN or infinity, or engine_out_of_memory.
        """
        with _convert_memory_errors():
            return [Render(self._picture(row.latents), row.brief.seed, row.findings) for row in rows]

    def _picture(self, latents: Tensor) -> U8:
        unscaled = latents.to(self.dtype) / self._vae.config.scaling_factor
        decoded: Tensor = self._vae.decode(unscaled, return_dict=False)[0]
        if not torch.isfinite(decoded).all():
            detail = f"values must be finite, the VAE produced NaN or infinity (dtype {self.dtype}); "
            raise EngineFailed("engine_nan", f"{detail}set PACKSHOT_DTYPE=fp32")
        pixels = (decoded[0].float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)  # (3, H, W)
        picture: U8 = pixels.permute(1, 2, 0).contiguous().cpu().numpy()
        return picture


def _to_unit(pixels: U8) -> Tensor:
    """Convert uint8 HxWx3 to (1, 3, H, W) fp32, -1..1."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None] * 2 - 1


def _repeat(parts: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Repeat each (1, …) part as often as its count states, and concatenate the results to (n, …)."""
    return torch.cat([part.expand(count, *part.shape[1:]) for part, count in zip(parts, counts, strict=True)])


def _clean(row: Denoising, inputs: Tensor, prediction: Tensor, kind: str) -> Tensor:
    """The clean latents that a prediction implies, as an approximation for previews that fits every scheduler.

    `inputs` are the network's inputs. They are variance-preserving even if the scheduler uses sigmas. `kind` is the
    pack's prediction type.
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
def _convert_memory_errors() -> Iterator[None]:
    """Convert torch's out-of-memory error to EngineFailed (engine_out_of_memory)."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        detail = f"the device ran out of memory: {error}; use fewer batch rows or a smaller pack"
        raise EngineFailed("engine_out_of_memory", detail, retryable=True) from error


__all__ = ["Denoising", "DiffusionEngine"]
