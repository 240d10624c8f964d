"""The examples of adapters in the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime

from packshot.contract.adapters import AdapterAnswer, AdapterChange, AdapterPage

ADAPTER_ID = "ad_0198c7d2b4f07c31a5e2f09d8b6a4c17"
ADAPTER = AdapterAnswer(
    id=ADAPTER_ID,
    name="Autumn look",
    kind="lora",
    engine="mini",
    family="mini",
    rank=8,
    trigger="autumnlook",
    licence="Apache-2.0",
    trained_from="24 approved pictures of the autumn catalogue",
    sha256="5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    bytes=213_440,
    url=f"/v1/adapters/{ADAPTER_ID}",
    created_at=datetime(2026, 11, 27, 8, 0, tzinfo=UTC),
)
ADAPTERS = AdapterPage(adapters=(ADAPTER,), next_cursor=ADAPTER_ID)
ADAPTER_CHANGE = AdapterChange(name="Autumn look, second run")
