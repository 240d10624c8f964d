"""Ports for the processes that the load test starts."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

__all__ = ["free_port"]

PORTS = range(20_000, 32_768)
"""Ports that neither Ray's workers nor outgoing connections take, so that a free one is free when its server starts."""


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens at present. Raises OSError when none is free."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"a port from {PORTS.start} to {PORTS.stop - 1} must be free, got none; end other servers")
