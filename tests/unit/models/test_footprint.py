"""Footprints: what the meta device counts is what a call takes, and the kept files are the manifests'."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from packshot.models.footprint import counting
from packshot.models.footprint.pack_footprint import compute_footprint, digest, find_footprint
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings

MIB = 2**20


def pack(name: str) -> Pack:
    return find_pack(name, Settings())


def test_memory_is_counted_from_a_tensors_making_to_its_end() -> None:
    def call() -> torch.Tensor:
        first = torch.empty(MIB, dtype=torch.uint8, device="meta")
        second = first.to(torch.int16)  # 1 + 2 MiB
        del first
        second.view(2, -1).add_(1)  # neither a view nor an operation in place takes memory
        return second.to(torch.int32)  # 2 + 4 MiB

    assert on_meta(call).peak_bytes == 6 * MIB


def test_arithmetic_and_other_traffic_are_told_apart() -> None:
    rows, weights = torch.empty(10, 64, device="meta"), torch.empty(64, 32, device="meta")
    told = on_meta(lambda: torch.relu(torch.mm(rows, weights)))
    assert told.flop == 2 * 10 * 64 * 32
    assert told.moved_bytes == 2 * 10 * 32 * 4  # relu reads and writes


def test_attention_counts_as_fused_its_scores_are_never_held() -> None:
    tensor = torch.empty(1, 8, 1024, 64, device="meta")
    told = on_meta(lambda: nn.functional.scaled_dot_product_attention(tensor, tensor, tensor))
    assert told.peak_bytes == tensor.nbytes
    assert told.flop == 4 * 8 * 1024 * 1024 * 64


def test_composite_operations_count_as_what_they_consist_of() -> None:
    """Without gradients `linear` arrives whole: a matrix product all the same, whose bytes no other kernel moves."""
    rows, weights, bias = (torch.empty(*shape, device="meta") for shape in ((10, 64), (32, 64), (32,)))
    told = on_meta(lambda: nn.functional.linear(rows, weights, bias))
    assert (told.flop, told.moved_bytes) == (2 * 10 * 64 * 32, 0)
    assert told.peak_bytes == 10 * 32 * 4


def on_meta(call: Callable[..., Any]) -> counting.CallCost:
    return counting.cost_of(call)


SHIPPED = ["mini", "sd15", "sd2", "sdxl", "klein", "zimage", "sam-vit-b", "sam-vit-h", "sam2.1"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_kept_footprint_is_of_todays_manifest(name: str) -> None:
    kept = find_footprint(pack(name))
    assert kept.of == digest(pack(name)), f"python -m packshot.models.footprint.pack_footprint {name}"


def test_the_kept_footprint_is_what_the_networks_take() -> None:
    kept, computed = find_footprint(pack("mini")), compute_footprint(pack("mini"))
    for stage, footprint in computed.stages.items():
        assert kept.stages[stage].model_dump() == pytest.approx(footprint.model_dump(), rel=1e-3, abs=1e-6)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "mini"])
def test_the_kept_footprint_is_what_the_large_networks_take(name: str) -> None:
    kept, computed = find_footprint(pack(name)), compute_footprint(pack(name))
    for stage, footprint in computed.stages.items():
        assert kept.stages[stage].model_dump() == pytest.approx(footprint.model_dump(), rel=1e-3, abs=1e-6)


def test_published_arithmetic_comes_out() -> None:
    stages = find_footprint(pack("sd2")).stages
    assert stages["sam_encoder"].row_tflop == pytest.approx(0.972, rel=0.01)  # SAM ViT-B at 1024 px
    image = 20 * 2 * stages["generator"].row_tflop + stages["generator"].scene_tflop
    assert 790 / image == pytest.approx(16.75, rel=0.02)  # images/s at an H200's measured 790 TFLOP/s


def test_a_segmenter_pack_has_the_two_stages_that_cut() -> None:
    """SAM ViT-H has 637 M parameters in its encoder, and SAM 2.1's Hiera-L a third of that."""
    for name, millions in (("sam-vit-h", 637), ("sam2.1", 213)):
        stages = find_footprint(pack(name)).stages
        assert set(stages) == {"sam_encoder", "mask_decoder"}
        assert stages["sam_encoder"].weights_gib * 2**30 / 2 / 1e6 == pytest.approx(millions, rel=0.01)
    assert find_footprint(pack("sam-vit-h")).stages["sam_encoder"].row_tflop > 5


def test_activations_lie_on_a_line() -> None:
    encoder = find_footprint(pack("sd15")).stages["sam_encoder"]
    assert encoder.activations_gib(8) == pytest.approx(2 * encoder.activations_gib(4), rel=0.01)
    generator = find_footprint(pack("sd15")).stages["generator"]
    assert generator.activations_gib(1) == generator.alone_gib  # one row is less than a picture's decoding
    assert generator.activations_gib(16, scenes=32) > generator.activations_gib(16)


@pytest.mark.gpu
def test_the_allocators_peak_on_a_gpu_is_as_on_paper() -> None:
    from packshot.models.engines.unet_controlnet import DiffusionEngine

    found = pack("mini")
    engine = DiffusionEngine(found, "cuda", torch.bfloat16)
    footprint = find_footprint(found).stages["generator"]
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    engine.step_seconds((8,))
    taken_gib = (torch.cuda.max_memory_allocated() - before) / 2**30
    assert taken_gib <= 1.1 * footprint.activations_gib(8, scenes=8) + 0.25
