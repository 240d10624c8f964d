"""The limit on a replica's GPU memory. Ray's `num_gpus` is used for scheduling only and limits nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ray

from packshot.models.device import allocator_fraction, pick_device

if TYPE_CHECKING:
    import torch


def cap_share(wanted: str) -> torch.device:
    """Return the device for this replica and limit PyTorch's allocator to the replica's share less the CUDA context.

    `wanted` is `auto`, `cpu` or `cuda`. At the limit, PyTorch frees its cached blocks and then raises
    torch.OutOfMemoryError in the replica that used too much, not in another one on the same device.
    """
    import torch

    device = pick_device(wanted)
    share = ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
    if device.type == "cuda" and 0 < share < 1:
        total_gib = torch.cuda.get_device_properties(device).total_memory / 2**30
        torch.cuda.set_per_process_memory_fraction(allocator_fraction(share, total_gib), device)
    return device
