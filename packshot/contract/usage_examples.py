"""One example of every request and answer of usage and budgets, for `/openapi.json`."""

from __future__ import annotations

from datetime import UTC, date, datetime

from packshot.contract.usage import (
    BudgetAnswer,
    BudgetRequest,
    SpendingAnswer,
    TotalAnswer,
    UsageAnswer,
    UsedAnswer,
)

USAGE = UsageAnswer(
    group="sku",
    first_day=date(2026, 11, 1),
    last_day=date(2026, 11, 26),
    rows=(UsedAnswer(name="MUG-01-BLUE", shots=2, pictures=4, device_s=9.21),),
    total=TotalAnswer(shots=120, pictures=236, device_s=541.8),
    next_cursor="=MUG-01-BLUE",
)
BUDGET_REQUEST = BudgetRequest(images_per_day=400, device_s_per_month=36_000.0, live_shots=64)
BUDGET = BudgetAnswer(
    owner_id="ky_Yb3nQ0s8Jt5uKcVd1Wxz",
    budgets=(
        SpendingAnswer(budget="images_per_day", limit=400, spent=236, resets_at=datetime(2026, 11, 27, tzinfo=UTC)),
        SpendingAnswer(budget="live_shots", limit=64, spent=3),
    ),
)
