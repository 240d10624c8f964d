"""Estimated seconds of a stage's work on a GPU, and the published measurements to which the estimates are fitted.

    seconds of a row = its matrix arithmetic / (share of the peak x datasheet's peak)
                     + bytes that its other kernels move / (share of the bandwidth x datasheet's bandwidth)

The two shares are fitted to one published figure: Stable Diffusion 1.5 with a ControlNet at 512 px, guided, 16 pictures
at once, in eager PyTorch on an A100. In that table the A100 is the slowest relative to its datasheet. The consumer
cards are 1.7 and 1.9 times faster than this estimate, so a plan errs towards too many GPUs. No GPU was available when
this was written, so a plan says "estimate" wherever these numbers are used. CPU times are measured (docs/plan.md).
"""

from __future__ import annotations

from cluster.plan.gpus import Gpu
from packshot.models.footprint.pack_footprint import Footprint

PEAK_SHARE = 0.34
BANDWIDTH_SHARE = 0.8
UTILISATION = 0.8
"""The share of a device's time that a plan uses. The rest keeps queues short when traffic is uneven."""

PUBLIC_STEPS_PER_S: dict[str, float] = {"A100": 2.58, "RTX3090": 1.23, "RTX4090": 2.30}
"""Steps per second of 16 guided pictures, from the diffusers documentation: Torch 2.0 benchmark, "SD - controlnet",
batch 16, no compile (read 2026-11-21). Of two PyTorch versions the faster one; the other had 2.15, 1.22 and 2.23."""
PUBLIC_ROWS = 32

CPU_SECONDS: dict[str, float] = {
    "gateway": 0.1,
    "photo_decoder": 0.3,
    "producer": 0.02,
    "detector": 0.1,
    "understand": 0.2,
    "reference_encoder": 0.02,
    "canny": 0.01,
    "finisher": 0.17,
    "director": 0.05,
}
"""CPU seconds for a photo (gateway, photo_decoder: a 10-megapixel JPEG) or for an image (the others: canny at 512 px,
finisher and director at 1024 px from a 2.7-megapixel photo).

Measured: 0.23 to 0.29 s to decode a photo and 0.06 s of a gateway for an upload (2026-11-26, "What one SKU costs");
0.157 s in the finisher's own code and 0.04 s in the director for one served image (2026-11-26).
"""
CUTOUT_SECONDS = 0.5
"""CPU seconds of a finisher for a mask's cutout, which is made once and then kept: 0.51 s for a photo of 2.7 megapixels
(2026-11-26; decoding, closed-form matting, encoding)."""


def seconds(gpu: Gpu, tflop: float, gb: float) -> float:
    """Seconds for `tflop` of matrix arithmetic and `gb` (10^9 bytes) of memory traffic on an otherwise idle device."""
    return tflop / (PEAK_SHARE * gpu.bf16_tflops) + gb / (BANDWIDTH_SHARE * gpu.memory_gb_s)


def row_seconds(gpu: Gpu, footprint: Footprint) -> float:
    """Seconds of one row in a stage's full batch."""
    return seconds(gpu, footprint.row_tflop, footprint.row_gb)


def scene_seconds(gpu: Gpu, footprint: Footprint, steps: int, rows: int) -> float:
    """Seconds of a whole scene: `steps` denoising steps of `rows` batch rows, and once the text encoder and the VAE."""
    return steps * rows * row_seconds(gpu, footprint) + seconds(gpu, footprint.scene_tflop, footprint.scene_gb)
