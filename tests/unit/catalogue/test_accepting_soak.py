"""What a manifest of 10,000 rows costs until it is accepted: read, planned, stored and answered."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from packshot.api.catalogue_answers import catalogue_answer, missing_of_rows
from packshot.catalogue.costs import costs_of
from packshot.catalogue.manifest import MediaType, read_manifest
from packshot.catalogue.plan import plan
from packshot.catalogue.rows import new_rows
from packshot.contract import examples
from packshot.settings import Settings
from packshot.store.store import Store

ROWS, MOST_S = 10_000, 3.0
FRAME: dict[str, Any] = {
    "name": "spring",
    "axes": [{"name": "scene", "values": {"marble": "on marble", "linen": "on linen", "slate": "on slate"}}],
    "deliver": [
        {"preset": "shopify", "name": "{sku}-{scene}-{n:02}.{ext}"},
        {"preset": "amazon-main", "scene": "white", "name": "{sku}.MAIN.{ext}"},
    ],
}


def manifest_of(media_type: MediaType) -> bytes:
    rows = range(ROWS)
    if media_type == "text/csv":
        return ("sku,photo,box\n" + "".join(f"S{n:05},photos/{n}.jpg,1;2;300;400\n" for n in rows)).encode()
    if media_type == "application/yaml":
        frame = "".join(f"{name}: {json.dumps(value)}\n" for name, value in FRAME.items())
        items = (f"  - {{sku: S{n:05}, photo: photos/{n}.jpg, box: [1, 2, 300, 400]}}\n" for n in rows)
        return f"{frame}items:\n{''.join(items)}".encode()
    items_json = [{"sku": f"S{n:05}", "photo": f"photos/{n}.jpg", "box": [1, 2, 300, 400]} for n in rows]
    return json.dumps({**FRAME, "items": items_json}).encode()


@pytest.mark.soak
@pytest.mark.parametrize("media_type", ["application/json", "application/yaml", "text/csv"])
def test_ten_thousand_rows_are_accepted_within_3_s_of_processor_time(tmp_path: Path, media_type: MediaType) -> None:
    data = manifest_of(media_type)
    costs, _ = costs_of(examples.ENGINES.engines[0], [])
    with closing(Store.from_settings(Settings(home=tmp_path))) as store:
        tenant = store.tenants.get_or_create("brand")
        began = time.process_time()
        read = read_manifest(data, media_type, frame=FRAME if media_type == "text/csv" else None)
        assert read.manifest is not None
        read_s = time.process_time() - began
        made = plan(read, costs)
        assert made.problems == ()
        planned_s = time.process_time() - began
        rows = new_rows(read, costs)
        record = store.catalogues.create(tenant.id, read.manifest, rows)
        answer = catalogue_answer(record, missing_of_rows(rows)).model_dump_json()
        spent_s = time.process_time() - began
    assert f'"missing_photos_total":{ROWS}' in answer
    print(f"\n{media_type}: read {read_s:.2f} s, planned at {planned_s:.2f} s, stored and answered at {spent_s:.2f} s")
    assert spent_s <= MOST_S
