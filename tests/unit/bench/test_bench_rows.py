"""Rows of the bench: verdicts, their JSON lines, the chart, and the GPU rows' code on networks that a CPU can carry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench import gpu, load_memory
from bench.__main__ import summary
from bench.chart import draw, margin
from bench.harness import Row, not_measured, print_row
from packshot.models.packs.manifest import RoleSpec, read_manifest
from packshot.settings import Settings
from tests.tiny_pack import SAM, build_tiny_pack

CPU = torch.device("cpu")


def test_a_row_holds_on_its_side_of_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_row(Row("a", "less is better", 1.1), [1.0, 1.1, 9.0], parity="equal")
    assert not print_row(Row("b", "more is better", 1.1, at_least=True), [1.0, 1.09, 9.0])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["ratio"], first["spread"], first["holds"], first["parity"]) == (1.1, [1.0, 9.0], True, "equal")
    assert (second["ratio"], second["holds"]) == (1.09, False)


def test_the_chart_draws_every_row_that_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_row(Row("P1", "a shot", 1.05), [1.0])
    print_row(Row("P4", "goodput", 1.75, at_least=True), [2.0, 3.5, 4.0])
    not_measured(Row("GPU", "a picture", 4.0), "no CUDA device")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert margin(lines[1], 3.5) == 2
    with Image.open(draw(lines, tmp_path / "rows.png")) as chart:
        assert chart.width > 500
    assert summary(lines).row_count == 3


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_gpu_rows_run_on_small_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "REPEATS", 2)
    folder = build_tiny_pack(tmp_path / "tiny", "sd2")
    pack = gpu.RandomPack(read_manifest(folder / "manifest.yaml"), folder, Settings())
    assert len(gpu.engine_seconds(pack, CPU, torch.float32, scenes=3, steps=2)) == 2
    assert len(gpu.pipeline_seconds(pack, CPU, torch.float32, steps=2)) == 2
    assert len(gpu.encoder_seconds(SAM, CPU, torch.float32, photos=2)) == 2


def test_without_a_gpu_its_rows_say_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["not_measured"] for line in lines] == ["no CUDA device"] * 3


def test_loading_holds_little_more_than_the_weights(tmp_path: Path) -> None:
    """A network of 64 MB in two shards, written as fp16 and loaded as bf16."""
    wide = SAM | {"encoder_embed_dim": 768, "encoder_depth": 4, "encoder_heads": 12, "global_attn_indexes": [3]}
    spec = RoleSpec(class_name="Sam", licence="Apache-2.0", config=wide)
    files = load_memory.write_random(spec, tmp_path, "fp16", shard_gib=0.04)
    assert len(files) == 2
    found = load_memory.load_once(spec, files, "bf16")
    assert found.weights_gib == pytest.approx(sum(file.stat().st_size for file in files) / 2**30, rel=0.01)
    assert found.peak_gib < 1.5 * found.weights_gib, "the weights, one tensor, and what the allocator keeps"
