"""The autoscaler sees a catalogue's whole work at once, though its rows become shots in windows."""

from __future__ import annotations

import json
from pathlib import Path

from cluster.autoscaling import Demand, Load, Observation, Pipeline, Stage, State, decide, demand_of
from packshot.catalogue.manifest import read_manifest
from packshot.settings import Settings
from packshot.shots.load_report import LoadReport
from packshot.store.catalogue_records import NewRow
from packshot.store.store import Store
from tests.migrated import migrated_home
from tests.unit.store.catalogue_steps import FILES, items_of

ROWS = 50_000
PLAN = Pipeline(row_step_s=0.01, picture_s=0.1, catalogue_s=900.0, calm_s=120.0)


def generators(demand: Demand) -> int:
    stages = {"generator": Stage(target=0, running=0, low=0, high=64), "director": Stage(1, 1, 1, 64)}
    replicas, _ = decide(Observation(0.0, stages, catalogue=demand), State(), PLAN)
    return replicas["generator"]


def test_fifty_thousand_rows_that_wait_are_scaled_for_before_they_are_shots(tmp_path: Path) -> None:
    store = Store.from_settings(Settings(home=migrated_home(tmp_path)))
    try:
        tenant = store.tenants.local()
        rows = [NewRow(n + 1, f"S{n:05}", "{}", pictures=2, shots=2, row_steps=80, device_s=1.0) for n in range(ROWS)]
        body = {"name": "spring", **FILES, "items": items_of(1)}
        manifest = read_manifest(json.dumps(body).encode(), "application/json").manifest
        assert manifest is not None
        record = store.catalogues.create(tenant.id, manifest, rows)
        assert generators(demand_of(LoadReport(store.queue)(), "catalogue")) == 1, "a draft is no work"
        store.catalogues.start(tenant.id, record.id)
        seen = demand_of(LoadReport(store.queue)(), "catalogue")
        assert seen.waiting == Load(2 * ROWS, 2 * ROWS, 80 * ROWS)
        assert store.queue.counts()["queued"] == 0
        assert store.queue.pending_device_s(row_step_s=0.01, picture_s=0.1) == {
            "interactive": 0.0,
            "catalogue": ROWS * (80 * 0.01 + 2 * 0.1),
        }
        assert generators(seen) == 57  # 50,000 s of work within 900 s, and one to spare
        store.catalogues.pause(tenant.id, record.id)
        assert generators(demand_of(LoadReport(store.queue)(), "catalogue")) == 1
    finally:
        store.close()
