"""Which packs fit which GPUs: the batch rows that each pack's generator may have on cards of 24, 48 and 80 GB.

A pack is planned in several arrangements: its generator alone on the device, and with the other stages of a cluster
beside it; each with the text encoder of a flow-matching engine on the device, or on the CPU. Needs are those of
`cluster.plan.gpu_shares`, and a device is filled to MAX_DEVICE_SHARE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cluster.plan.gpu_shares import Need, need
from cluster.plan.gpus import GPUS, Gpu
from cluster.plan.packing import MAX_DEVICE_SHARE
from packshot.contract.shot_spec import rows_per_step
from packshot.models.footprint.stage_footprint import GpuStage, PackFootprint
from packshot.models.packs.manifest import PackManifest
from packshot.models.packs.served import GENERATOR

__all__ = ["CARDS", "MOST_ROWS", "Arrangement", "Fit", "arrangements", "fit", "memory_rows"]

CARDS: tuple[Gpu, ...] = tuple(GPUS[name] for name in ("L4", "RTX4090", "L40S", "H100"))
"""Two cards of 24 GB, of which CUDA reports 22 and 23.5 GiB, and one of 48 and of 80 GB."""
MOST_ROWS = 64
"""The largest number of rows that is tried: more make a step longer than any request should wait for."""
BESIDE: dict[GpuStage, int] = {"sam_encoder": 1, "mask_decoder": 16, "detector": 1, "understand": 1}
"""The stages of a cluster that need a GPU besides the generator, and their batch on a shared card."""


@dataclass(frozen=True)
class Arrangement:
    """What is on one device: the generator of a pack, and the `beside` of its other stages.

    `text_on_cpu`: the generator's text encoder runs on the CPU.
    """

    manifest: PackManifest
    footprint: PackFootprint
    beside: tuple[Need, ...] = ()
    text_on_cpu: bool = False

    @property
    def fewest_rows(self) -> int:
        """The batch rows of one picture with the pack's own guidance."""
        return rows_per_step(self.manifest.defaults.guidance_scale)

    def generator(self, rows: int) -> Need:
        """The need of the generator with a batch of `rows` rows."""
        footprint = self.footprint.stages["generator"]
        return need(GENERATOR, footprint, rows, self.manifest, text_on_cpu=self.text_on_cpu)

    def total_gib(self, rows: int) -> float:
        """GiB of all replicas on the device."""
        return self.generator(rows).total_gib + sum(one.total_gib for one in self.beside)

    def sentence(self) -> str:
        """The arrangement in words."""
        text = ", text encoder on the CPU" if self.text_on_cpu else ""
        return ("with its other stages" if self.beside else "generator alone") + text


@dataclass(frozen=True)
class Fit:
    """An arrangement on a kind of GPU. `rows` is the generator's largest batch; 0 = not even one picture fits."""

    arrangement: Arrangement
    gpu: Gpu
    rows: int

    def sentence(self) -> str:
        """`6 rows`, or what one picture needs more than the card has."""
        if self.rows:
            more = " or more" if self.rows == MOST_ROWS else ""
            return f"{self.rows} row{'s' if self.rows > 1 else ''}{more}"
        needed_gib = self.arrangement.total_gib(self.arrangement.fewest_rows)
        return f"{needed_gib - MAX_DEVICE_SHARE * self.gpu.memory_gib:.1f} GiB too little"


def arrangements(manifest: PackManifest, footprint: PackFootprint) -> Iterator[Arrangement]:
    """Yield the arrangements of a pack that its engine supports, the smallest last."""
    if GENERATOR not in footprint.stages:
        return
    beside = tuple(
        need(stage, footprint.stages[stage], batch, manifest)
        for stage, batch in BESIDE.items()
        if stage in footprint.stages
    )
    for text_on_cpu in (False, True) if footprint.stages["generator"].text_gib else (False,):
        if beside:
            yield Arrangement(manifest, footprint, beside, text_on_cpu)
        yield Arrangement(manifest, footprint, (), text_on_cpu)


def fit(arrangement: Arrangement, gpu: Gpu) -> Fit:
    """The largest batch with which an arrangement fits a GPU."""
    room_gib = MAX_DEVICE_SHARE * gpu.memory_gib
    tried = range(MOST_ROWS, arrangement.fewest_rows - 1, -1)
    return Fit(arrangement, gpu, next((rows for rows in tried if arrangement.total_gib(rows) <= room_gib), 0))


def memory_rows(packs: Sequence[tuple[PackManifest, PackFootprint]]) -> Iterator[tuple[str, ...]]:
    """Yield a row of text for each arrangement: pack, arrangement, GiB for one picture, and its batch on each card."""
    for manifest, footprint in packs:
        for one in arrangements(manifest, footprint):
            needed = f"{one.total_gib(one.fewest_rows):.1f} GiB"
            yield manifest.name, one.sentence(), needed, *(fit(one, gpu).sentence() for gpu in CARDS)
