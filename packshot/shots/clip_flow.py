"""The flow of a clip: find the picture's file and its layout, and film it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from packshot.contract.clips import ClipJob
from packshot.errors import NotFound
from packshot.shots.filming import not_filmable
from packshot.shots.flow import OnStep
from packshot.shots.layout import LayoutFiles, find_layout
from packshot.shots.stages import ClipOrder, Filmed, Stages, Step
from packshot.store.clip_records import NewClip
from packshot.store.records import Claim, ImageRecord, ShotRecord
from packshot.store.store import Store
from packshot.telemetry.traces import span

__all__ = ["filmable", "make_clip"]


async def make_clip(store: Store, claim: Claim, stages: Stages, on_step: OnStep) -> Sequence[NewClip]:
    """Make the clip of a claimed row. `on_step` is called for each frame.

    Raises NotFound when the picture was deleted, and BadInput `not_filmable` when it cannot become a clip.
    """
    job = ClipJob.from_json(claim.job)
    on_step(Step(0, job.frames))
    image = await asyncio.to_thread(store.images.get, claim.tenant, job.image_id)
    shot = await asyncio.to_thread(store.shots.get, claim.tenant, image.shot_id)
    layout = await asyncio.to_thread(filmable, store, image, shot)
    with span("scene_depth"):
        depth = await stages.scene_depth(image.asset_key)
    with span("film", move=job.move, frames=job.frames):
        async for update in stages.film(ClipOrder(image.asset_key, layout, job, depth)):
            if isinstance(update, Filmed):
                return [NewClip(job, update.data, update.width, update.height)]
            on_step(update)
    raise RuntimeError("film() must yield a Filmed last, but it ended without one")


def filmable(store: Store, image: ImageRecord, shot: ShotRecord) -> LayoutFiles:
    """The layout of a picture that can become a clip. `shot` is the work that made the picture.

    Raises BadInput `not_filmable` when it has no background, when an engine painted its product, so that nobody knows
    where it stands, or when its masks or photos were deleted.
    """
    if shot.spec.product is not None:
        raise not_filmable(image.id, "shows a product that an engine painted", "make the clip of a shot of a photo")
    if shot.spec.background.transparent:
        raise not_filmable(image.id, "is transparent", "make a shot with a background")
    try:
        return find_layout(store, image.tenant, shot.spec)
    except NotFound as gone:
        raise not_filmable(image.id, f"lost one ({gone.detail})", "upload the photo again and make a shot") from gone
