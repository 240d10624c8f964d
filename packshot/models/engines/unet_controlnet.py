"""ControlNet inpainting in steps that scenes of different requests can share.

For each scene, once (`begin`):
    1.  Refuse a brief that exceeds the pack's limits.
    2.  Encode the prompt, and the negative prompt when guidance needs it (cached by text). The scene's adapters may
        change the text encoder, and give vectors to words.
    3.  Embed the control image of each condition: it does not depend on the timestep.
    3b. Project the references to the tokens of its batch rows, where the pack has an adapter.
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
    10.t Call the UNet once, with a (B,) vector of timesteps, changed for each row by its scene's adapters. Average the
         windows of each scene.
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
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from packshot.contract.shot_spec import Condition
from packshot.models.adapters.file import AdapterFile, NetworkName
from packshot.models.engines.control_nets import ControlNets
from packshot.models.engines.controls import masked_picture
from packshot.models.engines.denoising import Denoising, clean_latents
from packshot.models.engines.looks import Look, RowLooks, SceneLooks, load_look
from packshot.models.engines.prompts import PromptEncoder, added_conditions
from packshot.models.engines.references import GuidedAttentions, RowGuides
from packshot.models.engines.samplers import scheduler_of, step_takes_generator
from packshot.models.engines.schedule import Schedule
from packshot.models.engines.step_engine import StepEngine
from packshot.models.engines.step_networks import StepNetworks, small
from packshot.models.engines.tensors import repeat, to_unit
from packshot.models.engines.windows import MANY_ROWS, Windows
from packshot.models.packs.manifest import AROUND_PRODUCTS
from packshot.models.packs.pack import Pack
from packshot.types import ConditionMaps, Scene


class DiffusionEngine(StepEngine):
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
        super().__init__(pack, device, dtype, factor=pack.vae_factor)
        self._prompts = PromptEncoder(pack, self.device, dtype)
        self._vae, self._unet = (pack.load(role, self.device, dtype) for role in ("vae", "unet"))
        self._nets = ControlNets(pack, self.device, dtype)
        if self.device.type == "cpu":  # decoding takes 25 ms instead of 45 ms; the other networks do not get faster
            self._vae.to(memory_format=torch.channels_last)
        self._scheduler = pack.load("scheduler")
        self._further = tuple(kind for kind in pack.controls if kind != "canny")
        adapter = pack.load("ip_adapter", self.device, dtype) if pack.references == "embedding" else None
        self._guided = None if adapter is None else GuidedAttentions(self._unet, adapter)
        traceable = self._nets.plain and "text_encoder_2" not in pack.manifest.roles
        freeze = freeze and traceable and small((self._unet, *self._nets.networks.values()), self.device)
        self._networks = StepNetworks(self._unet, self._nets.networks, freeze=freeze, guided=self._guided)
        self.channels = int(self._vae.config.latent_channels)
        self.inpaints = int(self._unet.config.in_channels) != self.channels
        self._around_products = pack.manifest.family in AROUND_PRODUCTS

    @torch.inference_mode()
    def load_adapter(self, file: AdapterFile) -> Look:
        """Put a read adapter on the device. Raises BadInput (adapter_mismatch) when it is for other networks."""
        networks: dict[NetworkName, torch.nn.Module] = {"unet": self._unet, **self._prompts.networks}
        return load_look(file, networks, self.device, self.dtype, f"pack {self.pack.name!r}")

    def _warm_up(self, scene: Scene) -> Denoising:
        """Trace the networks with all conditions too; the first scene that has them would wait for it."""
        row = super()._warm_up(scene)
        if not (self._networks.traced and self._further):
            return row
        repaint, grey = scene.inpaint_mask, scene.product
        brief = replace(scene.brief, conditions=tuple(Condition(kind=kind, scale=1.0) for kind in self._further))
        maps = ConditionMaps(depth=repaint, normal=grey, segmentation=grey, pose=grey)
        guided = self.begin(replace(scene, brief=brief, maps=maps))
        self._predict([guided], [guided.latents])
        return row

    def _begin(self, scene: Scene, windows: Windows, generator: torch.Generator) -> Denoising:
        """Steps 2 to 7."""
        brief = scene.brief
        # 2. Encode the prompt and the negative prompt.
        texts = self._prompts.read(brief, scene.adapters)
        looks = tuple((one.loaded, one.asset.scale) for one in scene.adapters)
        mask_u8 = scene.inpaint_mask[None, None]
        product = repaint = torch.from_numpy(mask_u8 >= 128).to(self.device, torch.float32)  # (1, 1, H, W)
        in_pixels = windows.times(self.factor)
        # 4. Each scene has its own scheduler and generator, because both keep state from step to step.
        scheduler = copy.deepcopy(scheduler_of(self._scheduler, brief.sampler))
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
            if not self._around_products:
                picture, repaint, covered = whole, again, mask
        noise = torch.randn((1, self.channels, height, width), generator=generator).to(self.device)
        inpaint = None
        if self.inpaints:
            masked = self._encode(in_pixels.split(picture * (repaint < 0.5)), generator)
            inpaint = torch.cat([windows.split(covered), masked], dim=1).to(self.dtype)  # (windows, 1 + c, h, w)
        # 7. A touch-up takes the steps that settle the composition several times, and below strength 1 begins later.
        harmonises = kept is not None and (self._around_products or not self.inpaints)
        schedule = Schedule.of(scheduler.timesteps, strength=brief.strength, harmonises=harmonises)
        # 3. Embed the control images.
        controls = self._nets.controls(scene, product, masked_picture(picture, repaint), in_pixels, schedule)
        latents = noise * scheduler.init_noise_sigma
        if schedule.first and known is not None:
            if hasattr(scheduler, "set_begin_index"):
                scheduler.set_begin_index(schedule.first)
            latents = scheduler.add_noise(known, noise, schedule.plain[schedule.first][None])
        return Denoising(
            brief=brief,
            windows=windows,
            texts=texts.states,
            pooled=texts.pooled,
            controls=controls,
            guides=self._guides(scene, windows.split(mask), len(texts.states)),
            looks=SceneLooks(looks) if looks else None,
            inpaint=inpaint,
            known=known,
            mask=mask,
            noise=noise,
            latents=latents,
            scheduler=scheduler,
            timesteps=schedule.timesteps,
            again=schedule.again,
            generator=generator,
            findings=(texts.finding,),
            index=schedule.index,
        )

    def _guides(self, scene: Scene, area: Tensor, texts: int) -> RowGuides | None:
        """The scene's references for its batch rows. `area` (windows, 1, h, w) is 1 where the scene is painted."""
        if scene.references is None or self._guided is None:
            return None
        pictures, strength = scene.references.pictures, scene.references.strength
        vectors = [one.embedding for one in pictures if one.embedding is not None]
        embeddings = torch.from_numpy(np.stack(vectors)).to(self.device, self.dtype)
        weights = torch.tensor([one.weight for one in pictures], device=self.device)
        return self._guided.guides(embeddings, weights, strength=strength, area=area, texts=texts)

    def _encode(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """The latents (n, c, h, w), fp32, of pictures (n, 3, H, W), -1..1. They are encoded one by one."""
        encoded = [self._vae.encode(picture[None].to(self.dtype)) for picture in pictures]
        latents = [one.latent_dist.sample(generator) if hasattr(one, "latent_dist") else one.latents for one in encoded]
        return (float(self._vae.config.scaling_factor) * torch.cat(latents)).float()

    def _inputs(self, row: Denoising) -> Tensor:
        """8.t Scale the latents."""
        scaled: Tensor = row.scheduler.scale_model_input(row.latents, row.timesteps[row.index])
        return scaled

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
        conditions = self._nets.applied(rows, in_scene, traced=self._networks.traced)
        pooled = [row.pooled for row in rows if row.pooled is not None]
        window = rows[0].windows.times(self.factor).window
        added = added_conditions(pooled, sizes, window) if pooled else None
        guides = RowGuides.joined([row.guides for row in rows], in_scene)
        looks = RowLooks.of([row.looks for row in rows], in_scene)
        out = self._networks(latents, times, texts, inpaint, conditions, max_rows, added, guides, looks).float()
        return [
            torch.cat([row.windows.merge(part) for part in of_scene.split(len(row.windows))])
            for row, of_scene in zip(rows, out.split(in_scene), strict=True)
        ]

    def _clean(self, row: Denoising, inputs: Tensor, prediction: Tensor) -> Tensor:
        return clean_latents(row, inputs, prediction, self.pack.manifest.prediction_type)

    def _advance(self, row: Denoising, prediction: Tensor) -> None:
        """12.t Step the scene's scheduler, and put the known part back, noised to the next timestep.

        A step that is taken again leads to its own timestep instead, with other noise.
        """
        if row.again[row.index] and row.predicted is not None and row.known is not None:
            clean = (1 - row.mask) * row.known + row.mask * row.predicted
            noise = torch.randn(clean.shape, generator=row.generator).to(clean.device)
            row.latents = row.scheduler.add_noise(clean, noise, row.timesteps[row.index][None])
            return
        extra = {"generator": row.generator} if step_takes_generator(row.scheduler) else {}
        now = row.timesteps[row.index]
        row.latents = row.scheduler.step(prediction, now, row.latents, return_dict=False, **extra)[0]
        if row.known is not None:
            known = row.known
            if row.index + 1 < row.steps:
                known = row.scheduler.add_noise(known, row.noise, row.timesteps[row.index + 1][None])
            row.latents = (1 - row.mask) * known + row.mask * row.latents

    def _decode(self, latents: Tensor) -> Tensor:
        """The picture (1, 3, H, W), fp32, about -1..1, of latents (1, c, h, w)."""
        unscaled = latents.to(self.dtype) / self._vae.config.scaling_factor
        return self._finite(self._vae.decode(unscaled, return_dict=False)[0])


__all__ = ["Denoising", "DiffusionEngine"]
