"""`--checkpointing` keeps fewer activations for the backward pass, and trains the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from packshot.training.progress import TrainingOptions
from packshot.training.spec import Kind, TrainingSpec
from packshot.training.train import train

MOST_KEPT = 0.7
"""Of the activations that a training without it keeps. In tiny networks the ends of the blocks weigh much."""


@pytest.mark.usefixtures("with_tiny_packs")
@pytest.mark.parametrize(
    ("pack", "kind", "text_encoder", "pictures"),
    [("tiny-mini", "lora", True, 4), ("tiny-mini", "controlnet", False, 12)],
)
def test_checkpointing_keeps_less_and_learns_the_same(
    pack: str, kind: Kind, text_encoder: bool, pictures: int, dataset: Callable[[int], Path], tmp_path: Path
) -> None:
    kept: list[int] = []

    def save(tensor: Tensor) -> Tensor:
        """Count what autograd keeps in the forward pass. Weights are there anyway."""
        if not isinstance(tensor, torch.nn.Parameter):
            kept[-1] += tensor.nbytes
        return tensor

    losses = []
    for checkpointing in (False, True):
        spec = TrainingSpec(
            kind=kind,
            name="a",
            pack=pack,
            pictures=dataset(pictures),
            tag="acmelook7",
            epochs=1,
            batch=2,
            rank=2,
            text_encoder=text_encoder,
            checkpointing=checkpointing,
        )
        out = tmp_path / f"{checkpointing}"
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            train(out, TrainingOptions(device=torch.device("cpu"), log_every=1), spec)
        losses.append([json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()])
    plain, checkpointed = kept
    assert 0 < checkpointed <= MOST_KEPT * plain
    assert len(losses[0]) == pictures // 2
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
