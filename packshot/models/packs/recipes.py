"""What an engine of each recipe can honour. `GET /v1/engines` lists it, and the API refuses the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packshot.contract.engines import EngineCapabilities
from packshot.contract.shot_spec import ConditionKind

if TYPE_CHECKING:
    from packshot.models.packs.manifest import PackManifest

__all__ = ["capabilities_of"]


def capabilities_of(manifest: PackManifest, controls: tuple[ConditionKind, ...]) -> EngineCapabilities:
    """What the pack's engine can honour. `controls` are the conditions that it serves."""
    if manifest.endpoint is not None:
        return EngineCapabilities(
            controls=(), negative_prompt=False, guidance=False, seeds=False, steps=(1, 1), sizes=manifest.buckets
        )
    guided = manifest.limits.max_guidance_scale > 1
    return EngineCapabilities(
        controls=controls,
        negative_prompt=guided,
        guidance=guided,
        samplers=manifest.samplers,
        steps=(1, manifest.limits.max_steps),
        sizes=manifest.buckets,
    )
