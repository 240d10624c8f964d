"""Kinds of GPUs: their peaks from the makers' datasheets, and their memory as CUDA reports it.

A share is a fraction of the reported memory (`torch.cuda.get_device_properties(0).total_memory`). That is less than the
nominal size, because the driver and error correction use a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU.

    `memory_gib` is the total memory as CUDA reports it. `bf16_tflops` is the datasheet's peak of dense bf16 matrix
    arithmetic with fp32 sums. `memory_gb_s` is the datasheet's bandwidth in 10^9 bytes per second. `products` are the
    values of the node label PRODUCT_LABEL on nodes with this kind.
    """

    name: str
    memory_gib: float
    bf16_tflops: float
    memory_gb_s: float
    products: tuple[str, ...]


PRODUCT_LABEL = "nvidia.com/gpu.product"
"""The node label for which NVIDIA's GPU feature discovery takes the device's name, with hyphens for spaces."""

GpuName = Literal["RTX3090", "RTX4090", "A10G", "L4", "L40S", "A100", "H100", "H200"]

GPUS: dict[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        Gpu("RTX3090", 23.5, 71.2, 936, ("NVIDIA-GeForce-RTX-3090",)),
        Gpu("RTX4090", 23.5, 165.2, 1008, ("NVIDIA-GeForce-RTX-4090",)),
        Gpu("A10G", 22.0, 70.0, 600, ("NVIDIA-A10G",)),
        Gpu("L4", 22.0, 121.0, 300, ("NVIDIA-L4",)),
        Gpu("L40S", 44.3, 362.0, 864, ("NVIDIA-L40S",)),
        Gpu("A100", 79.1, 312.0, 2039, ("NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe")),
        Gpu("H100", 79.1, 989.0, 3350, ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe")),
        Gpu("H200", 139.7, 989.0, 4800, ("NVIDIA-H200", "NVIDIA-H200-NVL")),
    )
}
"""The peaks are from the makers' datasheets. The memory is the smallest "total capacity" in published out-of-memory
messages of PyTorch, read on 2026-11-21 and rounded down (L4 and A10G 22.03, L40S 44.34, A100 and H100 79.14, H200
139.72, RTX 3090 and 4090 23.52 GiB). The A100 is the 80 GB model."""

ASSUMED_USD_PER_HOUR: dict[str, float] = {
    "RTX3090": 0.3,
    "RTX4090": 0.5,
    "A10G": 1.0,
    "L4": 0.8,
    "L40S": 1.9,
    "A100": 3.7,
    "H100": 7.0,
    "H200": 8.0,
}
"""US dollars for an hour of one GPU with its part of a host: the order of magnitude of a large cloud's on-demand price
in 2025, and of a rented host's for the RTX cards. They were not looked up; `packshot plan --price` replaces them."""

assert set(GPUS) == set(get_args(GpuName)) == set(ASSUMED_USD_PER_HOUR)

__all__ = ["ASSUMED_USD_PER_HOUR", "GPUS", "PRODUCT_LABEL", "Gpu", "GpuName"]
