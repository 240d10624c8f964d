"""What each way to run the networks faster gains, per pack: full-size networks with random weights. Needs CUDA.

Each row is the time of an eager bf16 step divided by that of the same step run another way, or the same of decoding.
What shows at least 1.1 may become a default. Without CUDA every row is reported as not measured.

    python -m bench.gpu_speed sd15 sdxl
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.gpu import RandomPack
from bench.harness import Row, not_measured, print_row, timed
from packshot.models.engines.loading import PackEngine, load_engine
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings
from packshot.types import Brief, EdgeMap, Scene

__all__ = ["WAYS", "main", "measure", "networks", "rows_of"]

PACKS = ("sd15", "sdxl", "klein", "zimage")
SCENES, REPEATS = 8, 5
WORTH = 1.1
"""The ratio from which a way may become a default."""

Way = Callable[[PackEngine], object]


def networks(engine: PackEngine) -> list[nn.Module]:
    """The modules that the engine holds, wherever it holds them: its own, and those of its parts."""
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()

    def look(value: object, depth: int) -> None:
        if id(value) in seen or depth > 4:
            return
        seen.add(id(value))
        if isinstance(value, nn.Module):
            found[id(value)] = value
        elif isinstance(value, Mapping):
            for one in value.values():
                look(one, depth + 1)
        elif isinstance(value, list | tuple):
            for one in value:
                look(one, depth + 1)
        elif type(value).__module__.startswith("packshot."):
            for one in getattr(value, "__dict__", {}).values():
                look(one, depth + 1)

    look(engine, 0)
    return list(found.values())


def channels_last(engine: PackEngine) -> None:
    """Store the weights of convolutions with the channels innermost, as tensor cores read them."""
    for one in networks(engine):
        for layer in one.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(memory_format=torch.channels_last)


def compile_blocks(engine: PackEngine, **options: Any) -> None:
    """Compile each block that repeats: one compilation serves all of them, and inductor's cache keeps it on disk."""
    for one in networks(engine):
        for block in _repeated(one):
            block.compile(dynamic=False, **options)


def cuda_graphs(engine: PackEngine) -> None:
    """Compile the blocks, and replay each as a CUDA graph for its rows and size."""
    compile_blocks(engine, mode="reduce-overhead")


def tile_vae(engine: PackEngine) -> None:
    """Decode in tiles: less memory, and more work at the seams. AutoencoderTiny has none."""
    for one in networks(engine):
        enable = getattr(one, "enable_tiling", None)
        if callable(enable):
            enable()


def _repeated(network: nn.Module) -> list[nn.Module]:
    """The blocks of a network that occur several times: transformer blocks, and residual blocks."""
    counts: dict[type[nn.Module], list[nn.Module]] = {}
    for module in network.modules():
        if type(module).__name__.endswith(("TransformerBlock", "ResnetBlock2D")):
            counts.setdefault(type(module), []).append(module)
    return [block for blocks in counts.values() if len(blocks) > 1 for block in blocks]


WAYS: Mapping[str, tuple[str, Way]] = {
    "channels_last": ("step", channels_last),
    "compile": ("step", compile_blocks),
    "cuda_graphs": ("step", cuda_graphs),
    "vae_tiling": ("decode", tile_vae),
}
"""Each way by its name: what is timed, and how an engine is changed. Attention is torch's SDPA in all of them."""


def rows_of(packs: Sequence[str]) -> list[Row]:
    """The rows, one for each pack and way."""
    return [
        Row(f"GPU-{name}-{way}", f"eager bf16 {timed_part} of {name}, {SCENES} scenes, ÷ with {way}", WORTH, True)
        for name in packs
        for way, (timed_part, _) in WAYS.items()
    ]


def measure(pack: Pack, way: str, device: torch.device, dtype: torch.dtype, scenes: int = SCENES) -> list[float]:
    """The eager seconds divided by those with the way, one value per repeat."""
    timed_part, change = WAYS[way]
    engine = load_engine(pack, device, dtype)
    eager = _seconds(engine, timed_part, scenes)
    change(engine)
    return [before / after for before, after in zip(eager, _seconds(engine, timed_part, scenes), strict=True)]


def _seconds(engine: PackEngine, timed_part: str, scenes: int) -> list[float]:
    """Seconds of a step of `scenes` scenes, or of decoding one; the first call, which may compile, is not timed."""
    manifest = engine.pack.manifest
    width, height = manifest.native_px
    repaint = np.full((height, width), 255, np.uint8)
    grey = np.full((height, width, 3), 128, np.uint8)
    guidance, control = manifest.defaults.guidance_scale, manifest.defaults.control_scale
    control = control if "canny" in engine.pack.controls else 0.0
    steps = min(manifest.limits.max_steps, REPEATS + 2)
    brief = Brief("", steps=steps, guidance_scale=guidance, control_scale=control)
    made = [engine.begin(Scene(grey, repaint, EdgeMap(repaint), brief)) for _ in range(scenes)]

    def once() -> None:
        if timed_part == "step":
            engine.step(made, 1 << 30)
        else:
            engine.decode(made[:1])
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    once()
    return [timed(once) for _ in range(REPEATS if steps >= REPEATS + 2 else max(1, steps - 1))]


def main(packs: Sequence[str] = PACKS) -> int:
    """Measure and report."""
    rows = rows_of(packs)
    if not torch.cuda.is_available():
        for row in rows:
            not_measured(row, "no CUDA device")
        return 0
    device, dtype, where = torch.device("cuda"), torch.bfloat16, torch.cuda.get_device_name()
    for row in rows:
        name, way = row.name.removeprefix("GPU-").split("-", 1)
        found = find_pack(name, Settings())
        try:
            ratios = measure(RandomPack(found.manifest, found.folder, found.settings), way, device, dtype)
        except Exception as error:  # noqa: BLE001 - one way that fails leaves the other rows
            not_measured(row, f"{type(error).__name__}: {error}"[:200])
            continue
        print_row(row, ratios, device=where)
        torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or PACKS))
