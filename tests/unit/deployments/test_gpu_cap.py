"""The GPU share at run time: the allocator gets Ray's fraction less the CUDA context."""

import types
from collections.abc import Callable

import pytest
import torch

from deployments.ray_support import gpu


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
        torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(total_memory=22 * 2**30)
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
