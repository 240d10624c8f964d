"""From a row with masks to the shots that are accepted: placement, seed, words and limits."""

from __future__ import annotations

from collections.abc import Mapping

from packshot.api.accept import check_layer, pick_engine, resolved
from packshot.catalogue.looks import look_of
from packshot.catalogue.placement import place, stand_of_variant
from packshot.catalogue.plan import Costs
from packshot.catalogue.rows import PlannedShot, is_path, item_of, manifest_of, scenes_of, shots_of
from packshot.catalogue.seeds import seed_of
from packshot.contract.catalogue import Item, Manifest
from packshot.contract.engines import EngineInfo
from packshot.contract.requests import CanvasIn, LayerIn, ProofIn, ShotRequest
from packshot.contract.shot_spec import ShotSpec
from packshot.errors import BadInput, NotFound
from packshot.models.packs.framing import row_steps
from packshot.settings import Settings
from packshot.store.catalogue_records import CatalogueRecord, CatalogueRow, ShotOfRow
from packshot.store.records import MaskRecord
from packshot.store.store import Store


def shots_to_accept(
    record: CatalogueRecord,
    row: CatalogueRow,
    masks: Mapping[str, MaskRecord],
    engines: tuple[EngineInfo, ...],
    costs: Costs,
    settings: Settings,
    proof: ProofIn | None = None,
) -> list[ShotOfRow]:
    """The shots of a row that were not accepted yet, in order.

    `masks` has the record of each of the row's masks. `proof` is the row's, with its master's id. Raises BadInput when
    a product cannot be placed or a limit is exceeded: `mask_empty`, `mask_too_small`, `layer_outside`,
    `prompt_invalid`, `invalid_request`, `unknown_engine`.
    """
    item = item_of(row.item or "")
    manifest = manifest_of(record.frame, [item])
    known = {one.key for one in row.shots}
    found = []
    for one in shots_of(record.frame, item):
        if one.key in known:
            continue
        spec = _spec(record, manifest, item, one, masks[(row.masks or ())[one.photo]], engines, settings, proof)
        engine = pick_engine(spec.engine, engines)
        found.append(
            ShotOfRow(
                key=one.key,
                nth=one.nth,
                view=one.view,
                scene=one.variant.scene.name,
                spec=spec,
                row_steps=row_steps(spec, engine),
                device_s=spec.paintings * costs.of(one.variant, manifest.defaults, proven=spec.proof is not None),
                sku=item.sku,
                meta={**item.meta, "scene": one.variant.scene.name or one.variant.background, "view": one.view},
                category=item.category,
                price_device_s=engine.price_of(spec),
            )
        )
    return found


def with_master(store: Store, record: CatalogueRecord, proof: ProofIn | None) -> ProofIn | None:
    """A row's proof with the id of its master's photo. Raises BadInput `photo_missing`. It blocks."""
    if proof is None or proof.master is None:
        return proof
    photo_id: str | None = proof.master
    if is_path(proof.master, "ph_"):
        there = store.catalogue_photos.at(record.id, proof.master, "photo")
        photo_id = there.photo_id if there else None
    try:
        found = store.photos.get(record.tenant, photo_id or "")
    except NotFound:
        rule = f"a row's master must be there, got {proof.master[:80]!r}, which is not"
        raise BadInput("photo_missing", f"{rule}; upload it again and retry the row") from None
    return proof.model_copy(update={"master": found.id})


def _spec(
    record: CatalogueRecord,
    manifest: Manifest,
    item: Item,
    one: PlannedShot,
    mask: MaskRecord,
    engines: tuple[EngineInfo, ...],
    settings: Settings,
    proof: ProofIn | None,
) -> ShotSpec:
    variant = one.variant
    look = look_of(manifest, variant.scene, item) if variant.generated else manifest.defaults
    stand = stand_of_variant(manifest, record.largest_mm, variant, [entry for entry, _ in one.files])
    layer = LayerIn(
        **vars(place(stand, item, one.view, mask.id, mask.bbox_xyxy, mask.cutout_bbox_xyxy)),
    )
    check_layer(0, layer, mask.bbox_xyxy, variant.canvas, mask.cutout_bbox_xyxy)
    body = ShotRequest(
        canvas=CanvasIn(width=variant.canvas[0], height=variant.canvas[1]),
        layers=[layer],
        background=variant.background,
        prompt=", ".join(words for words in (look.prompt, variant.scene.words) if words) if variant.generated else "",
        negative_prompt=look.negative_prompt if variant.generated else "",
        images=manifest.choose.best_of if variant.generated else 1,
        seed=seed_of(manifest.seeds, scenes_of(record.frame), variant.scene, item.sku, one.view, variant.canvas),
        steps=look.steps,
        guidance_scale=look.guidance_scale,
        sampler=look.sampler if variant.generated else None,
        conditions=look.conditions if variant.generated else [],
        shadow=variant.shadow,
        reflection=look.reflection if variant.background != "transparent" else None,
        relight=look.relight if variant.generated else None,
        style=look.style if variant.generated else None,
        adapters=look.adapters if variant.generated else [],
        retry=look.retry if variant.generated else None,
        proof=proof,
        engine=look.engine,
        priority="catalogue",
    )
    return resolved(body, engines, settings)
