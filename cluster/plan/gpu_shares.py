"""GPU shares that hold: the memory of each stage's replica, and whether a profile's shares are enough of its devices.

    replica = max(weights + activations at its batch x 1.1 + workspaces, weights while they load) + CUDA context
    share   = replica / device, rounded up; sums of shares and of memory stay ≤ 0.95 on every device

Weights and activations are computed from the pack's manifest (packshot/models/footprint/pack_footprint.py); what a
manifest states as measured (`memory_gib`) counts where it is more. The share is Ray's `num_gpus`, and the replica's
allocator is held to it (deployments/ray_support/gpu.py), so a stage that needs more than its plan fails alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cluster.plan.packing import MAX_DEVICE_SHARE, Kind, fewest_devices, overfull
from cluster.profiles import GPU_STAGES, Pool, Profile
from packshot.errors import BadInput
from packshot.models.device import CUDA_CONTEXT_GIB
from packshot.models.footprint.pack_footprint import Footprint, GpuStage, PackFootprint, find_footprint
from packshot.models.packs.manifest import PackManifest, RoleName
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings

FRAGMENTATION = 1.1
"""Activations as PyTorch's caching allocator holds them, over their own bytes: an assumption,
to be measured on a GPU."""
WORKSPACE_GIB = 0.25
"""cuBLAS's and cuDNN's workspaces in one process: an assumption, to be measured on a GPU."""
SHARE_STEP = 0.01
BATCH_KEY: dict[GpuStage, str] = {
    "sam_encoder": "max_batch_size",
    "mask_decoder": "max_batch_size",
    "generator": "max_rows",
}
ROLES_OF: dict[GpuStage, tuple[RoleName, ...]] = {
    "sam_encoder": ("segmenter",),
    "mask_decoder": ("segmenter",),
    "generator": ("text_encoder", "vae", "unet", "controlnet"),
}
SCENES_A_ROW = 2
"""Scenes that a generator holds at once, over its rows (`RenderBatcher.max_begun`)."""


@dataclass(frozen=True)
class Need:
    """Memory of one replica, GiB. `batch`: rows of its largest call."""

    stage: GpuStage
    batch: int
    weights_gib: float
    activations_gib: float
    loading_gib: float
    stated_gib: float = 0.0
    context_gib: float = CUDA_CONTEXT_GIB

    @property
    def total_gib(self) -> float:
        running = self.weights_gib + self.activations_gib * FRAGMENTATION + WORKSPACE_GIB
        return max(running, self.loading_gib, self.stated_gib) + self.context_gib

    def share(self, device_gib: float) -> float:
        """The least share of such a device that is enough, rounded up to SHARE_STEP."""
        return math.ceil(self.total_gib / device_gib / SHARE_STEP - 1e-9) * SHARE_STEP

    def sentence(self) -> str:
        return (
            f"{self.total_gib:.2f} GiB (weights {self.weights_gib:.2f}, activations {self.activations_gib:.2f} "
            f"x {FRAGMENTATION}, workspaces {WORKSPACE_GIB}, CUDA context {self.context_gib})"
        )


def need(stage: GpuStage, footprint: Footprint, batch: int, manifest: PackManifest) -> Need:
    """The memory of a replica whose largest call has `batch` rows."""
    scenes = SCENES_A_ROW * batch if stage == "generator" else 0
    return Need(
        stage=stage,
        batch=batch,
        weights_gib=footprint.weights_gib,
        activations_gib=footprint.activations_gib(batch, scenes),
        loading_gib=footprint.loading_gib,
        stated_gib=sum(manifest.memory_gib.get(role, 0.0) for role in ROLES_OF[stage]),
    )


def footprint_of(pack: Pack, settings: Settings) -> PackFootprint:
    """The pack's footprint in the arithmetic that its replicas take on a GPU (packshot/models/device.py)."""
    return find_footprint(pack, "fp32" if settings.dtype == "fp32" else "bf16")


def check_profile(profile: Profile, settings: Settings, device_gib: float | None = None) -> dict[GpuStage, Need]:
    """The needs of a profile whose pack is known and holds on its GPUs; none without GPUs.

    Raises PackRefused for a pack that is unknown or cannot render, BadInput as `refuse_misfits`.
    """
    if profile.device != "cuda":
        return {}
    pack = find_pack(profile.pack or settings.pack, settings)
    return refuse_misfits(profile, footprint_of(pack, settings), pack.manifest, device_gib)


def needs(profile: Profile, footprint: PackFootprint, manifest: PackManifest) -> dict[GpuStage, Need]:
    """What each GPU stage of a profile needs. Raises BadInput for a stage that leaves its batch open."""
    return {stage: need(stage, footprint.stages[stage], _batch(profile, stage), manifest) for stage in GPU_STAGES}


def _batch(profile: Profile, stage: GpuStage) -> int:
    tunables, key = profile.stage(stage).tunables, BATCH_KEY[stage]
    if tunables is None:
        raise BadInput(
            "bad_usage",
            f"a GPU share is for a batch: stages.{stage}.tunables.{key} must be stated in profile {profile.name}, got "
            "none",
        )
    return tunables[key]


def refuse_misfits(
    profile: Profile, footprint: PackFootprint, manifest: PackManifest, device_gib: float | None = None
) -> dict[GpuStage, Need]:
    """The needs of a profile that holds. `device_gib`: what the devices really have, where that is known.

    Raises BadInput, with the numbers: a replica that needs more than its share, or than any share; shares that Ray
    would put on one device though they sum to more than the limit; more replicas than a pool's devices hold.
    """
    found = needs(profile, footprint, manifest)
    for stage, one in found.items():
        pool = profile.pools[profile.pool_of(stage)]
        _refuse_small_share(profile, manifest, one, device_gib or pool.device.memory_gib, footprint.stages[stage])
    for name, pool in profile.pools.items():
        if pool.gpus:
            _refuse_crowded_pool(profile, name, pool, kinds_of(profile, name))
    return found


def _refuse_small_share(
    profile: Profile, manifest: PackManifest, one: Need, device_gib: float, footprint: Footprint
) -> None:
    share = profile.stage(one.stage).gpu_share or 0.0
    if one.total_gib <= share * device_gib:
        return
    key = f"stages.{one.stage}.tunables.{BATCH_KEY[one.stage]}"
    fits = max(
        (rows for rows in range(one.batch) if rows and _total(one, footprint, manifest, rows) <= share * device_gib),
        default=0,
    )
    smaller = f", or lower {key} to {fits}" if fits else ""
    if one.total_gib > MAX_DEVICE_SHARE * device_gib:
        raise BadInput(
            "bad_usage",
            f"a replica must fit {MAX_DEVICE_SHARE} of a device: {one.stage} of pack {manifest.name} with {key} "
            f"{one.batch} needs "
            f"{one.sentence()}, a device of {device_gib:.4g} GiB gives {MAX_DEVICE_SHARE * device_gib:.2f}; take a "
            f"larger GPU{smaller}",
        )
    raise BadInput(
        "bad_usage",
        f"a replica must fit its share: {one.stage} of pack {manifest.name} with {key} {one.batch} needs "
        f"{one.sentence()}, "
        f"gpu_share {share:g} of {device_gib:.4g} GiB is {share * device_gib:.2f}; "
        f"raise gpu_share to {one.share(device_gib):.2f}{smaller}",
    )


def _total(one: Need, footprint: Footprint, manifest: PackManifest, rows: int) -> float:
    return need(one.stage, footprint, rows, manifest).total_gib


def kinds_of(profile: Profile, pool: str, counts: Mapping[str, int] | None = None) -> list[Kind]:
    """The GPU replicas of a pool as the packing sees them; `counts` left out: each stage's most."""
    return [
        Kind(
            stage,
            counts[stage] if counts is not None else profile.stage(stage).range.max,
            profile.stage(stage).gpu_share or 0.0,
        )
        for stage in GPU_STAGES
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
            f"shares must not sum to between {MAX_DEVICE_SHARE} and 1, where Ray puts them on one device: "
            f"{described} = {total:.2f} in pool {name}; raise one of the shares until they exceed 1, or lower it",
        )
    devices = len(fewest_devices(kinds))
    if devices > pool.max_devices:
        asked = ", ".join(f"{kind.count} x {kind.name} {kind.share:g}" for kind in kinds)
        raise BadInput(
            "bad_usage",
            f"a pool must hold the most replicas of its stages: {asked} need {devices} devices, pool {name} has at "
            "most "
            f"{pool.max_devices}; lower replicas.max, or raise nodes.max",
        )
