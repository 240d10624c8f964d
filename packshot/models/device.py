"""Choose the device, the number format and the threads of a model on the present machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from packshot.errors import BadInput, PackRefused

if TYPE_CHECKING:
    import torch


CUDA_CONTEXT_GIB = 0.6
"""GPU memory of one process's CUDA context, outside PyTorch's allocator. It takes 0.4 to 0.6; plans use the maximum."""


def allocator_fraction(share: float, device_gib: float) -> float:
    """The fraction of a device's memory that PyTorch's allocator may use in a process with the GPU share `share`, 0..1.

    `device_gib` is the memory of the whole device. The CUDA context takes memory of the share outside the allocator.
    Raises BadInput (bad_usage) for a share that is not larger than the context.
    """
    fraction = share - CUDA_CONTEXT_GIB / device_gib
    if fraction <= 0:
        raise BadInput(
            "bad_usage",
            f"a GPU share must be larger than a CUDA context ({CUDA_CONTEXT_GIB} GiB), got {share:g} of "
            f"{device_gib:.1f} GiB; "
            "raise gpu_share in the profile, or use a larger GPU",
        )
    return fraction


def use_threads(threads: int) -> None:
    """Set the number of threads for torch kernels that the calling thread starts; 0 keeps torch's default.

    OpenMP keeps this number for each calling thread.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)


class _ModelThread(ThreadPoolExecutor):
    """One thread. `on_device_fault` gets the error of a call whose device failed, before the call's future has it."""

    def __init__(self, threads: int, on_device_fault: Callable[[Exception], None]) -> None:
        super().__init__(1, thread_name_prefix="model", initializer=use_threads, initargs=(threads,))
        self._on_device_fault = on_device_fault

    def submit(self, call: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        def watched() -> Any:
            import torch

            try:
                return call(*args, **named)
            except torch.AcceleratorError as error:
                self._on_device_fault(error)
                raise

        return super().submit(watched)


def model_thread(threads: int, on_device_fault: Callable[[Exception], None] = lambda error: None) -> ThreadPoolExecutor:
    """An executor with the one thread that runs a process's model. Kernels use `threads` threads; 0 = torch's default.

    `on_device_fault` gets the error of a call after which the device is of no more use to this process, as after an
    illegal access to its memory. Running out of memory is no such error.

    Call this before the model is built, and run no kernels in other threads. Every thread that runs kernels gets its
    own pool. With more pool threads than cores, libgomp's threads sleep between kernels instead of spinning: a step of
    the embedded pack then takes 110 ms instead of 75 ms.
    """
    import torch

    torch.set_num_threads(1)  # the calling thread runs no kernels and needs no pool
    return _ModelThread(threads, on_device_fault)


def pick_device(wanted: str = "auto") -> torch.device:
    """The torch device for `auto`, `cpu` or `cuda`; `auto` is `cuda` if it is available.

    Raises PackRefused (pack_mismatch) when CUDA is wanted and not available.
    """
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise PackRefused(
            "pack_mismatch",
            f"the device must be available, got {wanted!r} on a machine without CUDA; set PACKSHOT_DEVICE=cpu",
        )
    return torch.device(wanted)


def pick_dtype(device: torch.device, wanted: str = "auto") -> torch.dtype:
    """The torch dtype for `auto`, `fp32`, `bf16` or `fp16`.

    `auto` is bf16 on CUDA and on CPUs with bf16 units (AMX or AVX512-BF16), where bf16 is 6 to 10 times as fast as
    fp32. On other CPUs it is fp32, because they emulate bf16, which is 4 times as slow (docs/measurements.md,
    2026-11-21). Raises PackRefused (pack_mismatch) for any other name.
    """
    import torch

    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if wanted != "auto":
        if wanted not in named:
            raise PackRefused(
                "pack_mismatch", f"dtype must be one of auto, {', '.join(named)}, got {wanted!r}; set PACKSHOT_DTYPE"
            )
        return named[wanted]
    if device.type == "cuda":
        return torch.bfloat16
    has_bf16_units = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if has_bf16_units else torch.float32
