"""What the engines of all recipes share: sizes, the batch curve, the loop of a step, previews and decoding.

A recipe's engine adds what it computes once for a scene (`_begin`), its networks' call (`_predict`), what a prediction
means (`_clean`), how a scene advances (`_advance`), and its decoder (`_decode`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from packshot.contract.verdict import Finding
from packshot.errors import BadInput, EngineFailed
from packshot.models.adapters.file import AdapterFile
from packshot.models.engines.brief_limits import check_limits
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.tensors import convert_memory_errors, to_pixels
from packshot.models.engines.windows import MANY_ROWS, Windows, squeezed
from packshot.models.packs.framing import outline_steps
from packshot.models.packs.pack import Pack
from packshot.models.upscale.upscaler import USEFUL_FROM, load_upscaler
from packshot.types import U8, Brief, EdgeMap, Render, Scene

__all__ = ["LONGEST_STEP_S", "PREVIEW_PX", "StepEngine"]

PREVIEW_PX = 128
"""Longest side of a preview, before a decoder that enlarges."""
LONGEST_STEP_S = 0.35
"""Longest allowed step in seconds. A scene that joins waits for the running step, so no larger batch is used."""


class StepEngine(ABC):
    """A pack's engine on one device. It is not thread-safe: call it from one thread only.

    `dtype` is the number format of the networks; latents and schedulers' arithmetic are in fp32. `factor` is the number
    of pixels of one latent on each side. The constructor raises PackRefused when parts of the pack are missing, were
    altered, or do not fit together.
    """

    def __init__(self, pack: Pack, device: torch.device | str, dtype: torch.dtype, *, factor: int) -> None:
        self.pack = pack
        self.device = torch.device(device)
        self.dtype = dtype
        self.factor = factor
        self._upscaler = load_upscaler(pack, self.device, dtype)

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

    def load_adapter(self, file: AdapterFile) -> Any:
        """Put a read adapter on the device. Raises BadInput: engine_cannot, or adapter_mismatch."""
        rule = f"adapters need an engine that takes them, pack {self.pack.name!r} does not"
        raise BadInput("engine_cannot", f"{rule}; leave them out")

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
        edges = 0.8 if "canny" in self.pack.controls else 0.0
        brief = Brief("", steps=1, guidance_scale=1.0, control_scale=edges)
        grey = np.full((height, width, 3), 128, np.uint8)
        row = self._warm_up(Scene(grey, repaint, EdgeMap(repaint), brief))
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

    def _warm_up(self, scene: Scene) -> Denoising:
        """Do what the first scenes would wait for. Begins `scene`, an empty one of the native size, and returns it."""
        row = self.begin(scene)
        self._predict([row], [row.latents])
        return row

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
            inputs = [self._inputs(row) for row in rows]
            predictions = self._predict(rows, inputs, max_rows)
            for row, given, prediction in zip(rows, inputs, predictions, strict=True):
                guided = self._guide(row, prediction)
                row.predicted = self._clean(row, given, guided)
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

    def _inputs(self, row: Denoising) -> Tensor:
        """The latents as the networks take them."""
        return row.latents

    def _guide(self, row: Denoising, prediction: Tensor) -> Tensor:
        """Apply classifier-free guidance, and rescale the pack's share of it to the prompt's own contrast.

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

    @torch.inference_mode()
    def preview(self, row: Denoising) -> U8:
        """A preview of the scene, uint8 hxwx3 RGB, decoded from latents that show at most PREVIEW_PX on each side."""
        latents = row.latents if row.predicted is None else row.predicted
        shrink = -(-max(latents.shape[-2:]) * self.factor // PREVIEW_PX)
        if shrink > 1:
            latents = functional.avg_pool2d(latents, shrink)
        with convert_memory_errors():
            return to_pixels(self._decode(torch.nan_to_num(latents)))

    @torch.inference_mode()
    def decode(self, rows: Sequence[Denoising]) -> list[Render]:
        """Decode the latents of finished scenes, in order.

        Scenes and windows are decoded one by one, because the VAE decoder's activations are the largest of an engine.
        Raises EngineFailed: engine_nan when the VAE produces NaN or infinity, or engine_out_of_memory.
        """
        with convert_memory_errors():
            return [self._render(row) for row in rows]

    def _render(self, row: Denoising) -> Render:
        """The picture of a finished scene, enlarged by the pack's upscaler where the canvas enlarges it anyway."""
        picture, findings = self._picture(row), row.findings
        if self._upscaler is not None and row.brief.enlarged_by >= USEFUL_FROM:
            picture = self._finite(self._upscaler.enlarge(picture))
            detail = f"the scene was enlarged {self._upscaler.scale}x by {self._upscaler.name}"
            findings = (*findings, Finding("upscaler", "ok", detail, float(self._upscaler.scale)))
        return Render(to_pixels(picture), row.brief.seed, findings)

    def _picture(self, row: Denoising) -> Tensor:
        """The decoded picture (1, 3, H, W) of a finished scene, fp32, about -1..1."""
        parts = torch.cat([self._decode(window[None]) for window in row.windows.split(row.latents)])
        return row.windows.times(parts.shape[-1] // row.windows.window[0]).merge(parts)

    def _finite(self, decoded: Tensor) -> Tensor:
        """A decoded picture in fp32. Raises EngineFailed (engine_nan)."""
        if not torch.isfinite(decoded).all():
            detail = f"values must be finite, the VAE produced NaN or infinity (dtype {self.dtype}); "
            raise EngineFailed("engine_nan", f"{detail}set PACKSHOT_DTYPE=fp32")
        return decoded.float()

    @abstractmethod
    def _begin(self, scene: Scene, windows: Windows, generator: torch.Generator) -> Denoising:
        """The state of a scene that has passed the pack's limits."""

    @abstractmethod
    def _predict(self, rows: Sequence[Denoising], inputs: Sequence[Tensor], max_rows: int = MANY_ROWS) -> list[Tensor]:
        """The predictions in fp32, for each scene (1 or 2, c, h, w): ([negative prompt,] prompt)."""

    @abstractmethod
    def _clean(self, row: Denoising, inputs: Tensor, prediction: Tensor) -> Tensor:
        """The clean latents (1, c, h, w) that a guided prediction implies."""

    @abstractmethod
    def _advance(self, row: Denoising, prediction: Tensor) -> None:
        """Step the scene's scheduler, and put the known part back, noised to the next timestep."""

    @abstractmethod
    def _decode(self, latents: Tensor) -> Tensor:
        """The picture (1, 3, H, W), fp32, about -1..1, of latents (1, c, h, w). Raises EngineFailed (engine_nan)."""
