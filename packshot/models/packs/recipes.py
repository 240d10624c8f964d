"""What an engine of each recipe can honour. `GET /v1/engines` lists it, and the API refuses the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packshot.contract.adapters import MAX_ADAPTERS
from packshot.contract.engines import EngineCapabilities
from packshot.contract.shot_spec import ConditionKind
from packshot.contract.style import MAX_REFERENCES
from packshot.models.packs.roles import ADAPTED_RECIPES

if TYPE_CHECKING:
    from packshot.models.packs.manifest import PackManifest

__all__ = ["capabilities_of"]


def capabilities_of(
    manifest: PackManifest, controls: tuple[ConditionKind, ...], *, references: bool = False
) -> EngineCapabilities:
    """What the pack's engine can honour. `controls` are the conditions that it serves, and `references` says whether
    it serves reference pictures."""
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
        references=MAX_REFERENCES if references else 0,
        adapters=MAX_ADAPTERS if manifest.recipe in ADAPTED_RECIPES else 0,
        upscaler="upscaler" in manifest.roles,
        decoder_scale=_decoder_scale(manifest),
        steps=(1, manifest.limits.max_steps),
        sizes=manifest.buckets,
    )


def _decoder_scale(manifest: PackManifest) -> int:
    """How many times as wide the pack's VAE gives a picture back as it takes it: each block more is a doubling."""
    vae = manifest.roles.get("vae")
    if vae is None or vae.class_name != "AutoencoderTiny":
        return 1
    more = len(vae.config.get("num_decoder_blocks", ())) - len(vae.config.get("num_encoder_blocks", ()))
    return int(2 ** max(0, more))
