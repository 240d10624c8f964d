"""The examples of clips, for `/openapi.json`."""

from __future__ import annotations

from datetime import UTC, datetime

from packshot.contract.answers import AcceptedAnswer, ShotAnswer
from packshot.contract.clips import ClipAnswer, ClipRequest
from packshot.contract.examples import ACCEPTED, IMAGE, SHOT

_CLIP_ID, _CLIP_SHOT_ID = "cl_4b8e1f7a9c02", "sh_7c2d9a5e1b34"
CLIP_REQUEST = ClipRequest(move="orbit", seconds=4.0, size=1080)
CLIP = ClipAnswer(
    id=_CLIP_ID,
    image_id=IMAGE.id,
    shot_id=_CLIP_SHOT_ID,
    url=f"/v1/clips/{_CLIP_ID}",
    move="orbit",
    seconds=4.0,
    fps=24,
    width=1080,
    height=1080,
    format="webp",
    media_type="image/webp",
    bytes=4_812_344,
    sha256="5e1a" + 60 * "0",
    created_at=datetime(2026, 11, 26, 8, 0, 20, tzinfo=UTC),
)
_OF_CLIP = {
    "id": _CLIP_SHOT_ID,
    "kind": "clip",
    "url": f"/v1/shots/{_CLIP_SHOT_ID}",
    "events_url": f"/v1/shots/{_CLIP_SHOT_ID}/events",
}
ACCEPTED_CLIP = AcceptedAnswer(**dict(ACCEPTED) | _OF_CLIP)
CLIP_SHOT = ShotAnswer(**dict(SHOT) | _OF_CLIP | {"step": 96, "steps": 96, "images": (), "clip": CLIP})
