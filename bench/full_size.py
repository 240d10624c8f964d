"""Paint with a pack's networks at their full size and with random weights, to learn its time and memory.

    python -m bench.full_size sdxl --steps 2
    python -m bench.full_size klein --text         # its text encoder alone: what a new prompt takes on this device

The networks are those of the manifest, at the size of its files, but nothing is fetched: each parameter is drawn from a
normal distribution. The picture is noise; the arithmetic, the memory and the shapes are the real ones. It runs in one
process, and needs the pack's weights and activations in memory (`packshot plan`).
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from packshot.contract.shot_spec import Condition
from packshot.models.device import pick_device, pick_dtype
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.engines.word_tokenizer import WordTokenizer
from packshot.models.packs.pack import Pack, find_pack
from packshot.models.packs.roles import RoleName
from packshot.models.packs.weights import build
from packshot.settings import Settings
from packshot.types import Brief, ConditionMaps, EdgeMap, Scene

__all__ = ["RandomPack"]

STD = 0.02
"""Of the weights. With it the activations of every network stay finite in bf16."""
TEXT_TOKENS = 512
"""Tokens of a chat model's text, as a flow-matching engine pads them."""
WORDS = {"product": 3, "on": 4, "marble": 5}


@dataclass(frozen=True)
class RandomPack(Pack):
    """A pack whose networks have random weights in place of its files."""

    def load(
        self,
        role: RoleName,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        *,
        fp32: tuple[str, ...] = (),
    ) -> Any:
        """As `Pack.load`, without reading any file."""
        spec = self.role(role)
        if role == "scheduler":
            return build(spec.class_name, spec.config)
        if "okenizer" in spec.class_name:
            return self.tokenizer()
        network = cast(nn.Module, build(spec.class_name, spec.config))  # its buffers alone have values
        buffers = dict(network.named_buffers())
        network = nn.Module.to(network, "meta", dtype or torch.float32).to_empty(device=device)
        for name, parameter in network.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.data.fill_(1)
            else:
                _fill(parameter.data)
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
        return network.eval().requires_grad_(requires_grad=False)

    def tokenizer(self) -> WordTokenizer:
        """A tokenizer of three words, whose ids every text encoder has."""
        return WordTokenizer(WORDS, {}, int(self.role("text_encoder").config["max_position_embeddings"]))


@cache
def _drawn(dtype: torch.dtype) -> torch.Tensor:
    return (STD * torch.randn(1_000_003, generator=torch.Generator().manual_seed(0))).to(dtype)


def _fill(weights: torch.Tensor) -> None:
    """Fill with random weights: the same million again and again, because drawing billions takes minutes."""
    flat, drawn = weights.view(-1), _drawn(weights.dtype)
    for start in range(0, len(flat), len(drawn)):
        part = flat[start : start + len(drawn)]
        part.copy_(drawn[: len(part)])


def scene_of(pack: Pack, brief: Brief) -> Scene:
    """A grey product in the middle of the pack's native size, with a map for each condition."""
    width, height = pack.manifest.native_px
    repaint = np.full((height, width), 255, np.uint8)
    repaint[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = 0
    grey = np.full((height, width, 3), 128, np.uint8)
    return Scene(grey, repaint, EdgeMap(255 - repaint), brief, ConditionMaps(depth=255 - repaint))


@torch.inference_mode()
def encode_texts(pack: RandomPack, device: torch.device, dtype: torch.dtype, count: int = 3) -> list[float]:
    """The processor seconds that the pack's text encoder takes for each of `count` texts of TEXT_TOKENS tokens."""
    network = pack.load("text_encoder", device, dtype)
    ids = torch.arange(TEXT_TOKENS, device=device)[None]
    taken = []
    for _ in range(count):
        began = time.process_time()  # of all threads: other work on the machine hardly changes it
        found = network(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True, use_cache=False)
        assert torch.isfinite(found.hidden_states[-2]).all()
        taken.append(time.process_time() - began)
    return taken


def main() -> None:
    """Print the seconds of each stage, and the peak memory of the process."""
    parser = argparse.ArgumentParser(description="Paint at full size with random weights.")
    parser.add_argument("pack")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--depth", action="store_true", help="add a depth condition")
    parser.add_argument("--text", action="store_true", help="encode texts alone, of a flow-matching pack")
    asked = parser.parse_args()
    found = find_pack(asked.pack, Settings())
    pack, device = RandomPack(found.manifest, found.folder, found.settings), pick_device()
    dtype = pick_dtype(device)
    if asked.text:
        seconds = ", ".join(f"{one:.1f} s" for one in encode_texts(pack, device, dtype))
        peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{TEXT_TOKENS} tokens: {seconds} of the processor ({dtype} on {device.type}, peak {peak_gib:.1f} GiB)")
        return
    began = time.perf_counter()

    def report(stage: str) -> None:
        nonlocal began
        now = time.perf_counter()
        print(f"{stage:8} {now - began:7.1f} s", flush=True)
        began = now

    engine = DiffusionEngine(pack, device, dtype)
    report("load")
    conditions = (Condition(kind="depth", scale=0.5),) if asked.depth else ()
    brief = Brief("product on marble", seed=1, steps=asked.steps, guidance_scale=asked.guidance, conditions=conditions)
    row = engine.begin(scene_of(pack, brief))
    report("begin")
    while not row.done:
        engine.step([row])
        report(f"step {row.index}")
    (render,) = engine.decode([row])
    report("decode")
    parameters = sum(
        parameter.numel()
        for network in (engine._unet, engine._vae, *engine._nets.networks.values())
        for parameter in network.parameters()
    )
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    size = f"{render.pixels.shape[1]} x {render.pixels.shape[0]}"
    print(f"{dtype} on {device.type}, {torch.get_num_threads()} threads, {size}, {brief.rows_per_step} rows a step")
    print(f"{parameters / 1e9:.2f} G parameters besides the text encoders, peak {peak_gib:.1f} GiB, error {row.error}")


if __name__ == "__main__":
    main()
