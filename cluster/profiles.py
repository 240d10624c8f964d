"""Profiles: where the application runs, in short typed YAML (`profiles/*.yaml`); unknown keys are refused.

What a profile leaves out keeps the deployment's own default (deployments/*.py). Serve drops unknown keys of its configs
silently, so profiles are our own models, and Serve's are built from them (cluster/render.py). What can be said without
a pack is refused here; whether a pack's models fit their shares, cluster/plan/gpu_shares.py says.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cluster.autoscaling import Pipeline
from cluster.plan.gpus import GPUS, Gpu, GpuName
from cluster.plan.packing import MAX_DEVICE_SHARE
from packshot.errors import BadInput, FieldError
from packshot.models.footprint.pack_footprint import GpuStage

StageName = Literal[
    "gateway", "photo_decoder", "sam_encoder", "mask_decoder", "canny", "generator", "finisher", "director"
]
DEPLOYMENTS: tuple[StageName, ...] = get_args(StageName)
OPTIONAL: tuple[StageName, ...] = ("photo_decoder",)
"""Deployed where a profile names them; elsewhere the gateway does their work."""
GPU_STAGES: tuple[GpuStage, ...] = get_args(GpuStage)
TUNABLES: dict[StageName, tuple[str, ...]] = {
    "sam_encoder": ("max_batch_size",),
    "mask_decoder": ("max_batch_size",),
    "canny": ("low", "high"),
    "generator": ("max_rows",),
}
"""What each deployment's `reconfigure` reads: all of them or none, since Serve replaces a user_config as a whole."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(Strict):
    """An autoscaling range. `target_ongoing`: calls under way that one replica is meant to hold."""

    min: int = Field(1, ge=0)
    max: int = Field(1, ge=1)
    target_ongoing: float | None = Field(None, gt=0)
    upscale_delay_s: float | None = Field(None, ge=0)
    downscale_delay_s: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _range(self) -> Replicas:
        if self.min > self.max:
            raise ValueError(f"replicas.min must be ≤ replicas.max, got {self.min} and {self.max}")
        return self


class Nodes(Strict):
    """How many nodes of a pool there may be."""

    min: int = Field(1, ge=0)
    max: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _range(self) -> Nodes:
        if self.min > self.max:
            raise ValueError(f"nodes.min must be ≤ nodes.max, got {self.min} and {self.max}")
        return self


class Pool(Strict):
    """Like nodes: a worker group on Kubernetes, this machine for `packshot serve`.
    What is said of a node is each one's.

    `memory_gib`: the node's main memory. `gpus`: devices of a node, of the kind `gpu` (cluster/plan/gpus.py).
    """

    nodes: Nodes = Nodes()
    cpus: float = Field(gt=0)
    memory_gib: float = Field(gt=0)
    object_store_mib: int = Field(256, ge=80)
    gpus: int = Field(0, ge=0)
    gpu: GpuName | None = None

    @model_validator(mode="after")
    def _kind_of_gpu(self) -> Pool:
        if bool(self.gpus) != (self.gpu is not None):
            raise ValueError(f"gpus and gpu must be stated together, got gpus={self.gpus} and gpu={self.gpu}")
        return self

    @property
    def device(self) -> Gpu:
        """The kind of its GPUs. Raises BadInput for a pool without any."""
        if self.gpu is None:
            raise BadInput("bad_usage", "a pool must have GPUs to ask for their kind; state gpus and gpu")
        return GPUS[self.gpu]

    @property
    def max_devices(self) -> int:
        return self.nodes.max * self.gpus


class Stage(Strict):
    """One deployment's numbers, for each of its replicas.

    `pool`: where its replicas live; may be left out while there is one pool. `gpu_share`: fraction of one device, CUDA
    context included. `cpus` and `memory_gib` (main memory) are what Ray and Kubernetes set aside.
    """

    pool: str | None = None
    replicas: Replicas | None = None
    cpus: float | None = Field(None, ge=0)
    memory_gib: float | None = Field(None, gt=0)
    gpu_share: float | None = Field(None, gt=0, le=MAX_DEVICE_SHARE)
    max_ongoing: int | None = Field(None, ge=1)
    tunables: dict[str, int] | None = None

    @property
    def range(self) -> Replicas:
        """Its replicas; a deployment's own default is one."""
        return self.replicas or Replicas()


class Profile(Strict):
    """Where the application runs. `threads`: torch threads of a replica, 0 = torch's own choice.

    `autoscaling`: the whole pipeline's policy (cluster/autoscaling.py);
    without it each deployment scales by its own calls.
    """

    name: str
    sentence: str
    device: Literal["cpu", "cuda"]
    pack: str = ""
    threads: dict[Literal["encoder", "decoder", "generator"], int] = Field(default_factory=dict)
    autoscaling: Pipeline | None = None
    pools: dict[str, Pool] = Field(min_length=1)
    stages: dict[StageName, Stage] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        for check in (_places, _tunables, _shares, _room, _awake):
            check(self)
        return self

    def stage(self, name: StageName) -> Stage:
        return self.stages.get(name, Stage())

    @property
    def deployments(self) -> tuple[StageName, ...]:
        """The deployments that it has: all but the optional ones that it does not name."""
        return tuple(name for name in DEPLOYMENTS if name in self.stages or name not in OPTIONAL)

    def pool_of(self, name: StageName) -> str:
        """The pool that holds a deployment's replicas."""
        return self.stage(name).pool or next(iter(self.pools))

    @property
    def machine(self) -> Pool:
        """The one machine of a profile for one. Raises BadInput for others."""
        pool, *others = self.pools.values()
        if others or pool.nodes.max > 1:
            raise BadInput(
                "bad_usage",
                f"one machine must be all that the profile needs, {self.name} has pools {', '.join(self.pools)} "
                f"of up to {max(each.nodes.max for each in self.pools.values())} nodes; "
                f"deploy it with packshot config --profile {self.name}, or take another profile",
            )
        return pool


def _places(profile: Profile) -> None:
    for name, stage in profile.stages.items():
        if stage.pool is not None and stage.pool not in profile.pools:
            raise ValueError(f"stages.{name}.pool must be one of {', '.join(profile.pools)}, got {stage.pool!r}")
    if len(profile.pools) > 1:
        lost = [name for name in profile.deployments if profile.stage(name).pool is None]
        if lost:
            raise ValueError(f"with several pools every deployment must name its own, these do not: {', '.join(lost)}")


def _tunables(profile: Profile) -> None:
    for name, stage in profile.stages.items():
        known = TUNABLES.get(name, ())
        if stage.tunables is not None and set(stage.tunables) != set(known):
            raise ValueError(
                f"tunables of {name} must be {', '.join(known) or 'left out'}, all of them, got "
                f"{sorted(stage.tunables)}"
            )
        if stage.tunables is not None and min(stage.tunables.values()) < 1:
            raise ValueError(f"tunables of {name} must be at least 1, got {stage.tunables}")


def _shares(profile: Profile) -> None:
    shares = {name: stage.gpu_share for name, stage in profile.stages.items() if stage.gpu_share}
    if profile.device == "cpu":
        if shares:
            raise ValueError(f"a cpu profile has no GPU to share, got {shares}; set device: cuda")
        return
    if set(shares) != set(GPU_STAGES):
        raise ValueError(f"exactly {', '.join(GPU_STAGES)} take GPU shares, got {shares}")
    for name in GPU_STAGES:
        if not profile.pools[profile.pool_of(name)].gpus:
            raise ValueError(f"{name} takes a GPU share, so its pool must have GPUs; {profile.pool_of(name)} has none")


def _room(profile: Profile) -> None:
    """What is always there must fit what is at most there;
    the solver of cluster/plan/gpu_shares.py does it device by device."""
    for name, pool in profile.pools.items():
        here = {stage: profile.stage(stage) for stage in profile.deployments if profile.pool_of(stage) == name}
        shares = {stage: one.gpu_share * one.range.max for stage, one in here.items() if one.gpu_share}
        total, room = sum(shares.values()), MAX_DEVICE_SHARE * pool.max_devices
        if total > room + 1e-9:
            raise ValueError(
                f"GPU shares must sum to ≤ {MAX_DEVICE_SHARE} per device, got {total:.3f} on "
                f"{pool.max_devices} device(s) of pool {name} at most replicas: {shares}"
            )
        cpus = sum((one.cpus or 0) * one.range.max for one in here.values())
        if cpus > pool.cpus * pool.nodes.max:
            raise ValueError(
                f"CPUs of all replicas must be ≤ the pool's, got {cpus:g} of {pool.cpus * pool.nodes.max:g} in pool "
                f"{name}"
            )
        memory_gib = sum((one.memory_gib or 0) * one.range.max for one in here.values())
        if memory_gib > pool.memory_gib * pool.nodes.max:
            raise ValueError(
                f"memory of all replicas must be ≤ the pool's, got {memory_gib:g} of "
                f"{pool.memory_gib * pool.nodes.max:g} GiB "
                f"in pool {name}"
            )


def _awake(profile: Profile) -> None:
    if profile.autoscaling:
        needed: dict[StageName, str] = {
            "gateway": "it takes the call that wakes the others",
            "director": "it reports what waits",
        }
        for name, why in needed.items():
            if profile.stage(name).range.min < 1:
                raise ValueError(f"{name} must have replicas.min ≥ 1 under autoscaling, got 0: {why}")


def profile_names() -> list[str]:
    """The profiles that ship."""
    return sorted(Path(file.name).stem for file in _files())


def load_profile(name: str) -> Profile:
    """The profile of that name, or at that path. Raises BadInput with every fault of the file."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise BadInput("bad_usage", f"a profile's path must be a file, got {name!r}")
        text = path.read_text()
    elif name in profile_names():
        text = resources.files("cluster").joinpath("profiles", f"{name}.yaml").read_text()
    else:
        raise BadInput("bad_usage", f"profile must be one of {', '.join(profile_names())} or a YAML file, got {name!r}")
    try:
        return Profile.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        faults: list[FieldError] = [{"loc": list(row["loc"]), "msg": _field_error(row)} for row in error.errors()]
        raise BadInput(
            "bad_usage", f"profile {name}: {'; '.join(map(_field_error, error.errors()))}; mend the file", errors=faults
        ) from error
    except yaml.YAMLError as error:
        raise BadInput("bad_usage", f"profile {name} must be YAML: {error}") from error


def _field_error(row: Any) -> str:
    """One fault: where, the rule, and the value unless the rule tells it."""
    where, rule = ".".join(map(str, row["loc"])), row["msg"].removeprefix("Value error, ")
    if row["type"] == "value_error":
        return f"{where}: {rule}" if where else str(rule)
    return f"{where}: {rule}, got {row['input']!r}"


def _files() -> Iterator[Any]:
    for file in resources.files("cluster").joinpath("profiles").iterdir():
        if file.name.endswith(".yaml"):
            yield file
