"""Starts trainings from a shipped pack: its fp16 weights as checkpoints, without an optimizer's state.

python -m training.mini warm      # packshot/packs/mini -> runs/{vae,painter,control,judge,geometry,detector}

Words that the vocabulary has since gained keep fresh embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from packshot.models.engines.word_tokenizer import WordTokenizer
from training.mini.painter import Painter, control_from, tokenizer

_WORDS = "embeddings.token_embedding.weight"


def warm(pack: Path, runs: Path) -> list[str]:
    """Write a checkpoint for each part whose run has none. Returns the names of the parts that were written."""
    roles: dict[str, Any] = yaml.safe_load((pack / "manifest.yaml").read_text("utf-8"))["roles"]

    def weights(role: str) -> dict[str, Tensor]:
        files = [pack / file for file in roles[role]["files"] if file.endswith(".safetensors")]
        return {name: tensor.float() for file in files for name, tensor in load_file(file).items()}

    painter = Painter()
    painter.text.load_state_dict(_text(painter.text.state_dict(), weights("text_encoder"), pack))
    painter.unet.load_state_dict(weights("unet"))
    control = control_from(painter.unet)
    control.load_state_dict(_control(control.state_dict(), weights("controlnet")))
    written = []
    for part, net, averaged in (
        ("vae", weights("vae"), False),
        ("painter", painter.state_dict(), True),
        ("control", control.state_dict(), False),
        ("judge", weights("judge"), False),
        *((head, weights(head), True) for head in ("geometry", "detector") if head in roles),
    ):
        folder = runs / part
        if not (folder / "checkpoint.pt").exists():
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(_checkpoint(net, averaged), folder / "checkpoint.pt")
            written.append(part)
    return written


def _text(fresh: dict[str, Tensor], shipped: dict[str, Tensor], pack: Path) -> dict[str, Tensor]:
    """The shipped text encoder with the words of today's vocabulary."""
    before, now = WordTokenizer.from_files(pack).vocab, tokenizer().vocab
    rows = fresh[_WORDS].clone()
    rows[:3] = shipped[_WORDS][:3]  # padding, begin and end of text
    for word in before.keys() & now.keys():
        rows[now[word]] = shipped[_WORDS][before[word]]
    return shipped | {_WORDS: rows}


def _control(fresh: dict[str, Tensor], shipped: dict[str, Tensor]) -> dict[str, Tensor]:
    """The shipped ControlNet. One that was shown the edges three times gets them once, and silent further channels."""
    name = "controlnet_cond_embedding.conv_in.weight"
    if shipped[name].shape == fresh[name].shape:
        return shipped
    first = torch.zeros_like(fresh[name])
    first[:, 0] = shipped[name].sum(1)
    return shipped | {name: first}


def _checkpoint(net: Mapping[str, Tensor], averaged: bool) -> dict[str, Any]:
    counters = {"spent_s": 0.0, "step": 0, "samples": 0}
    return {"net": dict(net), "counters": counters} | ({"ema": dict(net)} if averaged else {})
