"""The capacity plan: images per hour -> replicas of each stage -> devices for them -> GPU-hours.

    demand x seconds of work = busy devices -> replicas (each at most `utilisation` busy)
                                            -> fewest devices, by share and by time

A stage may get more replicas than its work needs when less busy replicas fill the devices better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from cluster.plan import rates
from cluster.plan.gpu_shares import StagePacks, kinds_of, refuse_misfits
from cluster.plan.packing import Device, fewest_devices, sure_devices
from cluster.plan.plan import HOUR_S, Demand, Plan, PoolPlan, StagePlan
from cluster.profiles import Profile
from cluster.stages import TRAINER, kind_of
from packshot.contract.shot_spec import rows_per_step
from packshot.errors import BadInput
from packshot.models.packs.served import GENERATOR

MORE_REPLICAS = 2
"""How many replicas more than needed the planner tries for a stage."""
TRIED_UP_TO = 24
"""The number of replicas up to which it tries more. With many replicas, one more makes no difference."""
DEFAULT_MAX_ONGOING = 6
"""Shots that a director runs at once when the profile does not say (deployments/director.py)."""


def make_plan(profile: Profile, packs: StagePacks, demand: Demand) -> Plan:
    """Plan a profile for a demand.

    Raises BadInput, with the numbers, when the profile has no GPUs, when a pack does not fit its shares, or when the
    profile cannot make that many images.
    """
    if profile.device != "cuda":
        raise BadInput(
            "bad_usage",
            f"a plan needs a profile with GPUs, profile {profile.name} has none; choose one with device: cuda (make "
            "bench measures this machine)",
        )
    strangers = [name for name in demand.engines if name not in profile.engines[1:]]
    if strangers:
        known = ", ".join(profile.engines[1:]) or "none"
        raise BadInput(
            "bad_usage", f"a share must be of an engine besides the default ({known}), got {', '.join(strangers)}"
        )
    needs, manifest = refuse_misfits(profile, packs), packs.manifest(GENERATOR)
    work = _StageSeconds(profile, packs, demand)
    at_most = _at_most(work)
    stages = work.stages(demand.per_second)
    pools = work.pools(stages)
    missing = list(work.shortages(stages, pools))
    if missing:
        raise BadInput(
            "bad_usage",
            f"profile {profile.name} makes at most {math.floor(at_most):,} images per hour, got "
            f"{demand.images_per_hour:,.0f}: "
            f"{'; '.join(missing)}; raise replicas.max and nodes.max, or use a larger GPU",
        )
    by_name = {pool.name: pool for pool in pools}
    stages = [
        replace(stage, need=needs.get(stage.stage), replicas=_placed(by_name[stage.pool].devices, stage))
        for stage in stages
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


def _placed(devices: Sequence[Device], stage: StagePlan) -> int:
    """The stage's replicas on the devices, which may be more than needed."""
    if stage.gpu_share is None:
        return stage.replicas
    return sum(device.get(stage.stage, 0) for device in devices)


class _StageSeconds:
    """The seconds of each stage's work for one image, and the replicas and devices for a rate of images."""

    def __init__(self, profile: Profile, packs: StagePacks, demand: Demand) -> None:
        self._profile = profile
        self._demand = demand
        on_gpu = {
            stage: (profile.pools[profile.pool_of(stage)].device, footprint)
            for stage in profile.gpu_stages
            if (footprint := packs.footprint(stage)) is not None
        }
        encoder, decoder = on_gpu["sam_encoder"], on_gpu["mask_decoder"]
        detector, understand = on_gpu.get("detector"), on_gpu.get("understand")
        references = on_gpu.get("reference_encoder")
        photos, has_photo_decoder = demand.photos_per_image, "photo_decoder" in profile.deployments
        decoding_s = rates.CPU_SECONDS["photo_decoder"]
        self._seconds: dict[str, float] = {
            "gateway": photos * (rates.CPU_SECONDS["gateway"] + (0.0 if has_photo_decoder else decoding_s)),
            "photo_decoder": photos * decoding_s,
            "producer": rates.CPU_SECONDS["producer"],
            "sam_encoder": photos * rates.row_seconds(*encoder),
            "mask_decoder": photos * demand.clicks_per_photo * rates.row_seconds(*decoder),
            "detector": photos
            * demand.words_per_photo
            * (rates.row_seconds(*detector) if detector else rates.CPU_SECONDS["detector"]),
            "understand": photos * (rates.row_seconds(*understand) if understand else rates.CPU_SECONDS["understand"]),
            "reference_encoder": photos
            * (rates.row_seconds(*references) if references else rates.CPU_SECONDS["reference_encoder"]),
            "canny": rates.CPU_SECONDS["canny"],
            "finisher": rates.CPU_SECONDS["finisher"] + photos * rates.CUTOUT_SECONDS,
            "director": rates.CPU_SECONDS["director"],
            TRAINER: 0.0,  # no picture passes through it
        }
        self._scene_s = 0.0
        for stage in profile.generators:
            defaults, share = packs.manifest(stage).defaults, demand.of_engine(stage)
            if (endpoint := packs.manifest(stage).endpoint) is not None:  # a vendor's service paints, on no device
                self._seconds[stage] = share * endpoint.latency_s / endpoint.in_flight
                self._scene_s += share * endpoint.latency_s
                continue
            steps, rows = defaults.steps, rows_per_step(defaults.guidance_scale)
            batch = (profile.stage(stage).tunables or {})["max_rows"]
            self._seconds[stage] = share * rates.scene_seconds(*on_gpu[stage], steps, rows)
            self._scene_s += share * steps * max(batch, rows) * rates.row_seconds(*on_gpu[stage])

    def stages(self, per_second: float) -> list[StagePlan]:
        """The fewest replicas of each stage for `per_second` images per second."""
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

    def _replicas(self, stage: str, busy: float, per_second: float) -> int:
        described = self._profile.stage(stage)
        needed = busy / self._demand.utilisation
        if stage not in self._profile.gpu_stages:
            needed /= min(described.cpus or 1.0, 1.0)  # a Python process uses one CPU, however many are reserved
        if stage == "director":  # it mostly waits, so the number of concurrent shots decides
            needed = max(needed, per_second * self._scene_s / (described.max_ongoing or DEFAULT_MAX_ONGOING))
        least = max(described.range.min, 1 if self._used(stage, per_second) else 0)
        return max(least, math.ceil(needed - 1e-9))

    def _used(self, stage: str, per_second: float) -> bool:
        """Whether any image passes through the stage."""
        return (
            per_second > 0 and stage != TRAINER and (kind_of(stage) != GENERATOR or self._demand.of_engine(stage) > 0)
        )

    def pools(self, stages: list[StagePlan]) -> list[PoolPlan]:
        made = []
        for name, pool in self._profile.pools.items():
            own = [stage for stage in stages if stage.pool == name]
            layout = self._layout(name, [stage for stage in own if stage.gpu_share]) if pool.gpus else []
            replicas = {stage.stage: _placed(layout, stage) for stage in own}
            cpus = sum((self._profile.stage(stage).cpus or 0) * count for stage, count in replicas.items())
            memory = sum((self._profile.stage(stage).memory_gib or 0) * count for stage, count in replicas.items())
            nodes = max(
                pool.nodes.min,
                math.ceil(len(layout) / pool.gpus) if pool.gpus else 0,
                math.ceil(cpus / pool.cpus - 1e-9),
                math.ceil(memory / pool.memory_gib - 1e-9),
            )
            counts: dict[str, int] = {stage: replicas[stage] for stage in self._profile.gpu_stages if stage in replicas}
            sure = sure_devices(kinds_of(self._profile, name, counts)) if pool.gpus else 0
            made.append(PoolPlan(name, pool, nodes, tuple(layout), sure))
        return made

    def _layout(self, pool: str, stages: list[StagePlan]) -> list[Device]:
        """The packing with the fewest devices and, among those, the fewest replicas."""
        best: list[Device] | None = None
        for counts in _counts(self._profile, stages):
            kinds = [
                replace(kind, busy=stage.busy / kind.count if kind.count else 0.0)
                for kind, stage in zip(kinds_of(self._profile, pool, counts), stages, strict=True)
            ]
            found = fewest_devices(kinds, self._demand.utilisation)
            if best is None or len(found) < len(best):
                best = found
        return best or []

    def shortages(self, stages: list[StagePlan], pools: list[PoolPlan]) -> Iterator[str]:
        """Yield a sentence for each limit of the profile that the plan exceeds."""
        for stage in stages:
            maximum = self._profile.stage(stage.stage).range.max
            if stage.replicas > maximum:
                yield f"{stage.stage} needs {stage.replicas} replicas, replicas.max is {maximum}"
        for pool in pools:
            if pool.nodes > pool.pool.nodes.max:
                devices = f" ({len(pool.devices)} devices)" if pool.devices else ""
                yield f"pool {pool.name} needs {pool.nodes} nodes{devices}, nodes.max is {pool.pool.nodes.max}"

    def enough(self, per_second: float) -> bool:
        stages = self.stages(per_second)
        return not any(self.shortages(stages, [])) and not any(self.shortages([], self.pools(stages)))


def _counts(profile: Profile, stages: list[StagePlan]) -> Iterator[dict[str, int]]:
    """Yield numbers of replicas to try, fewest first: the needed ones, and a few more where the profile allows it."""
    ranges = []
    for stage in stages:
        maximum = profile.stage(stage.stage).range.max
        more = MORE_REPLICAS if 0 < stage.replicas <= TRIED_UP_TO else 0
        ranges.append(range(stage.replicas, max(stage.replicas, min(stage.replicas + more, maximum)) + 1))
    for counts in sorted(product(*ranges), key=sum):
        yield {stage.stage: count for stage, count in zip(stages, counts, strict=True)}


def _at_most(work: _StageSeconds) -> float:
    """The images per hour that the profile could make at its maximum, to one thousandth."""
    if not work.enough(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while work.enough(high):
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if work.enough(middle) else (low, middle)
    return low * HOUR_S
