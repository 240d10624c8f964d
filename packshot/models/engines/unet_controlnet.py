"""ControlNet inpainting in steps that scenes of different requests can share.

For each scene, once (`begin`):
    1.  Refuse a brief that exceeds the pack's limits.
    2.  Encode the prompt, and the negative prompt when guidance needs it (cached by text).
    3.  Embed the control image of each condition: it does not depend on the timestep.
    4.  Make a scheduler and a seeded random generator for the scene.
    5.  Encode the masked picture for an inpainting UNet (2c + 1 channels), the whole picture for a plain one (c).
    6.  Draw the initial noise.
    7.  For a touch-up, encode the picture of which a part is kept. Below strength 1, start from it with noise added,
        and leave out the first steps.
For a scene that is larger than the pack's buckets (packshot/models/engines/windows.py):
    3., 5. Embed and encode each of its windows, which are the size of a bucket.
    2. to 6. Begin its outline too: the whole scene, squeezed into one window.
For each denoising step, over all scenes of the step (`step`):
    8.t Scale the latents. Each window takes a batch row, and with guidance two.
    9.t Call each condition's ControlNet once, for the rows that have it, and multiply the residuals by each row's own
        scale. Add those of all conditions.
    10.t Call the UNet once, with a (B,) vector of timesteps. Average the windows of each scene.
    11.t Apply each scene's guidance, and rescale.
    12.t Step each scene's scheduler. For a plain UNet and for a touch-up, put the known part back, noised to the next
         timestep; a step that is taken again is noised to its own. After the outline's last step, expand it to the
         scene's size, and noise it to the next timestep.
For each scene, at the end (`decode`):
    13. Decode the latents, window by window.

The networks run in the engine's dtype. The latents and the schedulers' arithmetic are in fp32. Noise comes from a CPU
generator, so a seed gives the same noise on every device and in every batch. Nothing here takes a lock, because one
thread owns an engine.
"""

from __future__ import annotations

import copy
import inspect
import time
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from packshot.contract.shot_spec import Condition, ConditionKind
from packshot.errors import BadInput, EngineFailed
from packshot.models.engines.brief_limits import check_limits
from packshot.models.engines.controls import Control, control_image, scales_of
from packshot.models.engines.denoising import Denoising, clean_latents
from packshot.models.engines.prompts import PromptEncoder
from packshot.models.engines.schedule import Schedule
from packshot.models.engines.step_networks import Applied, StepNetworks, small
from packshot.models.engines.tensors import convert_memory_errors, repeat, to_pixels, to_unit
from packshot.models.engines.windows import MANY_ROWS, Windows, squeezed
from packshot.models.packs.framing import outline_steps
from packshot.models.packs.manifest import AROUND_PRODUCTS
from packshot.models.packs.pack import Pack
from packshot.models.packs.roles import CONTROL_ROLES
from packshot.types import U8, Brief, ConditionMaps, EdgeMap, Render, Scene

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
        self._prompts = PromptEncoder(pack, self.device, dtype)
        self._vae, self._unet = (pack.load(role, self.device, dtype) for role in ("vae", "unet"))
        controlnets = {kind: pack.load(CONTROL_ROLES[kind], self.device, dtype) for kind in pack.controls}
        if self.device.type == "cpu":  # decoding takes 25 ms instead of 45 ms; the other networks do not get faster
            self._vae.to(memory_format=torch.channels_last)
        self._scheduler = pack.load("scheduler")
        self._scheduler_step_takes_generator = "generator" in inspect.signature(self._scheduler.step).parameters
        # Step 3 embeds the control images once for each scene, so the ControlNets' own calls must not do it again.
        self._embed = {kind: network.controlnet_cond_embedding for kind, network in controlnets.items()}
        for network in controlnets.values():
            network.controlnet_cond_embedding = nn.Identity()
        self._further = tuple(kind for kind in pack.controls if kind != "canny")
        freeze = freeze and small((self._unet, *controlnets.values()), self.device)
        self._networks = StepNetworks(self._unet, controlnets, freeze=freeze)
        self.channels = int(self._vae.config.latent_channels)
        self.inpaints = int(self._unet.config.in_channels) != self.channels
        self._around_products = pack.manifest.family in AROUND_PRODUCTS

    @property
    def native(self) -> tuple[int, int]:
        """The (width, height) in pixels at which the pack was trained."""
        return self.pack.manifest.native_px

    def bucket(self, canvas_w: int, canvas_h: int) -> tuple[int, int]:
        """The (width, height) at which a canvas is rendered: the bucket that is nearest in aspect ratio and area."""
        return self.pack.manifest.bucket(canvas_w, canvas_h)

    def batch_key(self, scene: Scene) -> Hashable:
        """Scenes with equal keys can share a step, because their windows have the same size."""
        return self._windows(scene).window

    def rows(self, scene: Scene) -> int:
        """The largest number of batch rows that a step of the scene needs: for each window 2 with guidance, else 1."""
        return len(self._windows(scene)) * scene.brief.rows_per_step

    def _windows(self, scene: Scene) -> Windows:
        """The scene's windows in latents. Raises BadInput (invalid_request) when no bucket or windows have its size."""
        tiling = self.pack.manifest.tiling(*scene.size)
        if tiling is None:
            detail = f"a scene must be one of the buckets {self.pack.manifest.buckets}, or windows of one of them"
            raise BadInput("invalid_request", f"{detail}, got {scene.size}; render at the canvas's framing")
        return Windows.of(tiling, self.factor)

    @torch.inference_mode()
    def step_seconds(self, rows: Sequence[int] = (1, 2, 4, 8, 16, 32, 64)) -> dict[int, float]:
        """Measure this machine's batch curve: the seconds of a step at the native size for each number of batch rows.

        Each value is the faster of two measurements. The measurement stops at the first number of rows whose step is
        expected to exceed LONGEST_STEP_S, or that runs out of memory.
        """
        width, height = self.native
        repaint = np.full((height, width), 255, np.uint8)
        brief = Brief("", steps=1, guidance_scale=1.0)
        grey = np.full((height, width, 3), 128, np.uint8)
        row = self.begin(Scene(grey, repaint, EdgeMap(repaint), brief))
        self._predict([row], [row.latents])  # warm up
        if self._networks.traced and self._further:  # trace now what the first scene with them would wait for
            brief = replace(brief, conditions=tuple(Condition(kind=kind, scale=1.0) for kind in self._further))
            maps = ConditionMaps(depth=repaint, normal=grey, segmentation=grey)
            guided = self.begin(Scene(grey, repaint, EdgeMap(repaint), brief, maps))
            self._predict([guided], [guided.latents])
        curve: dict[int, float] = {}
        for last, count in zip((None, *rows), rows, strict=False):
            if last and curve[last] * count / last > LONGEST_STEP_S:
                break
            try:
                with convert_memory_errors():
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

        Raises BadInput (invalid_request) when the pack cannot paint at the scene's size or the brief exceeds its
        limits, and EngineFailed (engine_out_of_memory).
        """
        # 1. Refuse a brief that exceeds the pack's limits.
        check_limits(scene, self.pack)
        windows = self._windows(scene)
        generator = torch.Generator("cpu").manual_seed(scene.brief.seed)
        with convert_memory_errors():
            if len(windows) == 1 or scene.kept is not None or not outline_steps(scene.brief.steps):
                return self._begin(scene, windows, generator)
            width, height = (side * self.factor for side in windows.window)
            outline = self._begin(squeezed(scene, (width, height)), Windows.one(windows.window), generator)
            row = self._begin(scene, windows, generator)
            row.outline = outline
            return row

    def _begin(self, scene: Scene, windows: Windows, generator: torch.Generator) -> Denoising:
        """Steps 2 to 7."""
        brief = scene.brief
        # 2. Encode the prompt and the negative prompt.
        texts, finding = self._prompts.read(brief)  # (1 or 2, L, D)
        # 3. Embed the control images.
        mask_u8 = scene.inpaint_mask[None, None]
        repaint = torch.from_numpy(mask_u8 >= 128).to(self.device, torch.float32)  # (1, 1, H, W)
        in_pixels = windows.times(self.factor)
        embedded = {kind: self._embedded(kind, scene, repaint, in_pixels) for kind in brief.all_conditions}
        # 4. Each scene has its own scheduler and generator, because both keep state from step to step.
        scheduler = copy.deepcopy(self._scheduler)
        with warnings.catch_warnings():
            # diffusers 0.42 passes tensors to np.array, which numpy 2.5 reports as deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            scheduler.set_timesteps(brief.steps)
        # 5. and 6. Draw random numbers in the published pipeline's order, so that a seed gives the same picture.
        picture = to_unit(scene.product).to(self.device)  # (1, 3, H, W), -1..1
        height, width = (side // self.factor for side in picture.shape[-2:])
        mask = covered = functional.interpolate(repaint, size=(height, width))  # nearest: (1, 1, h, w)
        known = None if self.inpaints else windows.merge(self._encode(in_pixels.split(picture), generator))
        kept = scene.kept
        if kept is not None:
            whole = to_unit(kept.picture).to(self.device)
            again = torch.from_numpy(kept.repaint[None, None] >= 128).to(self.device, torch.float32)
            known = windows.merge(self._encode(in_pixels.split(whole), generator))
            mask = functional.max_pool2d(again, self.factor)
            if self.inpaints and not self._around_products:
                picture, repaint, covered = whole, again, mask
        noise = torch.randn((1, self.channels, height, width), generator=generator).to(self.device)
        inpaint = None
        if self.inpaints:
            masked = self._encode(in_pixels.split(picture * (repaint < 0.5)), generator)
            inpaint = torch.cat([windows.split(covered), masked], dim=1).to(self.dtype)  # (windows, 1 + c, h, w)
        # 7. A touch-up takes the steps that settle the composition several times, and below strength 1 begins later.
        harmonises = kept is not None and (self._around_products or not self.inpaints)
        schedule = Schedule.of(scheduler.timesteps, strength=brief.strength, harmonises=harmonises)
        latents = noise * scheduler.init_noise_sigma
        if schedule.first and known is not None:
            if hasattr(scheduler, "set_begin_index"):
                scheduler.set_begin_index(schedule.first)
            latents = scheduler.add_noise(known, noise, schedule.plain[schedule.first][None])
        return Denoising(
            brief=brief,
            windows=windows,
            texts=texts,
            controls={
                kind: Control(embedded[kind], schedule.spread(scales_of(condition, len(schedule.plain))))
                for kind, condition in brief.all_conditions.items()
            },
            inpaint=inpaint,
            known=known,
            mask=mask,
            noise=noise,
            latents=latents,
            scheduler=scheduler,
            timesteps=schedule.timesteps,
            again=schedule.again,
            generator=generator,
            findings=(finding,),
            index=schedule.index,
        )

    def _embedded(self, kind: ConditionKind, scene: Scene, repaint: Tensor, windows: Windows) -> Tensor:
        """The embedded control image of each window, (windows, C, h, w), in the engine's dtype."""
        image = control_image(scene, repaint, self.pack.role(CONTROL_ROLES[kind]).control_channels)
        parts = windows.split(image).to(self.dtype)  # (windows, K, H, W)
        return torch.cat([self._embed[kind](part[None]) for part in parts])

    def _encode(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """The latents (n, c, h, w), fp32, of pictures (n, 3, H, W), -1..1. They are encoded one by one."""
        encoded = [self._vae.encode(picture[None].to(self.dtype)) for picture in pictures]
        latents = [one.latent_dist.sample(generator) if hasattr(one, "latent_dist") else one.latents for one in encoded]
        return (float(self._vae.config.scaling_factor) * torch.cat(latents)).float()

    @torch.inference_mode()
    def step(self, rows: Sequence[Denoising], max_rows: int = MANY_ROWS) -> None:
        """Take one denoising step of every scene that is neither done nor failed. All must have the same batch key.

        One call of the networks has at most `max_rows` batch rows; a step with more rows takes several calls. A scene
        whose latents become NaN or infinite gets an `error`; the others are not affected. Raises EngineFailed
        (engine_out_of_memory) when the step does not fit into the device's memory. No scene has taken the step then.
        """
        scenes = [row for row in rows if not row.done and row.error is None]
        if not scenes:
            return
        rows = [row.outline or row for row in scenes]
        with convert_memory_errors():
            scaled = [row.scheduler.scale_model_input(row.latents, row.timesteps[row.index]) for row in rows]
            predictions = self._predict(rows, scaled, max_rows)
            for row, inputs, prediction in zip(rows, scaled, predictions, strict=True):
                guided = self._guide(row, prediction)
                row.predicted = clean_latents(row, inputs, guided, self.pack.manifest.prediction_type)
                self._advance(row, guided)
            finite = torch.stack([torch.isfinite(row.latents).all() for row in rows]).tolist()
        for scene, row, is_finite in zip(scenes, rows, finite, strict=True):
            row.index += 1
            if not is_finite:
                detail = (
                    f"values must be finite, step {row.index} of {row.steps} produced NaN or infinity "
                    f"(dtype {self.dtype}); set PACKSHOT_DTYPE=fp32"
                )
                row.error = EngineFailed("engine_nan", detail)
            if scene.outline is not None:
                scene.follow_outline(outline_steps(scene.steps))

    def _predict(self, rows: Sequence[Denoising], scaled: Sequence[Tensor], max_rows: int = MANY_ROWS) -> list[Tensor]:
        """The UNet's predictions in fp32, for each scene (1 or 2, c, h, w): ([negative prompt,] prompt)."""
        # 8.t A scene takes a batch row for each window and each of its texts: n rows in all.
        counts = [len(row.texts) for row in rows]
        sizes = [len(row.windows) for row in rows]
        windows = [row.windows.split(latents) for row, latents in zip(rows, scaled, strict=True)]
        latents = repeat(windows, counts).to(self.dtype)  # (n, c, h, w)
        texts = torch.cat([row.texts.repeat_interleave(size, dim=0) for row, size in zip(rows, sizes, strict=True)])
        in_scene = [count * size for count, size in zip(counts, sizes, strict=True)]
        times = torch.stack([row.timesteps[row.index] for row in rows]).to(self.device)
        times = times.repeat_interleave(torch.tensor(in_scene, device=self.device))  # (n,)
        inpaint = repeat([row.inpaint for row in rows if row.inpaint is not None], counts) if self.inpaints else None
        # 9.t, 10.t
        kinds = [kind for kind in self._embed if any(row.control_scale(kind) for row in rows)]
        everywhere = self._networks.takes_all_rows(kinds)
        conditions = [self._applied(kind, rows, in_scene, everywhere=everywhere) for kind in kinds]
        out = self._networks(latents, times, texts, inpaint, conditions, max_rows).float()
        return [
            torch.cat([row.windows.merge(part) for part in of_scene.split(len(row.windows))])
            for row, of_scene in zip(rows, out.split(in_scene), strict=True)
        ]

    def _applied(
        self, kind: ConditionKind, rows: Sequence[Denoising], in_scene: Sequence[int], *, everywhere: bool
    ) -> Applied:
        """A condition in this step. `in_scene` are each scene's batch rows. `everywhere` takes those without it too."""
        begins = list(accumulate(in_scene, initial=0))
        chosen = [i for i, row in enumerate(rows) if everywhere or row.control_scale(kind)]
        own = [in_scene[i] for i in chosen]
        scales = [torch.full((1, 1, 1, 1), rows[i].control_scale(kind), device=self.device) for i in chosen]
        return Applied(
            kind,
            [number for i in chosen for number in range(begins[i], begins[i + 1])],
            repeat([rows[i].controls[kind].embedded for i in chosen], [len(rows[i].texts) for i in chosen]),
            repeat(scales, own).to(self.dtype),
        )

    def _guide(self, row: Denoising, prediction: Tensor) -> Tensor:
        """11.t Apply classifier-free guidance, and rescale the pack's share of it to the prompt's own contrast.

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
        """12.t Step the scene's scheduler, and put the known part back, noised to the next timestep.

        A step that is taken again leads to its own timestep instead, with other noise.
        """
        if row.again[row.index] and row.predicted is not None and row.known is not None:
            clean = (1 - row.mask) * row.known + row.mask * row.predicted
            noise = torch.randn(clean.shape, generator=row.generator).to(clean.device)
            row.latents = row.scheduler.add_noise(clean, noise, row.timesteps[row.index][None])
            return
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
        with convert_memory_errors():
            return to_pixels(self._decode(torch.nan_to_num(latents)))

    @torch.inference_mode()
    def decode(self, rows: Sequence[Denoising]) -> list[Render]:
        """13. Decode the latents of finished scenes, in order.

        Scenes and windows are decoded one by one, because the VAE decoder's activations are the largest of an engine.
        Raises EngineFailed: engine_nan when the VAE produces NaN or infinity, or engine_out_of_memory.
        """
        with convert_memory_errors():
            return [Render(self._picture(row), row.brief.seed, row.findings) for row in rows]

    def _picture(self, row: Denoising) -> U8:
        parts = torch.cat([self._decode(window[None]) for window in row.windows.split(row.latents)])
        return to_pixels(row.windows.times(parts.shape[-1] // row.windows.window[0]).merge(parts))

    def _decode(self, latents: Tensor) -> Tensor:
        """The picture (1, 3, H, W), fp32, about -1..1, of latents (1, c, h, w)."""
        unscaled = latents.to(self.dtype) / self._vae.config.scaling_factor
        decoded: Tensor = self._vae.decode(unscaled, return_dict=False)[0]
        if not torch.isfinite(decoded).all():
            detail = f"values must be finite, the VAE produced NaN or infinity (dtype {self.dtype}); "
            raise EngineFailed("engine_nan", f"{detail}set PACKSHOT_DTYPE=fp32")
        return decoded.float()


__all__ = ["Denoising", "DiffusionEngine"]
