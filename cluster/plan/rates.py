"""How long a stage's work takes on a GPU: estimates until measured there, and what measured them elsewhere.

    seconds of a row = its matrix arithmetic / (share of the peak x datasheet's peak)
                     + what its other kernels move / (share of the bandwidth x datasheet's bandwidth)

The two shares are fitted to one public figure of the same recipe: Stable Diffusion 1.5 with a ControlNet at 512 px,
guided, 16 pictures at once, in eager PyTorch on an A100. Of that table it is the slowest for its datasheet: the
consumer cards are 1.7 and 1.9 times faster than estimated so, and a plan errs on the side of too many GPUs. No GPU was
at hand when this was written: a plan says "estimate" wherever these numbers go in. What CPUs do is measured
(docs/plan.md).
"""

from __future__ import annotations

from cluster.plan.gpus import Gpu
from packshot.models.footprint.pack_footprint import Footprint

PEAK_SHARE = 0.34
BANDWIDTH_SHARE = 0.8
UTILISATION = 0.8
"""Of a device's time, what a plan fills: the rest keeps queues short while traffic is uneven."""

PUBLIC_SOURCE = "diffusers documentation, Torch 2.0 benchmark, SD - controlnet, batch 16, no compile (read 2026-11-21)"
PUBLIC_STEPS_S: dict[str, float] = {"A100": 2.58, "RTX3090": 1.23, "RTX4090": 2.30}
"""Steps a second of 16 guided pictures, the better of its two PyTorch versions (2.15, 1.22 and 2.23 with the other)."""
PUBLIC_ROWS = 32

CPU_SECONDS: dict[str, float] = {
    "gateway": 0.1,
    "photo_decoder": 1.3,
    "canny": 0.01,
    "finisher": 0.22,
    "director": 0.05,
}
"""Processor seconds of a photo (gateway, photo_decoder: a 10-megapixel JPEG) or of an image (the others: canny at
512 px, finisher and director at 1024 px from a 2.7-megapixel photo).

Measured: 1.4 s for the upload (2026-11-21), of which the gateway's part, HTTP and the store's write, is assumed; 0.22 s
of the finisher and 0.04 s of the director for one served image (2026-11-26; 0.26 s when the director did both). The
director claims, drives, writes the PNG and commits.
"""


def seconds(gpu: Gpu, tflop: float, gb: float) -> float:
    """Seconds of work on a device that does nothing else. `gb`: 10^9 bytes."""
    return tflop / (PEAK_SHARE * gpu.bf16_tflops) + gb / (BANDWIDTH_SHARE * gpu.memory_gb_s)


def row_seconds(gpu: Gpu, footprint: Footprint) -> float:
    """Of one row of a stage's full batch."""
    return seconds(gpu, footprint.row_tflop, footprint.row_gb)


def scene_seconds(gpu: Gpu, footprint: Footprint, steps: int, rows: int) -> float:
    """Of a whole scene: so many steps of so many rows, texts and VAE once."""
    return steps * rows * row_seconds(gpu, footprint) + seconds(gpu, footprint.scene_tflop, footprint.scene_gb)
