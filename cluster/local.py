"""The cluster on this machine: one Ray node, which starts and ends with one command."""

from __future__ import annotations

import io
import logging
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress

from cluster.edge.nginx import edge, require_nginx
from cluster.plan.gpu_shares import check_profile
from cluster.private_ray import bind_to_loopback, private_environment, ray_folder
from cluster.profiles import Profile
from cluster.render import APPLICATION, serve_config
from packshot.errors import BadInput, Unavailable
from packshot.settings import LOOPBACK_HOSTS, Settings

MIB = 1024 * 1024
POLL_S = 0.2
NVIDIA_SMI_TIMEOUT_S = 20.0

PROXY_HOOK = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.ray_support.context.configure_proxy",
}
"""Serve's hook with which its proxies begin with our middleware (deployments/ray_support/proxy_middleware.py)."""

ENVIRONMENT = {
    # Disable Ray's usage statistics.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Do not override CUDA_VISIBLE_DEVICES in workers without a GPU. Ray versions that do so by default also warn about
    # it.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Export metrics often enough that /metrics of a short demo is not empty.
    "RAY_metrics_report_interval_ms": "2000",
    "RAY_DEDUP_LOGS": "0",
    # Ray's default is nice 15, with which a click on a busy machine would wait for all other processes.
    "RAY_worker_niceness": "0",
    # Threads that spin while they wait would take cores from clicks and from the user's other programs.
    "OMP_WAIT_POLICY": "passive",
    # A busy laptop may take longer than Ray's 30 s to start a node.
    "RAY_raylet_start_wait_time_s": "120",
    # Nor does its HTTP proxy start in 5 s there, after which Serve's controller would kill it.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    # Each thread may otherwise get a heap of its own, which keeps what it once held: 50 MiB of a laptop cluster.
    "MALLOC_ARENA_MAX": "2",
    **PROXY_HOOK,
}

JSON_LOGS = {
    # Processes write to the output of this one and not to files of the session.
    "RAY_LOG_TO_STDERR": "1",
    "RAY_BACKEND_LOG_JSON": "1",
    "RAY_BACKEND_LOG_LEVEL": "warning",  # its processes write 700 lines of level info at their start
    # Serve's controller and proxies are processes of Ray. These hooks of Serve give their lines our form.
    "RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH": "deployments.ray_support.context.configure_controller",
    **PROXY_HOOK,
}
"""Ray's variables with PACKSHOT_LOG_FORMAT=json. Kubernetes sets the same (cluster/kube/rayservice.py)."""


@contextmanager
def serving(
    profile: Profile,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    settings: Mapping[str, str] | None = None,
    quiet: bool = True,
) -> Iterator[str]:
    """Start Ray and the application of a profile on this machine, and give the base URL. Both end on exit.

    `settings` holds additional `PACKSHOT_*` variables for the replicas. `port` 0 chooses a free port. `quiet` hides
    Ray's logs. Ray and Serve listen on loopback alone; another `host` is served by nginx in front of them.

    Raises BadInput when the profile needs several nodes, does not fit on this machine's GPUs, the port is in use, or
    there is no nginx for a host beyond loopback. Raises Unavailable when the application does not start.
    """
    machine = profile.machine
    with environment(settings or {}):
        if profile.device == "cuda":
            check_profile(profile, Settings(), _device_gib(profile))
    port = port or free_port(host)
    _require_free(host, port)
    beyond = host not in LOOPBACK_HOSTS
    if beyond:
        require_nginx(host)
    own_host, own_port = ("127.0.0.1", free_port("127.0.0.1")) if beyond else (host, port)
    folder = ray_folder()

    import ray
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    if quiet:  # these log that token authentication is on, and that Serve has started
        for name in ("ray._private.authentication", "ray.serve"):
            logging.getLogger(name).setLevel(logging.ERROR)
    # Replicas inherit the environment in which the node starts. This process's environment is restored.
    with environment({**ENVIRONMENT, **private_environment(folder), **(settings or {})}):
        bind_to_loopback()
        if Settings().log_format == "json":
            os.environ.update(JSON_LOGS)
        ray.init(
            address="local",
            num_cpus=int(machine.cpus),
            num_gpus=0 if profile.device == "cpu" else None,
            object_store_memory=machine.object_store_mib * MIB,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(folder / "ray"),
            log_to_driver=not quiet,
            logging_level=logging.ERROR if quiet else logging.INFO,
            configure_logging=not quiet,
        )
    try:
        serve.start(proxy_location="EveryNode", http_options={"host": own_host, "port": own_port})
        client = _get_global_client()
        assert client is not None, "serve.start creates the client"
        config = ServeDeploySchema.model_validate(serve_config(profile, host=own_host, port=own_port))
        client.deploy_apps(config)
        wait_until_running()
        shown = f"[{host}]" if ":" in host else host
        with environment(settings or {}):
            limits = Settings()
        with edge(host, port, own_port, limits) if beyond else nullcontext():
            yield f"http://{shown}:{port}"
    finally:
        # While it shuts down, Ray prints on stdout that a call to its controller failed.
        with redirect_stdout(io.StringIO()) if quiet else nullcontext():
            serve.shutdown()
            ray.shutdown()


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the process environment, and restore the environment on exit."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _device_gib(profile: Profile) -> float:
    """Memory of each GPU for the plan, GiB: that of the profile's kind of GPU, or of this machine's smallest if less.

    Raises BadInput when this machine has fewer GPUs than the profile needs. It reads nvidia-smi, because torch would
    hold half a gigabyte of the device for the life of this process.
    """
    try:
        command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=True, timeout=NVIDIA_SMI_TIMEOUT_S
        )
        found = done.stdout
    except (OSError, subprocess.SubprocessError):
        found = ""
    found_gib = [float(line) / 1024 for line in found.split()]
    if len(found_gib) < profile.machine.gpus:
        raise BadInput(
            "bad_usage",
            f"profile {profile.name} needs {profile.machine.gpus} GPUs, but nvidia-smi shows {len(found_gib)} here; "
            "use the profile laptop, or a profile of your own",
        )
    return min(profile.machine.device.memory_gib, *found_gib)


def wait_until_running() -> None:
    """Return when every stage is running. Serve's own blocking deploy times out after a minute, too soon for a laptop.

    Raises Unavailable when the deployment fails, or when a stage is not running within the setting `start_timeout_s`.
    """
    from ray.serve._private.common import DeploymentStatus
    from ray.serve.schema import ApplicationStatus

    from deployments.ray_support.status import application_overview

    timeout_s = Settings().start_timeout_s
    give_up_at = time.monotonic() + timeout_s
    while True:
        overview = application_overview(APPLICATION)
        if overview.app_status.status == ApplicationStatus.RUNNING:
            return
        if overview.app_status.status == ApplicationStatus.DEPLOY_FAILED:
            raise Unavailable("not_ready", f"the application did not start: {overview.app_status.message}")
        if time.monotonic() > give_up_at:
            slow = [stage.name for stage in overview.deployment_statuses if stage.status != DeploymentStatus.HEALTHY]
            raise Unavailable(
                "not_ready",
                f"stages must be ready within {timeout_s:g} s (PACKSHOT_START_TIMEOUT_S), these are not: {slow}",
            )
        time.sleep(POLL_S)


def run_forever(
    profile: Profile,
    *,
    host: str,
    port: int,
    settings: Mapping[str, str] | None = None,
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` is called with the base URL when the graph is ready."""
    stop = threading.Event()
    with serving(profile, host=host, port=port, settings=settings) as url:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        on_ready(url)
        stop.wait()


PORTS = range(20_000, 32_768)
"""Ports that neither Ray's workers (10,002 to 19,999) nor outgoing connections (32,768 and up on Linux) take, so that
a free one is still free when its server starts."""


def free_port(host: str) -> int:
    """A port of `host` on which nothing listens at present. Raises OSError when none is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket(family) as probe, suppress(OSError):
            probe.bind((host, port))
            return port
    raise OSError(f"a port of {host} from {PORTS.start} to {PORTS.stop - 1} must be free, got none; end other servers")


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadInput(
                "bad_usage", f"port must be free, got {host}:{port} ({error.strerror}); pass --port"
            ) from error
