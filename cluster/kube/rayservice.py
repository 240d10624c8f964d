"""Renders a profile as a RayService (KubeRay 1.7, `ray.io/v1`) and the disruption budgets of its pods.

A profile of one machine becomes one pod, a head that also serves. A profile with several pools becomes a head that
serves nothing and a worker group for each pool. The components patch or replace the names of settings, secrets, volumes
and images.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import yaml

from cluster.local import JSON_LOGS
from cluster.profiles import Head, Pool, Profile
from cluster.render import POOL_LABEL, serve_config

NAME = "packshot"
"""Name of the RayService. KubeRay allows at most 47 characters."""
PART_OF = {"app.kubernetes.io/part-of": NAME}
SERVE_PORT, METRICS_PORT, AGENT_PORT = 8000, 8080, 52365
USER_ID = 10001
"""User and group of the image's user. Volumes belong to this group."""

DRAIN_S = 120
"""Longest wait of a draining Ray node for its replicas: the largest graceful_shutdown_timeout_s of deployments/*.py."""
GRACE_S = DRAIN_S + 30
"""Grace period of a pod: Ray's drain, and time for its processes to end."""
OLD_CLUSTER_S = DRAIN_S + 60
"""How long an upgrade keeps the old cluster after the new one has taken over the traffic."""

CPU_IMAGE, CUDA_IMAGE = "packshot-cpu", "packshot-cuda"
"""Image names, which `images:` of each overlay replaces by a registry's name and digest."""
STAY = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
"""Annotations of Ray's pods: no node autoscaler moves them to save a node. Ray's own autoscaler removes idle pods."""
ALWAYS_ON, BURST = "packshot-serving", "packshot-burst"
"""Priority classes (k8s/base/priorities.yaml). A pool that may have no node is a burst."""
BY_HAND = "packshot/evict-by-hand"
"""Annotation of a budget that refuses every eviction: where the runbook says how to move the pod."""
TEMPORARY_GIB, HOME_GIB = 20, 5
"""Size of the volumes for Ray's session folder (logs, spilled objects), and for caches. Both end with the pod."""

MIB = 1024 * 1024


def ray_service(profile: Profile) -> dict[str, Any]:
    """The RayService of a profile, named `packshot`. Raises BadInput as `serve_config` and `Profile.machine` do."""
    one_machine = len(profile.pools) == 1
    cluster: dict[str, Any] = {
        "rayVersion": version("ray"),
        "authOptions": {"mode": "token", "secretName": "ray-auth-token"},
        "headGroupSpec": head_group(profile.machine if one_machine else profile.head or Head()),
        "workerGroupSpecs": [] if one_machine else [worker_group(name, pool) for name, pool in profile.pools.items()],
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": NAME, "labels": PART_OF},
        "spec": {
            "upgradeStrategy": {"type": "NewCluster"},
            "rayClusterDeletionDelaySeconds": OLD_CLUSTER_S,
            "excludeHeadPodFromServeSvc": not one_machine,
            "serveConfigV2": _block(serve_config(profile, host="0.0.0.0", port=SERVE_PORT)),  # noqa: S104 - the pod's
            "rayClusterConfig": cluster,
        },
    }


def disruption_budgets(profile: Profile) -> list[dict[str, Any]]:
    """A PodDisruptionBudget for the head, and for each pool that always has a node.

    Of two or more nodes one may be evicted at a time. A single pod may not be evicted: somebody chooses the moment and
    deletes it (annotation BY_HAND). A pool without a minimum has none, because its shots return to the queue.
    The pods of a RayCluster have no scale subresource, so a budget must state `minAvailable` as an integer.
    """
    pods = {"head": 1} if len(profile.pools) == 1 else {"head": 1, **{n: p.nodes.min for n, p in profile.pools.items()}}
    return [_budget(component, count) for component, count in pods.items() if count]


def _budget(component: str, pods: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": f"{NAME}-{component}", "labels": PART_OF}
    if pods == 1:
        metadata["annotations"] = {BY_HAND: "docs/runbook.md#move-a-pod-that-may-not-be-evicted"}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata,
        "spec": {
            "minAvailable": max(1, pods - 1),
            "selector": {"matchLabels": {**PART_OF, "app.kubernetes.io/component": component}},
        },
    }


def head_group(size: Pool | Head) -> dict[str, Any]:
    """The head group. A pool is that of a one-machine profile, whose replicas run on the head."""
    own_address = "0.0.0.0"  # noqa: S104 - every address of the pod
    start = {"dashboard-host": own_address, "metrics-export-port": str(METRICS_PORT)}
    serving = size if isinstance(size, Pool) else None
    start["num-cpus"] = f"{serving.cpus:g}" if serving else "0"
    start["num-gpus"] = str(serving.gpus) if serving else "0"
    if serving:
        start["object-store-memory"] = str(serving.object_store_mib * MIB)
    container = _container("ray-head", size)
    container["ports"] = _ports(gcs=6379, dashboard=8265, client=10001, metrics=METRICS_PORT, serve=SERVE_PORT)
    container["livenessProbe"] = _probe(_healthz(), timeout_s=5, failures=120, delay_s=30)
    container["readinessProbe"] = _probe(_healthz(), timeout_s=5, failures=10, delay_s=10)
    template = _pod("head", container, ALWAYS_ON)
    if serving:
        template["spec"] |= _placement(serving)
    return {"serviceType": "ClusterIP", "rayStartParams": start, "template": template}


def worker_group(name: str, pool: Pool) -> dict[str, Any]:
    start = {
        "num-cpus": f"{pool.cpus:g}",
        "num-gpus": str(pool.gpus),
        "object-store-memory": str(pool.object_store_mib * MIB),
        "metrics-export-port": str(METRICS_PORT),
    }
    container = _container("ray-worker", pool)
    container["ports"] = _ports(metrics=METRICS_PORT, serve=SERVE_PORT)
    container["livenessProbe"] = _probe(_healthz(), timeout_s=2, failures=120, delay_s=30)
    container["readinessProbe"] = _probe(_serves(), timeout_s=10, failures=1, delay_s=10)
    template = _pod(name, container, ALWAYS_ON if pool.nodes.min else BURST)
    template["spec"] |= _placement(pool)
    template["spec"]["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {**PART_OF, "app.kubernetes.io/component": name}},
        }
    ]
    return {
        "groupName": name,
        "labels": {POOL_LABEL: name},
        "replicas": pool.nodes.min,
        "minReplicas": pool.nodes.min,
        "maxReplicas": pool.nodes.max,
        "rayStartParams": start,
        "template": template,
    }


def _placement(pool: Pool) -> dict[str, Any]:
    """The part of a pod's spec that selects the pool's nodes: by label, and past the taint of GPU nodes."""
    found: dict[str, Any] = {}
    if pool.gpus:
        found["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    if pool.required_labels:
        wanted = [{"key": key, "operator": "In", "values": [*values]} for key, values in pool.required_labels.items()]
        required = {"nodeSelectorTerms": [{"matchExpressions": wanted}]}
        found["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return found


def _pod(component: str, container: dict[str, Any], priority: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {**PART_OF, "app.kubernetes.io/component": component}, "annotations": dict(STAY)},
        "spec": {
            "priorityClassName": priority,
            "serviceAccountName": NAME,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": GRACE_S,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {"name": "tmp", "emptyDir": {"sizeLimit": f"{TEMPORARY_GIB}Gi"}},
                {"name": "home", "emptyDir": {"sizeLimit": f"{HOME_GIB}Gi"}},
            ],
        },
    }


def _container(name: str, size: Pool | Head) -> dict[str, Any]:
    # Requests equal limits: Ray schedules by the resources stated at its start, and the object store uses pod memory.
    resources = {"cpu": f"{size.cpus:g}", "memory": f"{size.memory_gib:g}Gi"}
    with_gpus = size if isinstance(size, Pool) and size.gpus else None
    env = {
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(DRAIN_S),
        "RAY_SERVE_REQUEST_LATENCY_BUCKETS_MS": LATENCY_BUCKETS_MS,
        "RAY_USAGE_STATS_ENABLED": "0",
        **JSON_LOGS,
    }
    if with_gpus:
        resources["nvidia.com/gpu"] = str(with_gpus.gpus)
        env["PACKSHOT_GPU_GIB"] = f"{with_gpus.device.memory_gib:g}"
    return {
        "name": name,
        "image": CUDA_IMAGE if with_gpus else CPU_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "envFrom": [{"configMapRef": {"name": "packshot-settings"}}],
        "resources": {"requests": dict(resources), "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume
            {"name": "home", "mountPath": "/var/lib/packshot"},
        ],
    }


LATENCY_BUCKETS_MS = "10,25,50,100,200,300,500,750,1000,1500,2000,3000,5000,7500,10000,20000,30000,60000,120000"
"""Serve's default buckets have none between 10 s and 60 s, where the bounds of objectives may lie."""


def _ports(**ports: int) -> list[dict[str, Any]]:
    names = {"gcs": "gcs-server"}
    return [{"name": names.get(name, name), "containerPort": port} for name, port in ports.items()]


def _healthz() -> dict[str, Any]:
    return {"httpGet": {"path": "/api/healthz", "port": AGENT_PORT}}


def _serves() -> dict[str, Any]:
    """KubeRay's own readiness check: the raylet is healthy, and this node's proxy accepts requests.

    A proxy accepts requests only on a node with replicas.
    """
    checks = (
        f"wget --tries 1 -T 2 -q -O- http://localhost:{AGENT_PORT}/api/local_raylet_healthz | grep success",
        f"wget --tries 1 -T 10 -q -O- http://localhost:{SERVE_PORT}/-/healthz | grep success",
    )
    return {"exec": {"command": ["bash", "-c", " && ".join(checks)]}}


def _probe(action: dict[str, Any], *, timeout_s: int, failures: int, delay_s: int) -> dict[str, Any]:
    return {
        **action,
        "initialDelaySeconds": delay_s,
        "periodSeconds": 5,
        "timeoutSeconds": timeout_s,
        "failureThreshold": failures,
    }


class _Block(str):
    """Text that is written as a literal YAML block."""


def _block(value: dict[str, Any]) -> _Block:
    return _Block(yaml.safe_dump(value, sort_keys=False, width=110))


class Dumper(yaml.SafeDumper):
    """A YAML dumper that writes literal blocks and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


Dumper.add_representer(
    _Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)


def to_yaml(*objects: dict[str, Any]) -> str:
    """The manifests as one YAML stream."""
    return "---\n".join(yaml.dump(one, Dumper=Dumper, sort_keys=False, width=110) for one in objects)
