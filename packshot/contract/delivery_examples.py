"""The examples of presets and deliveries, for `/openapi.json`."""

from __future__ import annotations

from datetime import UTC, date, datetime

from packshot.contract.answers import FindingAnswer
from packshot.contract.deliveries import DeliveriesAnswer, DeliveriesRequest, DeliverIn, DeliveryAnswer, PaintingAnswer
from packshot.contract.examples import IMAGE
from packshot.contract.presets import PresetInfo, PresetsAnswer

PRESETS = PresetsAnswer(
    presets=(
        PresetInfo(
            name="amazon-main",
            title="Amazon, main image",
            source="Amazon product image guide",
            dated=date(2026, 11, 1),
            expires=date(2027, 5, 1),
            formats=("png", "jpeg"),
            min_longest_px=500,
            max_longest_px=10_000,
            advised_longest_px=1600,
            larger_is_fine=True,
            fill_min=0.85,
            background="white",
            max_bytes=10_000_000,
        ),
    )
)

_DELIVERY_ID, _NAME = "df_6a1d9c4e7b20", "B01-RED.MAIN.png"
DELIVERIES_REQUEST = DeliveriesRequest(
    deliver=[DeliverIn(preset="amazon-main", name="{sku}.MAIN.{ext}", shadow="none")]
)
DELIVERIES = DeliveriesAnswer(
    deliveries=(
        DeliveryAnswer(
            id=_DELIVERY_ID,
            image_id=IMAGE.id,
            preset="amazon-main",
            name=_NAME,
            url=f"/v1/deliveries/{_DELIVERY_ID}/{_NAME}",
            media_type="image/png",
            width=1600,
            height=1600,
            bytes=1_843_201,
            sha256="9f2c" + 60 * "0",
            digital_source_type="http://cv.iptc.org/newscodes/digitalsourcetype/humanEdits",
            changes=(),
            findings=(
                FindingAnswer(check="fill", level="ok", detail="the product fills 88% of the frame", value=0.88),
            ),
            warning=None,
            created_at=datetime(2026, 11, 26, 8, 1, tzinfo=UTC),
        ),
    )
)
DELIVERIES_PAINTING = DeliveriesAnswer(
    deliveries=(),
    painting=(
        PaintingAnswer(
            entry=0,
            preset="meta-ad-9x16",
            shot_id="sh_5e1c7a9b2d40",
            status="queued",
            url="/v1/shots/sh_5e1c7a9b2d40",
            events_url="/v1/shots/sh_5e1c7a9b2d40/events",
        ),
    ),
)
