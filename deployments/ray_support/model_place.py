"""Where the models of a replica run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from deployments.ray_support.deaths import end_on_device_fault
from deployments.ray_support.gpu import cap_share, device_of_share
from packshot.models.device import model_thread, pick_dtype
from packshot.settings import Settings

if TYPE_CHECKING:
    import torch


class ModelPlace(NamedTuple):
    """The thread that runs a replica's models, and their device and number format."""

    thread: ThreadPoolExecutor
    device: torch.device
    dtype: torch.dtype


def model_place(threads: int, settings: Settings, *, needs_share: bool = True) -> ModelPlace:
    """Prepare this replica for its models. Call it before they are built.

    `threads` is the number of torch threads; 0 = torch's choice. Without `needs_share`, a replica that has no share of
    a GPU runs on the CPU. Raises BadInput as `cap_share` does. An error of the device ends the replica.
    """
    thread = model_thread(threads, end_on_device_fault)
    device = cap_share(settings.device) if needs_share else device_of_share(settings.device)
    return ModelPlace(thread, device, pick_dtype(device, settings.dtype))
