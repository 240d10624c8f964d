"""The examples of trainings in the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime

from packshot.contract.adapter_examples import ADAPTER_ID
from packshot.contract.trainings import TrainingAnswer, TrainingPage, TrainingPlan, TrainingRequest

TRAINING_ID = "tr_0198c7d2b4f07c31a5e2f09d8b6a4c17"
TRAINING_REQUEST = TrainingRequest(
    name="Autumn look",
    tag="autumnlook7",
    catalogue_id="ct_0198c7d2b4f07c31a5e2f09d8b6a4c17",
    samples=["autumnlook7, a red mug on oak, warm light"],
)
_PLAN = TrainingPlan(
    pictures=65,
    repeats=6,
    epochs=10,
    batch=2,
    rank=8,
    seed=0,
    samples=("autumnlook7, a red mug on oak, warm light",),
)
QUEUED = TrainingAnswer(
    id=TRAINING_ID,
    name="Autumn look",
    kind="lora",
    engine="mini",
    tag="autumnlook7",
    status="queued",
    step=0,
    steps=1950,
    device_s=0.0,
    plan=_PLAN,
    url=f"/v1/trainings/{TRAINING_ID}",
    created_at=datetime(2026, 11, 27, 8, 0, tzinfo=UTC),
)
TRAINING = TrainingAnswer(
    **{
        **dict(QUEUED),
        "status": "done",
        "step": 1950,
        "loss": 0.0412,
        "device_s": 702.4,
        "adapter_id": ADAPTER_ID,
        "sheet_url": f"/v1/trainings/{TRAINING_ID}/sheet",
        "loss_url": f"/v1/trainings/{TRAINING_ID}/loss",
        "started_at": datetime(2026, 11, 27, 8, 0, 4, tzinfo=UTC),
        "finished_at": datetime(2026, 11, 27, 8, 12, 1, tzinfo=UTC),
    }
)
TRAININGS = TrainingPage(trainings=(TRAINING,), next_cursor=TRAINING_ID)
