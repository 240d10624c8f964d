"""P14: scenes of four different adapters in one batch against the same scenes without adapters.

The embedded pack paints four guided scenes. Their adapters are LoRAs of the ranks 4, 8, 16 and 8 with random weights on
the attentions' projections, which is what `packshot train` makes. Both batches are painted in turn, in processor
seconds. Loading is measured too: from the file, and again from the shelf. The first steps with an adapter trace the
UNet once more.

    python -m bench.p14_adapters
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.harness import Row, interleave, report, timed
from packshot.adapters import AdapterAsset, SceneAdapter
from packshot.models.adapters.fit import shapes_of_files
from packshot.models.device import pick_device, pick_dtype, use_threads
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings
from packshot.shots.adapters import AdapterShelf
from packshot.store.assets import Assets
from packshot.types import Brief, EdgeMap, Scene

RANKS, STEPS, PAIRS, THREADS = (4, 8, 16, 8), 4, 7, 2
LAYERS = ("to_q", "to_k", "to_v", "to_out.0")
ROW = Row("P14", "four different adapters in one batch ÷ the plain batch", 1.35)


def lora_of(pack: Pack, rank: int, seed: int) -> bytes:
    """A LoRA with random weights, in peft's layout."""
    from safetensors.numpy import save

    dice = np.random.default_rng(seed)
    tensors = {}
    for name, (outputs, inputs, *_) in shapes_of_files(list(pack.paths("unet").values())).items():
        if name.endswith(LAYERS) and ".transformer_blocks." in name:
            tensors[f"unet.{name}.lora_A.weight"] = dice.standard_normal((rank, inputs)).astype(np.float32)
            tensors[f"unet.{name}.lora_B.weight"] = 0.01 * dice.standard_normal((outputs, rank)).astype(np.float32)
    return bytes(save(tensors))


def scene_of(engine: DiffusionEngine, seed: int) -> Scene:
    """An empty guided scene of the native size."""
    width, height = engine.native
    repaint = np.full((height, width), 255, np.uint8)
    brief = Brief("on a marble table, soft light", seed=seed, steps=STEPS, guidance_scale=2.0, control_scale=0.8)
    return Scene(np.full((height, width, 3), 128, np.uint8), repaint, EdgeMap(repaint // 2), brief)


def painted(engine: DiffusionEngine, scenes: list[Scene]) -> list[torch.Tensor]:
    """The latents of scenes that share all their steps."""
    rows = [engine.begin(one) for one in scenes]
    while not all(row.done for row in rows):
        engine.step(rows)
    return [row.latents for row in rows]


def loaded(pack: Pack, engine: DiffusionEngine) -> tuple[list[SceneAdapter], float, float]:
    """The adapters, and the most seconds that one took from its file, and again from the shelf."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        assets = Assets(Path(folder).as_uri())
        keys = [assets.put(lora_of(pack, rank, seed), ".sft") for seed, rank in enumerate(RANKS)]
        shelf = AdapterShelf(assets, engine.load_adapter, thread, max_bytes=1 << 30)

        async def load() -> tuple[list[SceneAdapter], float, float]:
            times: list[list[float]] = [[], []]
            found: list[SceneAdapter] = []
            for laps in times:
                found.clear()
                for key in keys:
                    began = time.perf_counter()
                    found += await shelf.of([AdapterAsset(key, 1.0, "lora")])
                    laps.append(time.perf_counter() - began)
            return found, max(times[0]), max(times[1])

        return asyncio.run(load())


def main() -> None:
    settings = Settings()
    device = pick_device(settings.device)
    use_threads(THREADS)
    pack = find_pack("mini", settings)
    engine = DiffusionEngine(pack, device, pick_dtype(device, settings.dtype), freeze=True)
    adapters, cold_s, warm_s = loaded(pack, engine)
    scenes = [scene_of(engine, seed) for seed in range(len(RANKS))]
    adapted = [replace(one, adapters=(adapter,)) for one, adapter in zip(scenes, adapters, strict=True)]
    painted(engine, scenes[:1])
    first_s = timed(lambda: painted(engine, adapted[:1]))
    alone = [painted(engine, [one])[0] for one in adapted]
    apart = max(float((one - two).abs().max()) for one, two in zip(painted(engine, adapted), alone, strict=True))
    sides = interleave(lambda: painted(engine, adapted), lambda: painted(engine, scenes), PAIRS, time.process_time)
    loading = f"first load {cold_s:.3f} s, from the shelf {warm_s * 1000:.1f} ms, first {STEPS} steps {first_s:.1f} s"
    report(ROW, sides, f"each scene as alone within {apart:.1e} (latents); {loading}")


if __name__ == "__main__":
    main()
