"""Refuse a cluster of several machines whose store is local to each machine.

The check runs when the application is built, so that nothing starts, and when a replica opens the store, because
machines may join later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ray

from packshot.settings import Settings
from packshot.store.location import refuse_shared_sqlite


def require_shared_store(settings: Settings) -> None:
    """Raise BadInput `bad_usage` when Ray has several machines and the store is a SQLite file or a local asset folder.

    Without a running Ray there is one machine.
    """
    if ray.is_initialized():
        refuse_shared_sqlite(settings, machines(ray.nodes()))


def machines(nodes: Iterable[Mapping[str, Any]]) -> int:
    """Count the machines that can run replicas: the addresses of live nodes with CPUs.

    `nodes` is the result of `ray.nodes()`. Nodes with the same address are one machine, as in tests; they share files.
    """
    return len({node["NodeManagerAddress"] for node in nodes if node["Alive"] and node["Resources"].get("CPU")})
