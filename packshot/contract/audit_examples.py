"""The example of a line of the audit trail, for the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime

from packshot.contract.audit import AuditLine

AUDIT_LINE = AuditLine(
    number=7,
    at=datetime(2026, 11, 27, 9, 30, 12, 345000, tzinfo=UTC),
    tenant="tn_Yb3nQ0s8Jt5uKcVd1Wxz",
    by="system",
    action="image.made",
    object="im_3Kp0Xh7cQw9ZtRv2BnLs",
    request="6f1c2a90d3b84e57",
    details={"dtype": "bfloat16", "pack": "sdxl", "shot_id": "sh_8Jt5uKcVd1WxzYb3nQ0s", "version": "0.5.0"},
    models={
        "manifest": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "unet": "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
    },
    previous_sha256="baa5a0964d3320fbc0c6a922140453c8513ea24ab8fd0577034804a967248096",
)
