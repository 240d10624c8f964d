"""The deployments of the application by name, and which of them a profile may leave out, tune or place on a GPU."""

from __future__ import annotations

from typing import Literal, get_args

from packshot.models.footprint.pack_footprint import GpuStage
from packshot.models.packs.served import GENERATOR

StageName = Literal[
    "gateway",
    "photo_decoder",
    "producer",
    "sam_encoder",
    "mask_decoder",
    "detector",
    "understand",
    "reference_encoder",
    "canny",
    "generator",
    "finisher",
    "director",
    "trainer",
]
DEPLOYMENTS: tuple[StageName, ...] = get_args(StageName)
OPTIONAL: tuple[StageName, ...] = ("photo_decoder", "producer", "trainer")
"""Deployed only when the profile names them. Otherwise the gateway does the work of the first two, and there are no
trainings."""
GPU_STAGES: tuple[GpuStage, ...] = get_args(GpuStage)
ALSO_ON_CPU: tuple[GpuStage, ...] = ("detector", "understand", "reference_encoder")
"""GPU stages that run on the CPU where a profile gives them no share."""
TRAINER: StageName = "trainer"
"""It may have a share of a GPU too, of which a training takes what it needs (docs/plan.md)."""
ASLEEP: tuple[StageName, ...] = ("detector", "understand", "reference_encoder", TRAINER)
"""Deployments whose own default is no replica until a call comes, and then one; as that of further engines is."""
ThreadedRole = Literal["encoder", "decoder", "detector", "understand", "reference", "generator", "trainer"]
"""What has a number of torch threads: an argument of the application, `{role}_threads`."""
TUNABLES: dict[StageName, tuple[str, ...]] = {
    "sam_encoder": ("max_batch_size",),
    "mask_decoder": ("max_batch_size",),
    "detector": ("max_batch_size",),
    "understand": ("max_batch_size",),
    "reference_encoder": ("max_batch_size",),
    "canny": ("low", "high"),
    "generator": ("max_rows",),
}
"""The keys that each deployment's `reconfigure` reads. State all or none: Serve replaces a user_config as a whole."""


def kind_of(deployment: str) -> StageName:
    """What a deployment does: `generator` for the generators of every engine, else its name.

    Raises ValueError when there is no such deployment.
    """
    kind = GENERATOR if deployment.startswith(f"{GENERATOR}-") else deployment
    for name in DEPLOYMENTS:
        if name == kind:
            return name
    raise ValueError(f"a deployment must be one of {', '.join(DEPLOYMENTS)}, or {GENERATOR}-ENGINE, got {deployment!r}")
