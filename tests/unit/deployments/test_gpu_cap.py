"""The GPU share at run time: the allocator gets Ray's fraction less the CUDA context."""

import types
from collections.abc import Callable

import pytest
import torch

from deployments.ray_support import gpu
from packshot.errors import BadInput


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[tuple[float, str]]]:
    """A replica with `share` of a 22 GiB GPU. Returns the limits that were set on the allocator."""
    held: list[tuple[float, str]] = []

    def of(share: float) -> list[tuple[float, str]]:
        context = types.SimpleNamespace(get_assigned_resources=lambda: {"GPU": share} if share else {})
        monkeypatch.setattr("ray.get_runtime_context", lambda: context)
        return held

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: types.SimpleNamespace(total_memory=22 * 2**30, name="NVIDIA L4"),
    )
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda fraction, device: held.append((fraction, device.type))
    )
    return of


def test_the_allocator_is_held_to_the_share_less_the_context(
    replica: Callable[[float], list[tuple[float, str]]],
) -> None:
    held = replica(0.29)
    assert gpu.cap_share("cuda").type == "cuda"
    [(fraction, device)] = held
    assert fraction == pytest.approx(0.29 - 0.6 / 22)
    assert device == "cuda"


@pytest.mark.parametrize("share", [0, 1])
def test_a_whole_gpu_or_none_is_not_capped(replica: Callable[[float], list[tuple[float, str]]], share: int) -> None:
    held = replica(share)
    gpu.cap_share("cuda")
    assert held == []


def test_a_replica_on_a_cpu_is_not_capped(replica: Callable[[float], list[tuple[float, str]]]) -> None:
    held = replica(0.29)
    assert gpu.cap_share("cpu").type == "cpu"
    assert held == []


def test_a_device_smaller_than_planned_is_refused_with_both_numbers(
    replica: Callable[[float], list[tuple[float, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A painter that is planned for an L40S and lands on an L4."""
    held = replica(0.95)
    monkeypatch.setenv("PACKSHOT_GPU_GIB", "44.3")
    with pytest.raises(
        BadInput, match=r"must have the 44\.3 GiB .* got NVIDIA L4 with 22\.0 GiB; give the pool"
    ) as refused:
        gpu.cap_share("cuda")
    assert refused.value.code == "bad_usage"
    assert held == []


@pytest.mark.parametrize("planned_gib", ["22", "16", "0"])
def test_a_device_as_large_as_planned_is_taken(
    replica: Callable[[float], list[tuple[float, str]]], monkeypatch: pytest.MonkeyPatch, planned_gib: str
) -> None:
    held = replica(0.29)
    monkeypatch.setenv("PACKSHOT_GPU_GIB", planned_gib)
    assert gpu.cap_share("cuda").type == "cuda"
    assert len(held) == 1


def test_a_cpu_is_not_measured(
    replica: Callable[[float], list[tuple[float, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    replica(0)
    monkeypatch.setenv("PACKSHOT_GPU_GIB", "44.3")
    assert gpu.cap_share("cpu").type == "cpu"


def test_a_planned_gpu_that_cuda_cannot_use_is_refused_and_not_replaced_by_the_cpu(
    replica: Callable[[float], list[tuple[float, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a driver that is too old, torch finds no device. A painter on the processors would be 100 times as slow."""
    replica(0.95)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.cap_share("auto").type == "cpu"  # no GPU is planned
    monkeypatch.setenv("PACKSHOT_GPU_GIB", "44.3")
    with pytest.raises(BadInput, match=r"a GPU of 44\.3 GiB here .* got none that CUDA .* can use; check nvidia-smi"):
        gpu.cap_share("auto")


@pytest.mark.gpu
def test_a_real_device_is_refused_by_its_own_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_GPU_GIB", "1000")
    with pytest.raises(BadInput, match=torch.cuda.get_device_properties(0).name):
        gpu.cap_share("cuda")


@pytest.mark.gpu
def test_over_its_share_a_replica_runs_out_of_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    context = types.SimpleNamespace(get_assigned_resources=lambda: {"GPU": 0.05})
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    total = torch.cuda.get_device_properties(0).total_memory
    device = gpu.cap_share("cuda")
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(int(0.05 * total), dtype=torch.uint8, device=device)
    torch.empty(int(0.02 * total), dtype=torch.uint8, device=device)
    torch.cuda.set_per_process_memory_fraction(1.0, device)
