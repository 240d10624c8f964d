"""Keep a replica's own server on loopback where its node is (cluster/private_ray.py); Serve binds it to any address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

ANY, LOOPBACK = "[::]:", "127.0.0.1:"


def keep_to_loopback() -> None:
    """Call it in a replica's constructor, before Serve starts the server of calls between deployments.

    That server asks for Ray's token; on a node of one machine nobody else needs to reach it. Serve 2.60 has no setting
    for its address.
    """
    if not ray.util.get_node_ip_address().startswith("127."):
        return
    from ray.serve._private import replica

    module: Any = replica
    bind: Callable[[Any, str], int] = module.add_port_to_grpc_server
    module.add_port_to_grpc_server = lambda server, address: bind(server, address.replace(ANY, LOOPBACK))
