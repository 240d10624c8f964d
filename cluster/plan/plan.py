"""A capacity plan: the demand that it is for, and what it says of stages, pools and devices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.plan import rates
from cluster.plan.gpu_shares import Need
from cluster.plan.packing import Device
from cluster.profiles import Pool, Profile
from packshot.errors import BadInput
from packshot.models.packs.served import GENERATOR, generator_of

HOUR_S = 3600.0


@dataclass(frozen=True)
class Demand:
    """The demand to plan for.

    A photo is encoded once, decoded `clicks_per_photo` times, and used for 1 / `photos_per_image` images. Words are
    looked for `words_per_photo` times in a photo. `utilisation` is the share of a device's time that the plan may use.
    `engines` maps an engine to its share of the images; the default engine has the rest. Raises BadInput when a value
    is out of range.
    """

    images_per_hour: float
    photos_per_image: float = 1.0
    clicks_per_photo: float = 3.0
    utilisation: float = rates.UTILISATION
    words_per_photo: float = 0.1
    engines: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("images_per_hour", "photos_per_image", "clicks_per_photo", "words_per_photo"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput("bad_usage", f"{name} must be a number ≥ 0, got {value}")
        if not 0 < self.utilisation <= 1:
            raise BadInput("bad_usage", f"utilisation must be over 0 and at most 1, got {self.utilisation}")
        shares = self.engines.values()
        if not (all(0 <= share <= 1 for share in shares) and sum(shares) <= 1 + 1e-9):
            raise BadInput("bad_usage", f"shares of engines must be 0 to 1, and 1 together, got {dict(self.engines)}")

    def of_engine(self, stage: str) -> float:
        """The share of the images that a generator's deployment paints."""
        named = {generator_of(engine): share for engine, share in self.engines.items()}
        return named.get(stage, 0.0) if stage != GENERATOR else max(0.0, 1 - sum(named.values()))

    @property
    def per_second(self) -> float:
        return self.images_per_hour / HOUR_S


@dataclass(frozen=True)
class StagePlan:
    """The plan of one deployment.

    `seconds` is the work for one image, in seconds of a GPU or a CPU. `busy` is how many GPUs or CPUs all replicas
    together keep busy. `need` and `gpu_share` are None for stages without a GPU.
    """

    stage: str
    pool: str
    replicas: int
    seconds: float
    busy: float
    need: Need | None = None
    gpu_share: float | None = None


@dataclass(frozen=True)
class PoolPlan:
    """The plan of one pool.

    `devices` lists the replicas on each device. `sure` is the number of devices that is enough for Ray in every order
    in which replicas start.
    """

    name: str
    pool: Pool
    nodes: int
    devices: tuple[Device, ...] = ()
    sure: int = 0

    @property
    def gpus(self) -> int:
        """The devices of all nodes, which are paid for even when they are empty."""
        return self.nodes * self.pool.gpus


@dataclass(frozen=True)
class Plan:
    """A profile's plan for a demand. `at_most` is how many images per hour the profile could make at its maximum."""

    profile: Profile
    pack: str
    """The pack of the default engine."""
    demand: Demand
    steps: int
    stages: tuple[StagePlan, ...]
    pools: tuple[PoolPlan, ...]
    at_most: float

    @property
    def gpus(self) -> Mapping[str, int]:
        """The devices that are paid for, by kind of GPU."""
        found: dict[str, int] = {}
        for pool in self.pools:
            if pool.pool.gpu and pool.gpus:
                found[pool.pool.gpu] = found.get(pool.pool.gpu, 0) + pool.gpus
        return found

    @property
    def gpu_hours_per_1000_images(self) -> float:
        images = self.demand.images_per_hour
        return sum(self.gpus.values()) * 1000 / images if images else 0.0

    def stage(self, name: str) -> StagePlan:
        return next(stage for stage in self.stages if stage.stage == name)

    def device_sums(self, device: Device) -> tuple[float, float, float]:
        """The sums (share, GiB, busy) over the replicas on a device."""
        share = gib = busy = 0.0
        for name, count in device.items():
            stage = self.stage(name)
            assert stage.need is not None, "only GPU stages are on devices"
            share += count * (stage.gpu_share or 0.0)
            gib += count * stage.need.total_gib
            busy += count * stage.busy / stage.replicas
        return share, gib, busy

    def cost_per_hour(self, prices: Mapping[str, float]) -> float:
        """The cost of the plan's GPUs for one hour.

        `prices` maps a kind of GPU to its price per hour; the key `""` is for all other kinds. Raises BadInput when a
        kind has no price.
        """
        missing = [gpu for gpu in self.gpus if gpu not in prices and "" not in prices]
        if missing:
            raise BadInput(
                "bad_usage", f"every kind of GPU must have a price, {', '.join(missing)} have none; add KIND=PRICE"
            )
        return sum(count * prices.get(gpu, prices.get("", 0.0)) for gpu, count in self.gpus.items())

    def as_json(self, prices: Mapping[str, float] | None = None) -> dict[str, Any]:
        """The whole plan as JSON values. `prices` adds the costs."""
        described: dict[str, Any] = {
            "profile": self.profile.name,
            "pack": self.pack,
            "images_per_hour": self.demand.images_per_hour,
            "at_most_images_per_hour": math.floor(self.at_most),
            "steps": self.steps,
            "photos_per_image": self.demand.photos_per_image,
            "clicks_per_photo": self.demand.clicks_per_photo,
            "words_per_photo": self.demand.words_per_photo,
            "utilisation": self.demand.utilisation,
            "source": "estimate",
            "stages": {stage.stage: _stage_json(stage) for stage in self.stages},
            "pools": {pool.name: self._pool_json(pool) for pool in self.pools},
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

    def _pool_json(self, pool: PoolPlan) -> dict[str, Any]:
        devices = []
        for device in pool.devices:
            share, gib, busy = self.device_sums(device)
            devices.append(
                {"replicas": dict(device), "gpu_share": round(share, 3), "gib": round(gib, 2), "busy": round(busy, 3)}
            )
        described: dict[str, Any] = {"nodes": pool.nodes}
        if pool.pool.gpus:
            described |= {
                "gpu": pool.pool.gpu,
                "gpus": pool.gpus,
                "devices": devices,
                "devices_in_any_order": pool.sure,
            }
        return described


def _stage_json(stage: StagePlan) -> dict[str, Any]:
    described: dict[str, Any] = {
        "pool": stage.pool,
        "replicas": stage.replicas,
        "seconds_per_image": round(stage.seconds, 4),
        "busy": round(stage.busy, 3),
    }
    if stage.need:
        described |= {"gpu_share": stage.gpu_share, "gib": round(stage.need.total_gib, 2), "batch": stage.need.batch}
    return described
