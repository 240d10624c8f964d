"""The cluster on this machine: one Ray node, started for one command and ended with it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cluster.profiles import load_profile
from cluster.render import serve_config
from packshot.errors import BadInput, Unavailable

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MIB = 1024 * 1024

ENVIRONMENT = {
    # Ray tells its makers nothing, and warns about no GPU on machines that have none.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Exports often enough that /metrics of a running demo is not empty.
    "RAY_metrics_report_interval_ms": "2000",
    "RAY_DEDUP_LOGS": "0",
}


@contextmanager
def serving(
    profile: str = "laptop",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    settings_overrides: Mapping[str, str] | None = None,
    quiet: bool = True,
) -> Iterator[str]:
    """Start Ray and the application of a profile here; yields the base URL; ends both on the way out.

    `settings_overrides`: more `PACKSHOT_*` for the replicas. `port` 0 takes a free one. Raises BadInput when
    the port is taken, Unavailable when the application does not start.
    """
    chosen = load_profile(profile)
    port = port or _free_port(host)
    _require_free(host, port)
    os.environ.update({**ENVIRONMENT, **(settings_overrides or {})})
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))

    import ray
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    ray.init(
        num_cpus=int(chosen.local.cpus),
        num_gpus=0 if chosen.device == "cpu" else None,
        object_store_memory=chosen.local.object_store_mib * MIB,
        include_dashboard=False,
        log_to_driver=not quiet,
        logging_level=logging.ERROR if quiet else logging.INFO,
        configure_logging=not quiet,
    )
    try:
        serve.start(proxy_location="EveryNode", http_options={"host": host, "port": port})
        client = _get_global_client()
        config = ServeDeploySchema.model_validate(serve_config(chosen, host=host, port=port))
        try:
            client.deploy_apps(config, _blocking=True)
        except RuntimeError as error:
            raise Unavailable("not_ready", f"the application did not start: {error}") from error
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


def run_forever(
    profile: str,
    *,
    host: str,
    port: int,
    settings_overrides: Mapping[str, str] | None = None,
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` gets the base URL when the graph answers."""
    stop = threading.Event()
    with serving(profile, host=host, port=port, settings_overrides=settings_overrides) as url:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        on_ready(url)
        stop.wait()


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadInput(
                "bad_usage", f"port must be free, got {host}:{port} ({error.strerror}); pass --port"
            ) from error
