"""The states of a shot and its priorities: the words of the contract, of the database and of the metrics."""

from __future__ import annotations

from typing import Literal, get_args

Status = Literal["queued", "running", "done", "failed", "cancelled"]
Priority = Literal["interactive", "catalogue"]
Review = Literal["approved", "rejected"]

STATUSES: tuple[Status, ...] = get_args(Status)
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
ENDED: tuple[Status, ...] = ("done", "failed", "cancelled")
"""A shot in one of these never changes again. They are also the names of the last event of a stream."""
LIVE: tuple[Status, ...] = ("queued", "running")
