"""Rules for a whole overlay. `faults` applies these and the rules for every pod (pods.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import yaml

from cluster.kube.build import Manifest
from cluster.kube.pods import CREDENTIALS_IN_URL, POD_RULES, SECRET_NAME, WAIT_COMMAND, Pod, pods
from cluster.kube.rayservice import BY_HAND

CLUSTER_WIDE = ("Namespace", "PriorityClass")
STORE_VARIABLES = {"PACKSHOT_DATABASE_URL", "PACKSHOT_ASSETS_URL"}


def faults(manifests: list[Manifest]) -> Iterator[str]:
    """The violations of all rules, one line each: object, rule and remedy."""
    for pod in pods(manifests):
        for rule in POD_RULES:
            for fault in rule(pod):
                yield f"{pod.owner}: {rule.__name__}: {fault}"
    for check in RULES:
        for fault in check(manifests):
            yield f"{check.__name__}: {fault}"


def no_secret_in_git(manifests: list[Manifest]) -> Iterator[str]:
    for one in manifests:
        if one["kind"] == "Secret":
            yield f"Secret/{one['metadata']['name']} must be created in the cluster, not committed"
        for key, value in (one.get("data") or {}).items() if one["kind"] == "ConfigMap" else ():
            if CREDENTIALS_IN_URL.search(str(value)) or (SECRET_NAME.search(key) and "\n" not in str(value)):
                yield f"ConfigMap/{one['metadata']['name']}: {key} must come from a secret"


def restricted_namespace(manifests: list[Manifest]) -> Iterator[str]:
    names = set()
    for one in of_kind(manifests, "Namespace"):
        names.add(one["metadata"]["name"])
        if one["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace/{one['metadata']['name']} must enforce the restricted pod security standard"
    for one in manifests:
        if one["kind"] not in CLUSTER_WIDE and one["metadata"].get("namespace") not in names:
            yield f"{one['kind']}/{one['metadata']['name']} must be in the overlay's namespace {sorted(names)}"


def budgets(manifests: list[Manifest]) -> Iterator[str]:
    """Pods with several replicas and heads must have a budget. One that forbids every eviction must name its recipe."""
    all_pods = list(pods(manifests))
    for budget in of_kind(manifests, "PodDisruptionBudget"):
        name, spec = budget["metadata"]["name"], budget["spec"]
        chosen = [pod for pod in all_pods if selects(spec["selector"], pod.labels)]
        if not chosen:
            yield f"PodDisruptionBudget/{name} must select pods, but selects none"
        kept, lost = spec.get("minAvailable"), spec.get("maxUnavailable")
        if any(pod.kind == "RayService" for pod in chosen) and not isinstance(kept, int):
            yield (
                f"PodDisruptionBudget/{name} must state minAvailable as a number: Ray's pods have no scale "
                "subresource, which maxUnavailable needs"
            )
        forbids = lost in (0, "0%") or (isinstance(kept, int) and kept >= sum(pod.replicas for pod in chosen))
        if forbids and not budget["metadata"].get("annotations", {}).get(BY_HAND):
            yield (
                f"PodDisruptionBudget/{name} must allow one eviction, got minAvailable {kept}, maxUnavailable {lost}; "
                f"or name the recipe for moving its pod by hand in the annotation {BY_HAND}"
            )
    selectors = [budget["spec"]["selector"] for budget in of_kind(manifests, "PodDisruptionBudget")]
    for pod in all_pods:
        if any(selects(selector, pod.labels) for selector in selectors):
            continue
        if pod.replicas >= 2:
            yield f"{pod.owner} has {pod.replicas} replicas and must have a PodDisruptionBudget"
        elif pod.replicas and pod.kind == "RayService":
            yield f"{pod.owner} is a single pod that serves and must have a PodDisruptionBudget"


def priority_classes(manifests: list[Manifest]) -> Iterator[str]:
    """A pod that names a priority class must find it among the manifests, or the API server refuses the pod."""
    known = {one["metadata"]["name"] for one in of_kind(manifests, "PriorityClass")}
    for pod in pods(manifests):
        name = pod.spec.get("priorityClassName")
        if name is not None and name not in known:
            yield f"{pod.owner} must name a PriorityClass of the overlay ({', '.join(sorted(known))}), got {name}"


def isolated(manifests: list[Manifest]) -> Iterator[str]:
    """Each pod must be selected by a policy for both directions, and its egress must allow DNS."""
    policies = of_kind(manifests, "NetworkPolicy")
    for pod in pods(manifests):
        chosen = [policy for policy in policies if selects(policy["spec"]["podSelector"], pod.labels)]
        for direction in ("Ingress", "Egress"):
            if not any(direction in policy["spec"]["policyTypes"] for policy in chosen):
                yield f"{pod.owner} must be selected by a NetworkPolicy for {direction}"
        ports = {
            (port.get("protocol", "TCP"), port.get("port"))
            for policy in chosen
            for rule in policy["spec"].get("egress") or []
            for port in rule.get("ports", [])
        }
        if not {("UDP", 53), ("TCP", 53)} <= ports:
            yield f"{pod.owner} must be allowed egress to DNS, UDP and TCP 53"
        if pod.spec.get("automountServiceAccountToken") is not False and not {("TCP", 443), ("TCP", 6443)} <= ports:
            yield f"{pod.owner} must be allowed egress to the API server, TCP 443 and 6443"


def services(manifests: list[Manifest]) -> Iterator[str]:
    all_pods = list(pods(manifests))
    for service in of_kind(manifests, "Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        if spec.get("type", "ClusterIP") != "ClusterIP":
            yield f"Service/{name} must be a ClusterIP: traffic enters through the edge's route"
        chosen = [pod for pod in all_pods if selects({"matchLabels": spec["selector"]}, pod.labels)]
        if not chosen:
            yield f"Service/{name} must select pods, but selects none"
        named = {port["name"] for pod in chosen for one in pod.containers for port in one.get("ports", [])}
        for port in spec["ports"]:
            if isinstance(port.get("targetPort"), str) and port["targetPort"] not in named:
                yield f"Service/{name} must target a named port of its pods, got {port['targetPort']}"


def ray_token(manifests: list[Manifest]) -> Iterator[str]:
    for service in of_kind(manifests, "RayService"):
        name, cluster = service["metadata"]["name"], service["spec"]["rayClusterConfig"]
        auth = cluster.get("authOptions", {})
        if auth.get("mode") != "token" or not auth.get("secretName"):
            yield f"RayService/{name} must require a token: authOptions.mode token, with a secretName"
        if len(name) > 47:
            yield f"RayService/{name} must have a name of at most 47 characters"
        if service["spec"].get("upgradeStrategy", {}).get(
            "type"
        ) == "NewClusterWithIncrementalUpgrade" and not cluster.get("enableInTreeAutoscaling"):
            yield f"RayService/{name} must enable the autoscaler for incremental upgrades"


def shared_store(manifests: list[Manifest]) -> Iterator[str]:
    """A cluster of several nodes must have a shared database and bucket.

    Otherwise each node would have its own store, which the application refuses at its start.
    """
    for service in of_kind(manifests, "RayService"):
        groups = service["spec"]["rayClusterConfig"].get("workerGroupSpecs", [])
        if sum(group.get("maxReplicas", 1) for group in groups) <= 1:
            continue
        for group in groups:
            containers = group["template"]["spec"]["containers"]
            named = {variable["name"] for one in containers for variable in one.get("env", [])}
            secret = any(source.get("secretRef") for one in containers for source in one.get("envFrom", []))
            if not secret and not named >= STORE_VARIABLES:
                yield (
                    f"RayService/{service['metadata']['name']}: worker group {group['groupName']} must take "
                    f"{' and '.join(sorted(STORE_VARIABLES))} from a secret: add the component external-store"
                )


def every_pack(manifests: list[Manifest]) -> Iterator[str]:
    """The job that fetches weights, and each gate that waits for them, must name every pack that the cluster serves."""
    for service in of_kind(manifests, "RayService"):
        served = {
            pack
            for application in yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
            for pack in _packs(application["args"])
        }
        for pod in pods(manifests):
            for container in pod.containers:
                variables = {row["name"]: str(row.get("value", "")) for row in container.get("env", [])}
                named = variables.get("PACKS", "").split()
                if container.get("command", [])[:3] == WAIT_COMMAND:
                    named = container["command"][3:]
                elif "PACKS" not in variables:
                    continue
                if lacks := sorted(served - set(named)):
                    wanted = f"must name every pack that is served, add {', '.join(lacks)}"
                    yield f"{pod.owner}: {container['name']} {wanted}"


def _packs(args: dict[str, Any]) -> set[str]:
    """The packs that an application's arguments name."""
    return {name for name in (args.get("pack"), args.get("segmenter"), *args.get("engines", [])) if name}


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """The manifests of one kind."""
    return [one for one in manifests if one["kind"] == kind]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector matches these labels. An empty selector matches all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(row, labels) for row in selector.get("matchExpressions") or [])


def _holds(row: dict[str, Any], labels: dict[str, str]) -> bool:
    key, values = row["key"], row.get("values", [])
    match row["operator"]:
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case "In":
            return labels.get(key) in values
        case _:
            return labels.get(key) not in values


RULES: tuple[Callable[[list[Manifest]], Iterator[str]], ...] = (
    no_secret_in_git,
    restricted_namespace,
    budgets,
    priority_classes,
    isolated,
    services,
    ray_token,
    shared_store,
    every_pack,
)

__all__ = ["RULES", "Pod", "faults", "of_kind", "selects"]
