"""Refuse a cluster of several machines on a store that each of them would keep for itself.

Asked where the application is built, so that nothing starts, and by whoever opens the store,
since machines may come later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ray

from packshot.settings import Settings
from packshot.store.location import refuse_shared_sqlite


def require_shared_store(settings: Settings) -> None:
    """Raises BadInput `bad_usage` on several machines with a SQLite file or a local asset folder; no Ray,
    no cluster."""
    if ray.is_initialized():
        refuse_shared_sqlite(settings, machines(ray.nodes()))


def machines(nodes: Iterable[Mapping[str, Any]]) -> int:
    """How many machines may hold replicas: addresses of living nodes with processors, from `ray.nodes()`.

    Nodes with one address are one machine that pretends to be several (tests): they share its files.
    """
    return len({node["NodeManagerAddress"] for node in nodes if node["Alive"] and node["Resources"].get("CPU")})
