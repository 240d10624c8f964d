"""Kinds of GPUs: what a plan must know of them, from their makers' datasheets and from what CUDA reports of them.

A share is a fraction of what CUDA reports (`torch.cuda.get_device_properties(0).total_memory`), which is less than the name
on the box: the driver keeps a part for itself, and error correction another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args


@dataclass(frozen=True)
class Gpu:
    """`memory_gib`: total memory as CUDA reports it. `bf16_tflops`: dense matrix arithmetic, the datasheet's peak."""

    name: str
    memory_gib: float
    bf16_tflops: float


GpuName = Literal["RTX3090", "RTX4090", "A10G", "L4", "L40S", "A100", "H100", "H200"]

GPUS: dict[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        Gpu("RTX3090", 23.5, 71.2),
        Gpu("RTX4090", 23.5, 165.2),
        Gpu("A10G", 22.0, 70.0),
        Gpu("L4", 22.0, 121.0),
        Gpu("L40S", 44.3, 362.0),
        Gpu("A100", 79.1, 312.0),
        Gpu("H100", 79.1, 989.0),
        Gpu("H200", 139.7, 989.0),
    )
}
"""Datasheets of 2026-11; the memory is the least that drivers were seen to report. A100: the one of 80 GB."""

assert set(GPUS) == set(get_args(GpuName))

__all__ = ["GPUS", "Gpu", "GpuName"]
