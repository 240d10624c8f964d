"""A producer of catalogues in a replica: a task of its event loop, and what wakes it."""

from __future__ import annotations

import asyncio
from functools import partial

import ray
from ray import serve

from packshot.api.decoding import Decoder
from packshot.api.graph import Graph
from packshot.catalogue.producer import Producer
from packshot.settings import Settings
from packshot.store.notifications import CATALOGUES, listen
from packshot.store.store import Store


class Producing:
    """Runs a producer until `stop`. Several replicas may have one: a lease gives each catalogue to one of them.

    While its cluster is in standby, as the new one of an upgrade is, it claims no catalogue.
    """

    def __init__(self, store: Store, graph: Graph, decoder: Decoder, settings: Settings) -> None:
        worker = serve.get_replica_context().replica_id.unique_id
        active = partial(store.clusters.may_produce, ray.get_runtime_context().get_session_name())
        self._producer = Producer(store, graph, decoder, settings, worker=worker, may_start=active)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._producer.forever())
        self._listening = loop.create_task(listen(settings, CATALOGUES, self._producer.wake))

    def check_health(self) -> None:
        """Raise RuntimeError when the producer has ended, so that Serve replaces the replica."""
        if self._task.done():
            self._task.result()
            raise RuntimeError("the producer must run, but it has ended; Serve replaces this replica")

    def stop(self) -> None:
        """End the tasks and give the catalogues back. It blocks."""
        self._task.cancel()
        self._listening.cancel()
        self._producer.release()
