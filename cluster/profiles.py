"""Profiles: where the application runs, as short typed YAML (`profiles/*.yaml`). Unknown keys are refused.

A value that a profile omits keeps the deployment's default (deployments/*.py). Serve silently drops unknown keys of its
configs, so profiles are Packshot's own models and Serve's configs are built from them (cluster/render.py). This module
checks what needs no pack; cluster/plan/gpu_shares.py checks whether a pack's models fit their shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cluster.autoscaling import Pipeline
from cluster.plan.gpus import GPUS, PRODUCT_LABEL, Gpu, GpuName
from cluster.plan.packing import MAX_DEVICE_SHARE
from cluster.stages import (
    ALSO_ON_CPU,
    ASLEEP,
    DEPLOYMENTS,
    GPU_STAGES,
    OPTIONAL,
    TRAINER,
    TUNABLES,
    ThreadedRole,
    kind_of,
)
from packshot.errors import BadInput, FieldError
from packshot.models.packs.served import GENERATOR, Served, generator_of, served_packs
from packshot.settings import Settings


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(Strict):
    """An autoscaling range.

    `min` and `max` are numbers of replicas. `target_ongoing` is how many concurrent calls a replica should have. The
    delays are seconds before a change of load changes the number of replicas.
    """

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
    """How many nodes a pool may have."""

    min: int = Field(1, ge=0)
    max: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _range(self) -> Nodes:
        if self.min > self.max:
            raise ValueError(f"nodes.min must be ≤ nodes.max, got {self.min} and {self.max}")
        return self


class Pool(Strict):
    """Nodes of one kind: a worker group on Kubernetes, or this machine for `packshot serve`.

    All other values are for each node: `cpus`, `memory_gib` of main memory, `object_store_mib` of Ray's object store,
    and `gpus` devices of the kind `gpu` (cluster/plan/gpus.py). On Kubernetes a node must have `node_labels`, each
    label with one of the values. Without them a pool with GPUs takes nodes with the product label of its kind of GPU.
    """

    nodes: Nodes = Nodes()
    cpus: float = Field(gt=0)
    memory_gib: float = Field(gt=0)
    object_store_mib: int = Field(256, ge=80)
    gpus: int = Field(0, ge=0)
    gpu: GpuName | None = None
    node_labels: dict[str, tuple[str, ...]] | None = None

    @model_validator(mode="after")
    def _kind_of_gpu(self) -> Pool:
        if bool(self.gpus) != (self.gpu is not None):
            raise ValueError(f"gpus and gpu must be stated together, got gpus={self.gpus} and gpu={self.gpu}")
        for label, values in (self.node_labels or {}).items():
            if not values:
                raise ValueError(f"node_labels.{label} must name the allowed values, got none")
        return self

    @property
    def required_labels(self) -> dict[str, tuple[str, ...]]:
        """The labels that a node of the pool must have, each with its allowed values; empty = any node."""
        if self.node_labels is None and self.gpu is not None:
            return {PRODUCT_LABEL: GPUS[self.gpu].products}
        return self.node_labels or {}

    @property
    def device(self) -> Gpu:
        """The kind of the pool's GPUs. Raises BadInput when the pool has none."""
        if self.gpu is None:
            raise BadInput("bad_usage", "the pool must have GPUs, got none; state gpus and gpu")
        return GPUS[self.gpu]

    @property
    def max_devices(self) -> int:
        return self.nodes.max * self.gpus


class Stage(Strict):
    """The replicas of one deployment.

    `pool` is where they run; it may be omitted when the profile has one pool. The other values are for each replica:
    `cpus` and `memory_gib` (main memory) are reserved by Ray and Kubernetes; `gpu_share` is a fraction of one device's
    memory, CUDA context included; `max_ongoing` limits its concurrent calls.
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
        """The range of replicas. A deployment's default is one replica (`Profile.stage` knows the exceptions)."""
        return self.replicas or Replicas()


class Head(Strict):
    """The head's pod of a profile with several pools: `cpus`, and `memory_gib` of main memory.

    It runs the GCS, the dashboard, Serve's controller and one proxy, and no replicas. In a profile of one pool the head
    is that pool's node.
    """

    cpus: float = Field(2, gt=0)
    memory_gib: float = Field(8, ge=2)


class Profile(Strict):
    """Where the application runs.

    `sentence` describes the profile. `engines` names the packs of the engines, the default first, and `segmenter` the
    pack that finds and cuts products. `pack` is the only engine's. What is left out is as in the settings. `stages` has
    an entry `generator-NAME` for each engine NAME but the default; what it leaves out, except `replicas`, is as in
    `generator`. `threads` is the number of torch threads of a replica; 0 = torch's choice. `autoscaling` is one policy
    for the whole pipeline (cluster/autoscaling.py); without it, each deployment scales by its own calls. `head` is the
    size of the head's pod when there are several pools.
    """

    name: str
    sentence: str
    device: Literal["cpu", "cuda"]
    pack: str = ""
    engines: tuple[str, ...] = ()
    segmenter: str = ""
    threads: dict[ThreadedRole, int] = Field(default_factory=dict)
    autoscaling: Pipeline | None = None
    head: Head | None = None
    pools: dict[str, Pool] = Field(min_length=1)
    stages: dict[str, Stage] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        for check in (
            _check_engines,
            _check_head,
            _check_pools,
            _check_tunables,
            _check_shares,
            _check_sums,
            _check_always_on,
        ):
            check(self)
        return self

    def served(self, settings: Settings) -> Served:
        """The packs that a cluster of this profile serves. Raises BadInput as `served_packs` does."""
        return served_packs(settings, pack=self.pack, engines=self.engines, segmenter=self.segmenter)

    @property
    def packs(self) -> tuple[str, ...]:
        """The packs that the profile names, each once; none where the settings do."""
        return tuple(dict.fromkeys(name for name in (self.pack, *self.engines, self.segmenter) if name))

    def with_packs(self, settings: Settings) -> Profile:
        """The profile with the engines and the segmenter that the settings add."""
        served = self.served(settings)
        named = {"pack": "", "engines": served.engines, "segmenter": served.segmenter}
        return Profile.model_validate(self.model_dump(exclude_unset=True) | named)

    def stage(self, name: str) -> Stage:
        """The stage as the profile and the deployment's own default say."""
        stage = self.stages.get(name, Stage())
        further = name != GENERATOR and kind_of(name) == GENERATOR
        if further:
            as_default = self.stages.get(GENERATOR, Stage()).model_dump(exclude_unset=True, exclude={"replicas"})
            stage = Stage.model_validate(as_default | stage.model_dump(exclude_unset=True))
        if stage.replicas is None and (further or name in ASLEEP):
            return stage.model_copy(update={"replicas": Replicas(min=0)})
        return stage

    @property
    def generators(self) -> tuple[str, ...]:
        """The generators of all engines that the profile names, the default engine's first."""
        return (GENERATOR, *(generator_of(engine) for engine in self.engines[1:]))

    @property
    def deployments(self) -> tuple[str, ...]:
        """The deployments of the profile: all except the optional ones that it does not name."""
        kinds = tuple(name for name in DEPLOYMENTS if name in self.stages or name not in OPTIONAL)
        return tuple(one for name in kinds for one in (self.generators if name == GENERATOR else (name,)))

    @property
    def stated(self) -> dict[str, Stage]:
        """The deployments for which the profile says something, with what it says."""
        further = {name: self.stage(name) for name in self.generators[1:]}
        return {**self.stages, **further}

    @property
    def gpu_stages(self) -> tuple[str, ...]:
        """The deployments that have a share of a GPU."""
        return tuple(name for name in self.deployments if self.stage(name).gpu_share)

    def pool_of(self, name: str) -> str:
        """The pool on which a deployment's replicas run."""
        return self.stage(name).pool or next(iter(self.pools))

    @property
    def machine(self) -> Pool:
        """The machine of a single-machine profile. Raises BadInput when the profile needs several machines."""
        pool, *others = self.pools.values()
        if others or pool.nodes.max > 1:
            raise BadInput(
                "bad_usage",
                f"the profile must need one machine only, {self.name} has pools {', '.join(self.pools)} "
                f"of up to {max(each.nodes.max for each in self.pools.values())} nodes; "
                f"deploy it with packshot config --profile {self.name}, or choose another profile",
            )
        return pool


def _check_engines(profile: Profile) -> None:
    if profile.pack and profile.engines:
        raise ValueError(f"pack and engines exclude each other, got {profile.pack} and {list(profile.engines)}")
    if len(set(profile.engines)) < len(profile.engines):
        raise ValueError(f"engines must differ, got {list(profile.engines)}")
    for name in profile.stages:
        if kind_of(name) == GENERATOR and name not in profile.generators:
            rule = f"stages.{name} must be of an engine of `engines` besides the first"
            raise ValueError(f"{rule}, got {list(profile.engines)}; add the engine, or remove the stage")


def _check_head(profile: Profile) -> None:
    if profile.head and len(profile.pools) == 1:
        raise ValueError("a profile with one pool must not have head, because that pool's node is the head; remove it")


def _check_pools(profile: Profile) -> None:
    for name, stage in profile.stages.items():
        if stage.pool is not None and stage.pool not in profile.pools:
            raise ValueError(f"stages.{name}.pool must be one of {', '.join(profile.pools)}, got {stage.pool!r}")
    if len(profile.pools) > 1:
        unplaced = [name for name in profile.deployments if profile.stage(name).pool is None]
        if unplaced:
            raise ValueError(f"with several pools every deployment must name its pool, got none: {', '.join(unplaced)}")


def _check_tunables(profile: Profile) -> None:
    for name, stage in profile.stages.items():
        known = TUNABLES.get(kind_of(name), ())
        if stage.tunables is not None and set(stage.tunables) != set(known):
            rule = f"all of {', '.join(known)}" if known else "omitted"
            raise ValueError(f"tunables of {name} must be {rule}, got {sorted(stage.tunables)}")
        if stage.tunables is not None and min(stage.tunables.values()) < 1:
            raise ValueError(f"tunables of {name} must be at least 1, got {stage.tunables}")


def _check_shares(profile: Profile) -> None:
    shares = {name: stage.gpu_share for name, stage in profile.stated.items() if stage.gpu_share}
    if profile.device == "cpu":
        if shares:
            raise ValueError(f"a cpu profile must not have gpu_share, got {shares}; set device: cuda")
        return
    must = [name for name in GPU_STAGES if name not in ALSO_ON_CPU]
    if not set(must) <= {kind_of(name) for name in shares} <= {*GPU_STAGES, TRAINER}:
        rule = f"{', '.join(must)} must have gpu_share, {', '.join(ALSO_ON_CPU)} may, and no other stage"
        raise ValueError(f"{rule}, got {shares}")
    for name in profile.gpu_stages:
        if not profile.pools[profile.pool_of(name)].gpus:
            raise ValueError(f"{name} has a gpu_share, so its pool must have GPUs; {profile.pool_of(name)} has none")


def _check_sums(profile: Profile) -> None:
    """The largest number of replicas must fit the largest number of nodes.

    These are sums over a pool; cluster/plan/gpu_shares.py checks each device.
    """
    for name, pool in profile.pools.items():
        stages = {stage: profile.stage(stage) for stage in profile.deployments if profile.pool_of(stage) == name}
        shares = {name: stage.gpu_share * stage.range.max for name, stage in stages.items() if stage.gpu_share}
        total, available = sum(shares.values()), MAX_DEVICE_SHARE * pool.max_devices
        if total > available + 1e-9:
            raise ValueError(
                f"GPU shares must sum to ≤ {MAX_DEVICE_SHARE} per device, got {total:.3f} on "
                f"{pool.max_devices} device(s) of pool {name} at replicas.max: {shares}"
            )
        cpus = sum((stage.cpus or 0) * stage.range.max for stage in stages.values())
        if cpus > pool.cpus * pool.nodes.max:
            raise ValueError(
                f"CPUs of all replicas must be ≤ the pool's, got {cpus:g} of {pool.cpus * pool.nodes.max:g} in pool "
                f"{name}"
            )
        memory_gib = sum((stage.memory_gib or 0) * stage.range.max for stage in stages.values())
        if memory_gib > pool.memory_gib * pool.nodes.max:
            raise ValueError(
                f"memory of all replicas must be ≤ the pool's, got {memory_gib:g} of "
                f"{pool.memory_gib * pool.nodes.max:g} GiB "
                f"in pool {name}"
            )


def _check_always_on(profile: Profile) -> None:
    if profile.autoscaling:
        always_on = {
            "gateway": "it receives the requests for which the others start",
            "director": "it reports the queue's load",
        }
        for name, reason in always_on.items():
            if profile.stage(name).range.min < 1:
                raise ValueError(f"{name} must have replicas.min ≥ 1 under autoscaling, got 0: {reason}")


def profile_names() -> list[str]:
    """The names of the included profiles."""
    return sorted(Path(file.name).stem for file in _files())


def load_profile(name: str) -> Profile:
    """Load the profile called `name`, or the profile in the YAML file at the path `name`.

    Raises BadInput `bad_usage` when there is no such profile or its file is not valid; one error lists all faults.
    """
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
            "bad_usage",
            f"profile {name}: {'; '.join(map(_field_error, error.errors()))}; correct the file",
            errors=faults,
        ) from error
    except yaml.YAMLError as error:
        raise BadInput("bad_usage", f"profile {name} must be YAML: {error}") from error


def _field_error(row: Any) -> str:
    """One fault: its path, the rule, and the value when the rule does not contain it."""
    path, rule = ".".join(map(str, row["loc"])), row["msg"].removeprefix("Value error, ")
    if row["type"] == "value_error":
        return f"{path}: {rule}" if path else str(rule)
    return f"{path}: {rule}, got {row['input']!r}"


def _files() -> Iterator[Any]:
    for file in resources.files("cluster").joinpath("profiles").iterdir():
        if file.name.endswith(".yaml"):
            yield file
