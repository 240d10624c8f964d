"""The examples of touch-ups and versions, for `/openapi.json`."""

from __future__ import annotations

from packshot.contract.examples import ACCEPTED, IMAGE
from packshot.contract.requests import StrokeIn
from packshot.contract.touchups import TouchupRequest, VersionsAnswer

TOUCHUP_REQUEST = TouchupRequest(
    strokes=[StrokeIn(mode="add", radius_px=24.0, points=[(120.0, 840.0), (188.0, 852.0)])],
    prompt="smooth marble",
    seed=11,
)
TOUCHUP = ACCEPTED.model_copy(update={"kind": "touchup"})
VERSIONS = VersionsAnswer(newest=IMAGE.id, versions=(IMAGE,))
