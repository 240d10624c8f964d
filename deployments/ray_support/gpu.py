"""The replica's share of its GPU, enforced where it can be: Ray's `num_gpus` only schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ray

from packshot.models.device import allocator_fraction, pick_device

if TYPE_CHECKING:
    import torch


def cap_share(wanted: str) -> torch.device:
    """The device for this replica. On CUDA, PyTorch's allocator gets the replica's share less the CUDA context.

    Over that, PyTorch gives back what it had set aside, and then raises torch.OutOfMemoryError here,
    in the replica that took too much, and not in its neighbour.
    """
    import torch

    device = pick_device(wanted)
    share = ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
    if device.type == "cuda" and 0 < share < 1:
        total_gib = torch.cuda.get_device_properties(device).total_memory / 2**30
        torch.cuda.set_per_process_memory_fraction(allocator_fraction(share, total_gib), device)
    return device
