"""The check and the limit of a replica's GPU memory. Ray's `num_gpus` is for scheduling only and limits nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import ray

from packshot.errors import BadInput
from packshot.models.device import allocator_fraction, pick_device
from packshot.settings import Settings

if TYPE_CHECKING:
    import torch


def cap_share(wanted: str) -> torch.device:
    """Return the device for this replica and limit PyTorch's allocator to the replica's share less the CUDA context.

    `wanted` is `auto`, `cpu` or `cuda`. At the limit, PyTorch frees its cached blocks and then raises
    torch.OutOfMemoryError in the replica that used too much, not in another one on the same device. Raises BadInput
    (bad_usage) when the plan assumes a GPU here (the setting `gpu_gib`) and `auto` finds none, or one with less memory:
    a share of it would be too small for the replica, which would fail under load and not now.
    """
    import torch

    planned_gib, device = Settings().gpu_gib, pick_device(wanted)
    if device.type != "cuda":
        if planned_gib and wanted == "auto":
            _refuse_cpu(planned_gib)
        return device
    found = torch.cuda.get_device_properties(device)
    total_gib = found.total_memory / 2**30
    _refuse_smaller_device(found.name, total_gib, planned_gib)
    share = ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
    if 0 < share < 1:
        torch.cuda.set_per_process_memory_fraction(allocator_fraction(share, total_gib), device)
    return device


def device_of_share(wanted: str) -> torch.device:
    """As `cap_share`, for a replica that may have no share: then it is the CPU, for only a share may open a GPU."""
    return cap_share(wanted) if has_share() else pick_device("cpu")


def has_share() -> bool:
    """Whether this replica has a share of a GPU."""
    return bool(ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0) > 0)


def _refuse_cpu(planned_gib: float) -> NoReturn:
    import torch

    raise BadInput(
        "bad_usage",
        f"the plan assumes a GPU of {planned_gib:.1f} GiB here (PACKSHOT_GPU_GIB), got none that CUDA "
        f"{torch.version.cuda} can use; check nvidia-smi and the driver's version (docs/clouds.md), or set "
        "PACKSHOT_DEVICE=cpu",
    )


def _refuse_smaller_device(name: str, total_gib: float, planned_gib: float) -> None:
    if total_gib < planned_gib:
        raise BadInput(
            "bad_usage",
            f"the GPU must have the {planned_gib:.1f} GiB for which the profile's shares are planned "
            f"(PACKSHOT_GPU_GIB), got {name} with {total_gib:.1f} GiB; give the pool nodes with its kind of GPU "
            "(node_labels in the profile), or plan the shares for this one (gpu in the profile)",
        )
