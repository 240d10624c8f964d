"""The batcher and the engine together: mixed requests in company against each of them alone."""

from __future__ import annotations

import asyncio
import ctypes
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from packshot.batching import RenderBatcher
from packshot.errors import BadInput, EngineFailed
from packshot.models.device import model_thread
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.manifest import read_manifest
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings
from packshot.types import U8, Brief, EdgeMap, Scene
from tests.tiny_pack import build_tiny_pack

AT_ONCE, MAX_ROWS = 7, 6
BOUND = 1
"""Of 255, in fp32 (the contract's bound)."""
NOT_NUMBERS, REFUSED = 13, 14


class Engine(DiffusionEngine):
    """Gives the scene of seed NOT_NUMBERS latents that are not."""

    def begin(self, scene: Scene) -> Denoising:
        row = super().begin(scene)
        if scene.brief.seed == NOT_NUMBERS:
            row.latents = row.latents * torch.nan
        return row


def mixed(pack: Pack, count: int, max_steps: int) -> list[Scene]:
    """Every size, step count, one or two rows, control scale and window, prompt and seed, by a fixed seed."""
    dice = random.Random(0)
    prompts = ("on a marble table, soft light", "on wood", "", "on sand, night city lights")
    scenes = []
    for index in range(count):
        width, height = dice.choice(pack.manifest.buckets)
        repaint = np.zeros((height, width), np.uint8)
        repaint[dice.randrange(height // 2) :, dice.randrange(width // 2) :] = 255
        product = np.full((height, width, 3), dice.randrange(256), np.uint8)
        start = dice.choice((0.0, 0.25))
        brief = Brief(
            dice.choice(prompts),
            negative_prompt=dice.choice(("", "blurry")),
            seed=1000 + index,
            steps=dice.randint(1, max_steps),
            guidance_scale=dice.choice((1.0, 1.5, 2.0, 4.0)),
            control_scale=dice.choice((0.0, 0.5, 1.0)),
            control_start=start,
            control_end=dice.choice((start, 0.75, 1.0)),
        )
        scenes.append(Scene(product, repaint, EdgeMap(repaint // 2), brief))
    return scenes


def alone(engine: DiffusionEngine, scene: Scene) -> U8:
    row = engine.begin(scene)
    while not row.done:
        engine.step([row])
    return engine.decode([row])[0].pixels


async def together(engine: DiffusionEngine, scenes: Sequence[Scene]) -> tuple[list[U8 | BaseException], list[int]]:
    """Everything that came of the scenes, AT_ONCE on their way; every ninth is cancelled after its first step."""
    room, shared = asyncio.Semaphore(AT_ONCE), []
    batcher = RenderBatcher(engine, max_rows=MAX_ROWS)
    step = engine.step

    def counted(rows: Sequence[Denoising], max_rows: int) -> None:
        shared.append(len(rows))
        step(rows, max_rows)

    async def one(index: int, scene: Scene) -> U8:
        async with room:
            stepped = asyncio.Event()
            work = asyncio.create_task(batcher.render(scene, lambda *_: stepped.set(), interactive=index % 3 > 0))
            if index % 9 == 8:
                await asyncio.wait([work, asyncio.create_task(stepped.wait())], return_when=asyncio.FIRST_COMPLETED)
                work.cancel()
            return (await work).render.pixels

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "step", counted)
        found = await asyncio.gather(*(one(*each) for each in enumerate(scenes)), return_exceptions=True)
    batcher.close()
    return list(found), shared


async def check(engine: DiffusionEngine, pack: Pack, count: int, max_steps: int) -> None:
    scenes = mixed(pack, count, max_steps)
    for seed in (NOT_NUMBERS, REFUSED):  # in the midst of the others
        brief = Brief("on wood", seed=seed, steps=5 if seed == NOT_NUMBERS else 10**6)
        scenes[count // 2 + seed % 2] = Scene(scenes[0].product, scenes[0].inpaint_mask, scenes[0].edge_map, brief)
    found, shared = await together(engine, scenes)
    assert sum(shared) > 1.5 * len(shared), "most steps are shared"
    checked = 0
    for index, (scene, made) in enumerate(zip(scenes, found, strict=True)):
        if scene.brief.seed in (NOT_NUMBERS, REFUSED):
            assert isinstance(made, EngineFailed if scene.brief.seed == NOT_NUMBERS else BadInput)
        elif index % 9 == 8 and isinstance(made, asyncio.CancelledError):
            continue
        else:
            assert isinstance(made, np.ndarray), made
            assert np.abs(made.astype(int) - alone(engine, scene).astype(int)).max() <= BOUND, scene.brief
            checked += 1
    assert checked > 0.8 * count


async def test_mixed_requests_in_company_equal_themselves_alone(tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "tiny")
    pack = Pack(read_manifest(folder / "manifest.yaml"), folder, Settings())
    torch.set_num_threads(1)
    await check(Engine(pack), pack, count=30, max_steps=12)


@pytest.mark.soak
async def test_two_hundred_mixed_requests_of_the_embedded_pack() -> None:
    pack = find_pack("mini", Settings())
    torch.set_num_threads(2)
    await check(Engine(pack, freeze=True), pack, count=200, max_steps=12)


@pytest.mark.soak
def test_memory_is_flat_over_a_thousand_requests() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # what other tests leave behind is not the engine's
        held_mb = fresh.submit(memory_after_each, rounds=4, scenes=250).result()
    assert held_mb[-1] - held_mb[0] < 10, held_mb


class MallInfo(ctypes.Structure):
    """glibc's `struct mallinfo2`, in bytes: `uordblks` are allocated in heaps, and `hblkhd` in own mappings."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = tuple((name, ctypes.c_size_t) for name in _names.split())


def allocated_mb() -> float:
    """MB that malloc has given out and not got back; tensors on the CPU are among them."""
    libc = ctypes.CDLL("libc.so.6")
    libc.mallinfo2.restype = MallInfo
    info = libc.mallinfo2()
    return float(info.uordblks + info.hblkhd) / 1e6


def test_allocated_memory_counts_a_tensor_until_it_is_freed() -> None:
    before = allocated_mb()
    tensor = torch.zeros(5_000_000)
    assert allocated_mb() - before == pytest.approx(20, abs=1)
    del tensor
    assert allocated_mb() - before == pytest.approx(0, abs=1)


def memory_after_each(rounds: int, scenes: int) -> list[float]:
    """MB that are allocated in this process after each round of scenes.

    The process's resident memory is no measure. When a step first has more batch rows than before, the allocator takes
    memory for its temporary tensors, and keeps it for the next such step. On a loaded machine that may happen late.
    """
    pack = find_pack("mini", Settings())
    asked = mixed(pack, scenes, max_steps=2)
    batcher = RenderBatcher(DiffusionEngine(pack, freeze=True), max_rows=8, thread=model_thread(2))

    async def all_rounds() -> list[float]:
        room, held_mb = asyncio.Semaphore(AT_ONCE), []

        async def one(scene: Scene) -> None:
            async with room:
                await batcher.render(scene)

        for _ in range(rounds):
            await asyncio.gather(*(one(scene) for scene in asked))
            held_mb.append(allocated_mb())
        return held_mb

    try:
        return asyncio.run(all_rounds())
    finally:
        batcher.close()
