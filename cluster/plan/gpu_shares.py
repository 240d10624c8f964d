"""The GPU memory that each stage's replica needs, and the check that a profile's shares are sufficient.

    replica = max(weights + activations at its batch x 1.1 + workspaces, weights while they load) + CUDA context
    share   = replica / device, rounded up; sums of shares and of memory stay ≤ 0.95 on every device

Weights and activations are computed from the pack's manifest (packshot/models/footprint/pack_footprint.py). A measured
value in the manifest (`memory_gib`) replaces the computed one when it is larger. The share is Ray's `num_gpus` and also
the limit of the replica's allocator (deployments/ray_support/gpu.py), so a stage that needs more than its share fails
without affecting the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cluster.plan.packing import MAX_DEVICE_SHARE, Kind, fewest_devices, overfull
from cluster.profiles import Pool, Profile
from cluster.stages import GPU_STAGES, TRAINER, kind_of
from packshot.errors import BadInput
from packshot.models.device import CUDA_CONTEXT_GIB
from packshot.models.footprint.pack_footprint import Footprint, GpuStage, PackFootprint, find_footprint
from packshot.models.packs.manifest import PackManifest
from packshot.models.packs.pack import GIB, Pack, find_pack
from packshot.models.packs.roles import ADAPTED_RECIPES, RoleName
from packshot.models.packs.served import GENERATOR, detector_pack, pack_with
from packshot.settings import Settings

FRAGMENTATION = 1.1
"""Memory that PyTorch's caching allocator holds for activations / their bytes. An assumption, not yet measured."""
WORKSPACE_GIB = 0.25
"""The workspaces of cuBLAS and cuDNN in one process. An assumption, not yet measured."""
SHARE_STEP = 0.01
BATCH_KEY: dict[GpuStage, str] = {
    "sam_encoder": "max_batch_size",
    "mask_decoder": "max_batch_size",
    "detector": "max_batch_size",
    "understand": "max_batch_size",
    "reference_encoder": "max_batch_size",
    "generator": "max_rows",
}
ROLES_OF: dict[GpuStage, tuple[RoleName, ...]] = {
    "sam_encoder": ("segmenter",),
    "mask_decoder": ("segmenter",),
    "detector": ("detector",),
    "understand": ("geometry",),
    "reference_encoder": ("image_encoder",),
    "generator": ("text_encoder", "vae", "unet", "controlnet"),
}
SCENES_A_ROW = 2
"""Scenes that a generator holds at once / its batch rows (`RenderBatcher.max_begun`)."""


@dataclass(frozen=True)
class StagePacks:
    """The packs of a profile: that of each deployment in `own`, and the `segmenter`'s for the other deployments."""

    segmenter: tuple[PackManifest, PackFootprint]
    own: Mapping[str, tuple[PackManifest, PackFootprint]]

    @classmethod
    def of_one(cls, manifest: PackManifest, footprint: PackFootprint) -> StagePacks:
        """A single pack, which has every role."""
        return cls((manifest, footprint), {GENERATOR: (manifest, footprint)})

    def manifest(self, stage: str) -> PackManifest:
        """The manifest of the pack that a deployment loads."""
        return self.own.get(stage, self.segmenter)[0]

    def footprint(self, stage: str) -> Footprint | None:
        """The footprint of a deployment's replica; None when its pack has no network for it.

        A trainer has none either: its needs depend on what it trains.
        """
        if stage == TRAINER:
            return None
        return self.own.get(stage, self.segmenter)[1].stages.get(gpu_kind(stage))


def gpu_kind(stage: str) -> GpuStage:
    """What a deployment with a share of a GPU does. Raises ValueError for one that never has a share."""
    kind = kind_of(stage)
    for name in GPU_STAGES:
        if name == kind:
            return name
    raise ValueError(f"a stage with gpu_share must be one of {', '.join(GPU_STAGES)}, got {stage}")


@dataclass(frozen=True)
class Need:
    """The memory of one replica in GiB. `batch` is the number of rows in its largest call.

    `loading_gib` is the peak while the weights load. `stated_gib` is the measured value of the pack's manifest; 0 =
    none. `adapters_gib` is what a generator may keep of adapters (setting `adapter_cache_bytes`).
    """

    stage: str
    batch: int
    weights_gib: float
    activations_gib: float
    loading_gib: float
    stated_gib: float = 0.0
    context_gib: float = CUDA_CONTEXT_GIB
    adapters_gib: float = 0.0

    @property
    def total_gib(self) -> float:
        running = self.weights_gib + self.activations_gib * FRAGMENTATION + WORKSPACE_GIB
        return max(running, self.loading_gib, self.stated_gib) + self.adapters_gib + self.context_gib

    def share(self, device_gib: float) -> float:
        """The smallest sufficient share of a device of `device_gib`, rounded up to SHARE_STEP."""
        return math.ceil(self.total_gib / device_gib / SHARE_STEP - 1e-9) * SHARE_STEP

    def sentence(self) -> str:
        return (
            f"{self.total_gib:.2f} GiB (weights {self.weights_gib:.2f}, activations {self.activations_gib:.2f} "
            f"x {FRAGMENTATION}, workspaces {WORKSPACE_GIB}, adapters {self.adapters_gib:.2f}, "
            f"CUDA context {self.context_gib})"
        )


def need(
    stage: str, footprint: Footprint, batch: int, manifest: PackManifest, *, text_on_cpu: bool | None = None
) -> Need:
    """Compute the memory of a replica whose largest call has `batch` rows.

    `text_on_cpu`: whether the text encoder of a flow-matching engine runs on the CPU; None = as the settings say.
    """
    if text_on_cpu is None:
        text_on_cpu = Settings().text_encoder_device == "cpu"
    elsewhere_gib = footprint.text_gib if text_on_cpu else 0.0
    kind = gpu_kind(stage)
    adapted = kind == GENERATOR and manifest.recipe in ADAPTED_RECIPES
    scenes = SCENES_A_ROW * batch if kind == GENERATOR else 0
    return Need(
        stage=stage,
        batch=batch,
        weights_gib=footprint.weights_gib - elsewhere_gib,
        activations_gib=footprint.activations_gib(batch, scenes),
        loading_gib=footprint.loading_gib - elsewhere_gib,
        stated_gib=sum(manifest.memory_gib.get(role, 0.0) for role in ROLES_OF[kind]),
        adapters_gib=Settings().adapter_cache_bytes / GIB if adapted else 0.0,
    )


def footprint_of(pack: Pack, settings: Settings) -> PackFootprint:
    """The pack's footprint in the dtype that its replicas use on a GPU (packshot/models/device.py)."""
    return find_footprint(pack, "fp32" if settings.dtype == "fp32" else "bf16")


def packs_of(profile: Profile, settings: Settings) -> StagePacks:
    """Find the packs of a profile and compute their footprints. Raises PackRefused when one is unknown."""
    served = profile.served(settings)
    found = {}
    for name in {*served.engines, served.segmenter}:
        pack = find_pack(name, settings)
        found[name] = pack.manifest, footprint_of(pack, settings)
    own = {stage: found[name] for name, stage in served.generators.items()}
    own["understand"] = found[pack_with("geometry", served, settings).name]
    own["detector"] = found[detector_pack(served, settings).name]
    return StagePacks(found[served.segmenter], own)


def check_profile(profile: Profile, settings: Settings, device_gib: float | None = None) -> dict[str, Need]:
    """Check that the profile's packs fit its GPUs, and return what each GPU stage needs. Empty for a CPU profile.

    `device_gib` is the devices' actual memory, when it is known. Raises PackRefused when a pack is unknown or cannot
    render, and BadInput as `refuse_misfits` does.
    """
    if profile.device != "cuda":
        return {}
    return refuse_misfits(profile, packs_of(profile, settings), device_gib)


def needs(profile: Profile, packs: StagePacks) -> dict[str, Need]:
    """Compute what each GPU stage of a profile needs. Raises BadInput when a stage does not state its batch.

    A stage for which the pack has no network needs nothing.
    """
    return {
        stage: need(stage, footprint, _batch(profile, stage), packs.manifest(stage))
        for stage in profile.gpu_stages
        if (footprint := packs.footprint(stage)) is not None
    }


def _batch(profile: Profile, stage: str) -> int:
    tunables, key = profile.stage(stage).tunables, BATCH_KEY[gpu_kind(stage)]
    if tunables is None:
        raise BadInput(
            "bad_usage",
            f"a stage with a GPU share must state its batch, got none; set stages.{stage}.tunables.{key} in profile "
            f"{profile.name}",
        )
    return tunables[key]


def refuse_misfits(profile: Profile, packs: StagePacks, device_gib: float | None = None) -> dict[str, Need]:
    """Check a profile against its packs' footprints, and return what each GPU stage needs.

    `device_gib` is the devices' actual memory, when it is known. Raises BadInput, with the numbers, when a replica
    needs more than its share or than a device has, when Ray may put shares on one device that sum to more than the
    limit, or when a pool's devices cannot hold `replicas.max` of its stages.
    """
    found = needs(profile, packs)
    for stage, needed in found.items():
        footprint = packs.footprint(stage)
        assert footprint is not None, "a need is that of a footprint"
        pool = profile.pools[profile.pool_of(stage)]
        device = device_gib or pool.device.memory_gib
        _refuse_small_share(profile, packs.manifest(stage), needed, device, footprint)
    for name, pool in profile.pools.items():
        if pool.gpus:
            _refuse_crowded_pool(profile, name, pool, kinds_of(profile, name))
    return found


def _refuse_small_share(
    profile: Profile, manifest: PackManifest, needed: Need, device_gib: float, footprint: Footprint
) -> None:
    stage, batch = needed.stage, needed.batch
    share = profile.stage(stage).gpu_share or 0.0
    if needed.total_gib <= share * device_gib:
        return
    key = f"stages.{stage}.tunables.{BATCH_KEY[gpu_kind(stage)]}"
    fits = max(
        (rows for rows in range(1, batch) if need(stage, footprint, rows, manifest).total_gib <= share * device_gib),
        default=0,
    )
    smaller = f", or lower {key} to {fits}" if fits else ""
    replica = f"{stage} of pack {manifest.name} with {key} {batch} needs {needed.sentence()}"
    if needed.total_gib > MAX_DEVICE_SHARE * device_gib:
        raise BadInput(
            "bad_usage",
            f"a replica must fit {MAX_DEVICE_SHARE} of a device: {replica}, {MAX_DEVICE_SHARE} of {device_gib:.4g} GiB "
            f"is {MAX_DEVICE_SHARE * device_gib:.2f}; use a larger GPU{smaller}",
        )
    raise BadInput(
        "bad_usage",
        f"a replica must fit its share: {replica}, gpu_share {share:g} of {device_gib:.4g} GiB is "
        f"{share * device_gib:.2f}; raise gpu_share to {needed.share(device_gib):.2f}{smaller}",
    )


def kinds_of(profile: Profile, pool: str, counts: Mapping[str, int] | None = None) -> list[Kind]:
    """The GPU replicas of a pool, for the packing. `counts` gives replicas by stage; None uses `replicas.max`."""
    return [
        Kind(
            stage,
            counts[stage] if counts is not None else profile.stage(stage).range.max,
            profile.stage(stage).gpu_share or 0.0,
        )
        for stage in profile.gpu_stages
        if profile.pool_of(stage) == pool
    ]


def _refuse_crowded_pool(profile: Profile, name: str, pool: Pool, kinds: list[Kind]) -> None:
    crowd = overfull(kinds)
    if crowd:
        shares = {kind.name: kind.share for kind in kinds}
        total = sum(count * shares[stage] for stage, count in crowd.items())
        described = " + ".join(f"{count} x {stage} {shares[stage]:g}" for stage, count in crowd.items())
        raise BadInput(
            "bad_usage",
            f"shares that Ray may put on one device must not sum to between {MAX_DEVICE_SHARE} and 1: "
            f"{described} = {total:.2f} in pool {name}; raise one of them until the sum exceeds 1, or lower it",
        )
    devices = len(fewest_devices(kinds))
    if devices > pool.max_devices:
        described = ", ".join(f"{kind.count} x {kind.name} {kind.share:g}" for kind in kinds)
        raise BadInput(
            "bad_usage",
            f"a pool must hold replicas.max of its stages: {described} need {devices} devices, pool {name} has at most "
            f"{pool.max_devices}; lower replicas.max, or raise nodes.max",
        )
