"""Capacity on paper: images an hour -> replicas of each stage -> the devices that hold them -> GPU-hours.

    demand x seconds of work = busy devices -> replicas (each at most `utilisation` busy)
                                            -> fewest devices, by share and by time

A stage may get more replicas than its work needs where the smaller pieces fill the devices better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from cluster.plan import rates
from cluster.plan.gpu_shares import Need, kinds_of, refuse_misfits
from cluster.plan.packing import Device, fewest_devices, sure_devices
from cluster.profiles import GPU_STAGES, Pool, Profile, StageName
from packshot.contract.shot_spec import rows_per_step
from packshot.errors import BadInput
from packshot.models.footprint.pack_footprint import PackFootprint
from packshot.models.packs.manifest import PackManifest

HOUR_S = 3600.0
MORE_REPLICAS = 2
"""How many more replicas than needed a stage is tried with."""
TRIED_UP_TO = 24
"""Replicas of a stage up to which that is tried; one of many more makes no difference."""
DEFAULT_MAX_ONGOING = 6
"""Shots that a director drives at once where the profile says nothing (deployments/director.py)."""


@dataclass(frozen=True)
class Demand:
    """What is asked for. A photo is encoded once, `clicks_per_photo` times decoded,
    and used for 1 / `photos_per_image` images."""

    images_per_hour: float
    photos_per_image: float = 1.0
    clicks_per_photo: float = 3.0
    utilisation: float = rates.UTILISATION

    def __post_init__(self) -> None:
        for name in ("images_per_hour", "photos_per_image", "clicks_per_photo"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput("bad_usage", f"{name} must be a number ≥ 0, got {value}")
        if not 0 < self.utilisation <= 1:
            raise BadInput("bad_usage", f"utilisation must be over 0 and at most 1, got {self.utilisation}")

    @property
    def per_second(self) -> float:
        return self.images_per_hour / HOUR_S


@dataclass(frozen=True)
class StagePlan:
    """One deployment. `seconds`: work for one image, of a GPU or of a processor. `busy`: devices' (or processors')
    worth of work, all replicas together. `need`: None for stages without a GPU."""

    stage: StageName
    pool: str
    replicas: int
    seconds: float
    busy: float
    need: Need | None = None
    gpu_share: float | None = None


@dataclass(frozen=True)
class PoolPlan:
    """One pool. `devices`: what sits on each; `sure`: devices on which Ray finds room in whatever order replicas
    start."""

    name: str
    pool: Pool
    nodes: int
    devices: tuple[Device, ...] = ()
    sure: int = 0

    @property
    def gpus(self) -> int:
        """Devices that are paid for: whole nodes."""
        return self.nodes * self.pool.gpus


@dataclass(frozen=True)
class Plan:
    """What a profile does for a demand. `at_most`: images an hour that the whole profile could make."""

    profile: Profile
    pack: str
    demand: Demand
    steps: int
    stages: tuple[StagePlan, ...]
    pools: tuple[PoolPlan, ...]
    at_most: float

    @property
    def gpus(self) -> Mapping[str, int]:
        """Kind of GPU to devices that are paid for."""
        found: dict[str, int] = {}
        for one in self.pools:
            if one.pool.gpu and one.gpus:
                found[one.pool.gpu] = found.get(one.pool.gpu, 0) + one.gpus
        return found

    @property
    def gpu_hours_per_1000_images(self) -> float:
        images = self.demand.images_per_hour
        return sum(self.gpus.values()) * 1000 / images if images else 0.0

    def stage(self, name: str) -> StagePlan:
        return next(one for one in self.stages if one.stage == name)

    def device_sums(self, device: Device) -> tuple[float, float, float]:
        """(share, GiB, busy) of a device: sums over its replicas."""
        share = gib = busy = 0.0
        for name, count in device.items():
            one = self.stage(name)
            assert one.need is not None, "only GPU stages sit on devices"
            share += count * (one.gpu_share or 0.0)
            gib += count * one.need.total_gib
            busy += count * one.busy / one.replicas
        return share, gib, busy

    def cost_per_hour(self, prices: Mapping[str, float]) -> float:
        """`prices`: kind of GPU to the price of an hour of one; `""` is for kinds without a price of their own."""
        missing = [gpu for gpu in self.gpus if gpu not in prices and "" not in prices]
        if missing:
            raise BadInput(
                "bad_usage", f"every kind of GPU must have a price, {', '.join(missing)} have none; add KIND=PRICE"
            )
        return sum(count * prices.get(gpu, prices.get("", 0.0)) for gpu, count in self.gpus.items())

    def as_json(self, prices: Mapping[str, float] | None = None) -> dict[str, Any]:
        """Everything, in plain values."""
        described: dict[str, Any] = {
            "profile": self.profile.name,
            "pack": self.pack,
            "images_per_hour": self.demand.images_per_hour,
            "at_most_images_per_hour": math.floor(self.at_most),
            "steps": self.steps,
            "photos_per_image": self.demand.photos_per_image,
            "clicks_per_photo": self.demand.clicks_per_photo,
            "utilisation": self.demand.utilisation,
            "source": "estimate",
            "stages": {one.stage: _stage_json(one) for one in self.stages},
            "pools": {one.name: self._pool_json(one) for one in self.pools},
            "gpus": dict(self.gpus),
            "gpu_hours_per_hour": sum(self.gpus.values()),
            "gpu_hours_per_1000_images": round(self.gpu_hours_per_1000_images, 3),
        }
        if prices:
            per_hour = self.cost_per_hour(prices)
            images = self.demand.images_per_hour
            described["cost_per_hour"] = round(per_hour, 2)
            described["cost_per_1000_images"] = round(per_hour * 1000 / images, 2) if images else None
        return described

    def _pool_json(self, one: PoolPlan) -> dict[str, Any]:
        devices = []
        for device in one.devices:
            share, gib, busy = self.device_sums(device)
            devices.append(
                {"replicas": dict(device), "gpu_share": round(share, 3), "gib": round(gib, 2), "busy": round(busy, 3)}
            )
        described: dict[str, Any] = {"nodes": one.nodes}
        if one.pool.gpus:
            described |= {
                "gpu": one.pool.gpu,
                "gpus": one.gpus,
                "devices": devices,
                "devices_in_any_order": one.sure,
            }
        return described


def _stage_json(one: StagePlan) -> dict[str, Any]:
    described: dict[str, Any] = {
        "pool": one.pool,
        "replicas": one.replicas,
        "seconds_per_image": round(one.seconds, 4),
        "busy": round(one.busy, 3),
    }
    if one.need:
        described |= {"gpu_share": one.gpu_share, "gib": round(one.need.total_gib, 2), "batch": one.need.batch}
    return described


def make_plan(profile: Profile, manifest: PackManifest, footprint: PackFootprint, demand: Demand) -> Plan:
    """Raises BadInput, with the numbers, for a profile that does not hold or cannot make so many images."""
    if profile.device != "cuda":
        raise BadInput(
            "bad_usage",
            f"a plan is for GPUs: profile {profile.name} has none; take one with device: cuda (make bench measures "
            "this machine)",
        )
    needs: Mapping[str, Need] = {need.stage: need for need in refuse_misfits(profile, footprint, manifest).values()}
    work = _StageSeconds(profile, manifest, footprint, demand)
    at_most = _at_most(work)
    stages = work.stages(demand.per_second)
    pools = work.pools(stages)
    missing = list(work.lacks(stages, pools))
    if missing:
        raise BadInput(
            "bad_usage",
            f"profile {profile.name} makes at most {math.floor(at_most):,} images an hour, got "
            f"{demand.images_per_hour:,.0f}: "
            f"{'; '.join(missing)}; raise replicas.max and nodes.max, or take a larger GPU",
        )
    by_name = {one.name: one for one in pools}
    stages = [
        replace(one, need=needs.get(one.stage), replicas=_placed(by_name[one.pool].devices, one)) for one in stages
    ]
    return Plan(
        profile,
        manifest.name,
        demand,
        manifest.defaults.steps,
        tuple(stages),
        tuple(pools),
        max(at_most, demand.images_per_hour),
    )


def _placed(devices: Sequence[Device], one: StagePlan) -> int:
    """Replicas as laid out: maybe more than needed."""
    if one.stage not in GPU_STAGES:
        return one.replicas
    return sum(device.get(one.stage, 0) for device in devices)


class _StageSeconds:
    """Seconds of each stage's work for one image, and what a rate of images makes of them."""

    def __init__(self, profile: Profile, manifest: PackManifest, footprint: PackFootprint, demand: Demand) -> None:
        self._profile = profile
        self._demand = demand
        steps, rows = manifest.defaults.steps, rows_per_step(manifest.defaults.guidance_scale)
        encoder, decoder, generator = (
            (profile.pools[profile.pool_of(stage)].device, footprint.stages[stage]) for stage in GPU_STAGES
        )
        photos, apart = demand.photos_per_image, "photo_decoder" in profile.deployments
        self._seconds: dict[StageName, float] = {
            "gateway": photos * (rates.CPU_SECONDS["gateway"] + (0.0 if apart else rates.CPU_SECONDS["photo_decoder"])),
            "photo_decoder": photos * rates.CPU_SECONDS["photo_decoder"],
            "sam_encoder": photos * rates.row_seconds(*encoder),
            "mask_decoder": photos * demand.clicks_per_photo * rates.row_seconds(*decoder),
            "canny": rates.CPU_SECONDS["canny"],
            "generator": rates.scene_seconds(*generator, steps, rows),
            "finisher": rates.CPU_SECONDS["finisher"],
            "director": rates.CPU_SECONDS["director"],
        }
        batch = (profile.stage("generator").tunables or {})["max_rows"]
        self._scene_s = steps * max(batch, rows) * rates.row_seconds(*generator)

    def stages(self, per_second: float) -> list[StagePlan]:
        """The fewest replicas of each stage at so many images a second."""
        made = []
        for stage in self._profile.deployments:
            busy = per_second * self._seconds[stage]
            made.append(
                StagePlan(
                    stage=stage,
                    pool=self._profile.pool_of(stage),
                    replicas=self._replicas(stage, busy, per_second),
                    seconds=self._seconds[stage],
                    busy=busy,
                    gpu_share=self._profile.stage(stage).gpu_share,
                )
            )
        return made

    def _replicas(self, stage: StageName, busy: float, per_second: float) -> int:
        described = self._profile.stage(stage)
        needed = busy / self._demand.utilisation
        if stage not in GPU_STAGES:
            needed /= min(described.cpus or 1.0, 1.0)  # Python keeps one processor busy, however many are set aside
        if stage == "director":  # it waits more than it works: as many as hold the shots that are on their way
            needed = max(needed, per_second * self._scene_s / (described.max_ongoing or DEFAULT_MAX_ONGOING))
        least = max(described.range.min, 1 if per_second else 0)
        return max(least, math.ceil(needed - 1e-9))

    def pools(self, stages: list[StagePlan]) -> list[PoolPlan]:
        made = []
        for name, pool in self._profile.pools.items():
            here = [one for one in stages if one.pool == name]
            layout = self._layout(name, [one for one in here if one.stage in GPU_STAGES]) if pool.gpus else []
            replicas = {one.stage: _placed(layout, one) for one in here}
            cpus = sum((self._profile.stage(stage).cpus or 0) * count for stage, count in replicas.items())
            memory = sum((self._profile.stage(stage).memory_gib or 0) * count for stage, count in replicas.items())
            nodes = max(
                pool.nodes.min,
                math.ceil(len(layout) / pool.gpus) if pool.gpus else 0,
                math.ceil(cpus / pool.cpus - 1e-9),
                math.ceil(memory / pool.memory_gib - 1e-9),
            )
            counts: dict[str, int] = {stage: count for stage, count in replicas.items() if stage in GPU_STAGES}
            sure = sure_devices(kinds_of(self._profile, name, counts)) if pool.gpus else 0
            made.append(PoolPlan(name, pool, nodes, tuple(layout), sure))
        return made

    def _layout(self, pool: str, stages: list[StagePlan]) -> list[Device]:
        """The fewest devices; among those, the fewest replicas."""
        best: list[Device] | None = None
        for counts in _counts(self._profile, stages):
            kinds = [
                replace(kind, busy=one.busy / kind.count if kind.count else 0.0)
                for kind, one in zip(kinds_of(self._profile, pool, counts), stages, strict=True)
            ]
            found = fewest_devices(kinds, self._demand.utilisation)
            if best is None or len(found) < len(best):
                best = found
        return best or []

    def lacks(self, stages: list[StagePlan], pools: list[PoolPlan]) -> Iterator[str]:
        """What the profile has too little of."""
        for one in stages:
            most = self._profile.stage(one.stage).range.max
            if one.replicas > most:
                yield f"{one.stage} needs {one.replicas} replicas, replicas.max is {most}"
        for pool in pools:
            if pool.nodes > pool.pool.nodes.max:
                devices = f" ({len(pool.devices)} devices)" if pool.devices else ""
                yield f"pool {pool.name} needs {pool.nodes} nodes{devices}, nodes.max is {pool.pool.nodes.max}"

    def enough(self, per_second: float) -> bool:
        stages = self.stages(per_second)
        return not any(self.lacks(stages, [])) and not any(self.lacks([], self.pools(stages)))


def _counts(profile: Profile, stages: list[StagePlan]) -> Iterator[dict[str, int]]:
    """Replicas to try, fewest first: what is needed, and a few more where that is allowed and may matter."""
    ranges = []
    for one in stages:
        most = profile.stage(one.stage).range.max
        more = MORE_REPLICAS if 0 < one.replicas <= TRIED_UP_TO else 0
        ranges.append(range(one.replicas, max(one.replicas, min(one.replicas + more, most)) + 1))
    for counts in sorted(product(*ranges), key=sum):
        yield {one.stage: count for one, count in zip(stages, counts, strict=True)}


def _at_most(work: _StageSeconds) -> float:
    """Images an hour that the whole profile could make, to a thousandth."""
    if not work.enough(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while work.enough(high):
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if work.enough(middle) else (low, middle)
    return low * HOUR_S
