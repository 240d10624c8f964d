"""Kinds of GPUs: what a plan must know of them, from their makers' datasheets and from what CUDA reports of them.

A share is a fraction of what CUDA reports (`torch.cuda.get_device_properties(0).total_memory`), which is less than the
name on the box: the driver keeps a part for itself, and error correction another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args


@dataclass(frozen=True)
class Gpu:
    """`memory_gib`: total memory as CUDA reports it. Datasheet's peaks: `bf16_tflops`,
    dense matrix arithmetic with sums in fp32, and `memory_gb_s`, 10^9 bytes a second."""

    name: str
    memory_gib: float
    bf16_tflops: float
    memory_gb_s: float


GpuName = Literal["RTX3090", "RTX4090", "A10G", "L4", "L40S", "A100", "H100", "H200"]

GPUS: dict[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        Gpu("RTX3090", 23.5, 71.2, 936),
        Gpu("RTX4090", 23.5, 165.2, 1008),
        Gpu("A10G", 22.0, 70.0, 600),
        Gpu("L4", 22.0, 121.0, 300),
        Gpu("L40S", 44.3, 362.0, 864),
        Gpu("A100", 79.1, 312.0, 2039),
        Gpu("H100", 79.1, 989.0, 3350),
        Gpu("H200", 139.7, 989.0, 4800),
    )
}
"""Makers' datasheets; memory: the least of "total capacity" in PyTorch's out-of-memory messages that people published,
looked up on 2026-11-21 (L4 and A10G 22.03, L40S 44.34, A100 and H100 79.14, H200 139.72, RTX 3090 and 4090 23.52 GiB),
rounded down. A100: the one of 80 GB."""

assert set(GPUS) == set(get_args(GpuName))

__all__ = ["GPUS", "Gpu", "GpuName"]
