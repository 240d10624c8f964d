"""Several Ray nodes on this machine, with GPUs and processors that are only counted,
and the application of a profile on them.

A process of its own (one Ray a process), driven over its pipes: a JSON list `[verb, …]` in, one JSON line out. The head
holds no replicas, as on Kubernetes; the proxy, the controller and the driver are on it, so every other node may be
killed.

    python -m tests.cluster.several_nodes '{"profile": "two.yaml", "nodes": [{"num_cpus": 1, "num_gpus": 1}]}'
"""

import json
import logging
import os
import sys
from contextlib import suppress
from typing import Any

import psutil

from cluster.local import ENVIRONMENT, environment, free_port, wait_until_running
from cluster.profiles import load_profile
from cluster.render import APPLICATION, serve_config

LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 128 * 2**20
RUNNING = "RUNNING"


class SeveralNodes:
    """The cluster. Each verb is a method with JSON arguments and a JSON result."""

    def __init__(self, nodes: list[dict[str, Any]], settings: dict[str, str] | None = None) -> None:
        import ray
        from ray import serve
        from ray.cluster_utils import Cluster

        self._host, self._port = LOOPBACK, free_port(LOOPBACK)
        self._settings = settings or {}
        with environment({**ENVIRONMENT, **self._settings}):
            self._cluster = Cluster(initialize_head=True, head_node_args=self._node({"num_cpus": 0}))
            for node in nodes:
                self._cluster.add_node(wait=False, **self._node(node))
            self._cluster.wait_for_nodes(timeout=120)
            ray.init(address=self._cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        serve.start(proxy_location="HeadOnly", http_options={"host": self._host, "port": self._port})

    @staticmethod
    def _node(options: dict[str, Any]) -> dict[str, Any]:
        small = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
        return {**small, **options}

    def deploy(self, profile: str, wait: bool = True) -> str:
        """Deploy a profile's application, with the same Serve config as Kubernetes. Returns the base URL."""
        from ray.serve.context import _get_global_client
        from ray.serve.schema import ServeDeploySchema

        config = serve_config(load_profile(profile), host=self._host, port=self._port)
        config["proxy_location"] = "HeadOnly"  # every node has this machine's one address
        client = _get_global_client()
        assert client is not None, "serve.start made one"
        client.deploy_apps(ServeDeploySchema.model_validate(config))
        if wait:
            wait_until_running()
        return f"http://{self._host}:{self._port}"

    def status(self) -> tuple[str, str]:
        """(the application's status, its message)."""
        from deployments.ray_support.status import application_overview

        overview = application_overview(APPLICATION).app_status
        return overview.status, overview.message

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Live nodes: id -> resources, used resources, and the node's replicas as [deployment, replica, pid]."""
        import ray
        from ray._private.state import available_resources_per_node
        from ray.serve.context import _get_global_client

        free = available_resources_per_node()
        told: dict[str, dict[str, Any]] = {}
        for node in ray.nodes():
            if node["Alive"]:
                total, left = node["Resources"], free.get(node["NodeID"], {})
                used = {kind: total[kind] - left.get(kind, 0) for kind in ("CPU", "GPU") if kind in total}
                told[node["NodeID"]] = {"total": total, "used": used, "labels": node["Labels"], "replicas": []}
        client = _get_global_client()
        assert client is not None, "serve.start made one"
        application = client.get_serve_details()["applications"].get(APPLICATION, {"deployments": {}})
        for name, deployment in application["deployments"].items():
            for replica in deployment["replicas"]:
                if replica["state"] == RUNNING and replica["node_id"] in told:
                    told[replica["node_id"]]["replicas"].append([name, replica["replica_id"], replica["pid"]])
        return told

    def kill(self, node_id: str) -> None:
        """Kill every process of the node at once without notice, as a power failure does."""
        (node,) = [node for node in self._cluster.worker_nodes if node.node_id == node_id]
        ours = [psutil.Process(one.process.pid) for kind in node.all_processes.values() for one in kind]
        for process in [*ours, *(child for one in ours for child in one.children(recursive=True))]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._cluster.remove_node(node, allow_graceful=False)

    def gcs_runs(self) -> bool:
        """Whether the head's GCS runs."""
        head: Any = self._cluster.head_node  # Ray annotates it None
        return all(one.process.poll() is None for one in head.all_processes.get("gcs_server", ()))

    def restart_gcs(self, down_s: float) -> None:
        """Kill the head's GCS, if it runs, and restart it after some time. With Redis it keeps its state."""
        import time

        head: Any = self._cluster.head_node  # Ray annotates it None
        head.kill_gcs_server(check_alive=False)
        time.sleep(down_s)
        with environment({**ENVIRONMENT, **self._settings}):
            head.start_gcs_server()


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Ray's own words do not belong among the answers
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    cluster = SeveralNodes(**json.loads(sys.argv[1]))
    for line in sys.stdin:
        verb, *args = json.loads(line)
        try:
            answer = {"ok": getattr(cluster, verb)(*args)}
        except Exception as error:  # noqa: BLE001 - told to the test, which fails by it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
