"""How much work waits, runs and has arrived: one query, for the autoscaler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, func, or_, select

from packshot.contract.status import LIVE, PRIORITIES
from packshot.store.records import Flow, Load, QueueLoad
from packshot.store.schema import shot


def load_query(since_seq: int) -> Select[Any]:
    """A row for each priority, over shots that wait, run, or were accepted after `since_seq`; it reads no other shot.

    A shot whose background is not painted takes no denoising steps; with guidance a step takes two rows.
    """
    request = shot.c.request
    here = (
        select(
            shot.c.priority,
            shot.c.status,
            (shot.c.seq > since_seq).label("came"),
            shot.c.step,
            func.coalesce(request["images"].as_integer(), 1).label("pictures"),
            func.coalesce(request["steps"].as_integer(), 0).label("steps"),
            case((request["guidance_scale"].as_float() > 1, 2), else_=1).label("rows_a_step"),
            case((request["background"].as_string() != "generate", 0), else_=1).label("painted"),
        )
        .where(or_(shot.c.status.in_(LIVE), shot.c.seq > since_seq))
        .cte("here")
        .prefix_with("MATERIALIZED")  # else each sum below reads the JSON anew
    )
    h = here.c

    def work(which: ColumnElement[bool], taken: Any = 0) -> list[ColumnElement[Any]]:
        left = h.painted * h.rows_a_step * (h.pictures * h.steps - taken)
        return [func.coalesce(func.sum(case((which, value), else_=0)), 0) for value in (1, h.pictures, left)]

    columns = [*work(h.status == "queued"), *work(h.status == "running", taken=h.step), *work(h.came)]
    return select(h.priority, *columns).group_by(h.priority)


def load_of(rows: Sequence[Row[Any]], last_seq: int) -> QueueLoad:
    """The query's rows as a record."""
    flows = {row[0]: Flow(Load(*row[1:4]), Load(*row[4:7]), Load(*row[7:10])) for row in rows}
    return QueueLoad(last_seq, *(flows.get(priority, Flow()) for priority in PRIORITIES))
