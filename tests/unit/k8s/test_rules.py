"""Each rule finds the fault that it is for: production's manifests, with one thing broken."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cluster.kube import pods, promql, rules, schemas
from cluster.kube.build import Manifest


def container(manifests: list[Manifest], kind: str, name: str = "packshot") -> Manifest:
    one = named(manifests, kind, name)
    if kind == "RayService":
        return one["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    return one["spec"]["template"]["spec"]["containers"][0]


def named(manifests: list[Manifest], kind: str, name: str = "packshot") -> Manifest:
    return next(one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == name)


def worker_pod(manifests: list[Manifest]) -> Manifest:
    return named(manifests, "RayService")["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]


def without(mapping: Manifest, key: str) -> None:
    del mapping[key]


def served(manifests: list[Manifest], **args: object) -> None:
    """Give the cluster's application other arguments."""
    spec = named(manifests, "RayService")["spec"]
    config = yaml.safe_load(spec["serveConfigV2"])
    config["applications"][0]["args"] = args
    spec["serveConfigV2"] = yaml.safe_dump(config)


def drop(manifests: list[Manifest], kind: str, name: str) -> None:
    manifests.remove(named(manifests, kind, name))


BREAKS: dict[str, Callable[[list[Manifest]], object]] = {
    "non_root": lambda m: worker_pod(m)["securityContext"].update(runAsUser=0),
    "read_only_root": lambda m: container(m, "RayService")["securityContext"].update(readOnlyRootFilesystem=False),
    "no_privilege: ray-worker must state": lambda m: container(m, "RayService")["securityContext"].update(
        privileged=True
    ),
    "no_privilege: ray-worker must drop": lambda m: container(m, "RayService")["securityContext"].update(
        capabilities={"drop": ["ALL"], "add": ["SYS_PTRACE"]}
    ),
    "seccomp": lambda m: without(worker_pod(m)["securityContext"], "seccompProfile"),
    "no_host: hostNetwork": lambda m: worker_pod(m).update(hostNetwork=True),
    "no_host: volume x must not be a hostPath": lambda m: worker_pod(m)["volumes"].append(
        {"name": "x", "hostPath": {"path": "/"}}
    ),
    "no_host: volume y must have a sizeLimit": lambda m: worker_pod(m)["volumes"].append({"name": "y", "emptyDir": {}}),
    "no_host: hostPort": lambda m: container(m, "RayService")["ports"][0].update(hostPort=80),
    "resources: nginx must state limits.memory": lambda m: without(
        container(m, "Deployment", "packshot-edge")["resources"]["limits"], "memory"
    ),
    "resources: redis must request as much memory": lambda m: container(m, "StatefulSet", "packshot-redis")[
        "resources"
    ]["requests"].update(memory="1Mi"),
    "probes: redis must have a readinessProbe": lambda m: without(
        container(m, "StatefulSet", "packshot-redis"), "readinessProbe"
    ),
    "images: ray-worker must name its image by digest, got registry.example.com/packshot:latest": lambda m: container(
        m, "RayService"
    ).update(image="registry.example.com/packshot:latest"),
    "images: ray-worker must name its image by digest, got packshot:latest": lambda m: container(
        m, "RayService"
    ).update(image="packshot:latest"),
    "images: ray-worker must have imagePullPolicy IfNotPresent": lambda m: container(m, "RayService").update(
        imagePullPolicy="Always"
    ),
    "service_account: serviceAccountName": lambda m: worker_pod(m).update(serviceAccountName="default"),
    "service_account: automountServiceAccountToken": lambda m: worker_pod(m).update(automountServiceAccountToken=True),
    "no_secrets: RAY_AUTH_TOKEN": lambda m: container(m, "RayService")["env"].append(
        {"name": "RAY_AUTH_TOKEN", "value": "abc"}
    ),
    "no_secrets: WHERE": lambda m: container(m, "RayService")["env"].append(
        {"name": "WHERE", "value": "postgresql://me:word@db/packshot"}
    ),
    "drain: terminationGracePeriodSeconds must be ≥ the drain + 30 s, got 120": lambda m: worker_pod(m).update(
        terminationGracePeriodSeconds=120
    ),
    "drain: preStop": lambda m: container(m, "RayService").update(
        lifecycle={"preStop": {"exec": {"command": ["ray", "stop"]}}}
    ),
    "weights_gate: an initContainer that mounts packs must run packshot packs wait PACK": lambda m: without(
        worker_pod(m), "initContainers"
    ),
    "weights_gate: an initContainer that mounts packs must": lambda m: worker_pod(m)["initContainers"][0].update(
        command=["sleep", "60"]
    ),
    "every_pack: RayService/packshot/cpu: wait-weights must name every pack that is served, add sdxl": lambda m: served(
        m, engines=["sd15", "sdxl"]
    ),
    "every_pack: Job/packshot-model-fetch: fetch must name every pack that is served, add sam2.1": lambda m: served(
        m, pack="sd15", segmenter="sam2.1"
    ),
    "spread: 2 replicas": lambda m: without(worker_pod(m), "topologySpreadConstraints"),
    "no_secret_in_git: Secret/x": lambda m: m.append(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "packshot"}}
    ),
    "no_secret_in_git: ConfigMap/x": lambda m: m.append(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "x", "namespace": "packshot"},
            "data": {"PASSWORD": "abc"},
        }
    ),
    "restricted_namespace: Namespace/packshot": lambda m: named(m, "Namespace")["metadata"].update(labels={}),
    "restricted_namespace: Service/packshot-edge": lambda m: named(m, "Service", "packshot-edge")["metadata"].update(
        namespace="default"
    ),
    "budgets: Deployment/packshot-edge has 3 replicas": lambda m: drop(m, "PodDisruptionBudget", "packshot-edge"),
    "budgets: RayService/packshot/cpu has 2 replicas": lambda m: drop(m, "PodDisruptionBudget", "packshot-cpu"),
    "budgets: PodDisruptionBudget/packshot-cpu must state minAvailable as a number": lambda m: named(
        m, "PodDisruptionBudget", "packshot-cpu"
    )["spec"].update(minAvailable=None, maxUnavailable=1),
    "budgets: PodDisruptionBudget/packshot-cpu must allow one eviction": lambda m: named(
        m, "PodDisruptionBudget", "packshot-cpu"
    )["spec"].update(minAvailable=2),
    "budgets: PodDisruptionBudget/packshot-head must allow one eviction": lambda m: named(
        m, "PodDisruptionBudget", "packshot-head"
    )["metadata"].update(annotations={}),
    "budgets: RayService/packshot/head is a single pod that serves": lambda m: drop(
        m, "PodDisruptionBudget", "packshot-head"
    ),
    "priority_classes: RayService/packshot/paint must name a PriorityClass": lambda m: drop(
        m, "PriorityClass", "packshot-burst"
    ),
    "stays: the annotation cluster-autoscaler.kubernetes.io/safe-to-evict must be 'false'": lambda m: named(
        m, "RayService"
    )["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["metadata"].update(annotations={}),
    "stays: priorityClassName": lambda m: without(worker_pod(m), "priorityClassName"),
    "budgets: PodDisruptionBudget/packshot-edge must select pods": lambda m: named(
        m, "PodDisruptionBudget", "packshot-edge"
    )["spec"].update(selector={"matchLabels": {"app": "gone"}}),
    "isolated: Job/packshot-model-fetch must be selected by a NetworkPolicy for Ingress": lambda m: drop(
        m, "NetworkPolicy", "packshot-default-deny"
    ),
    "isolated: RayService/packshot/cpu must be allowed egress to DNS": lambda m: drop(
        m, "NetworkPolicy", "packshot-dns"
    ),
    "isolated: RayService/packshot/head must be allowed egress to the API server": lambda m: drop(
        m, "NetworkPolicy", "packshot-head"
    ),
    "services: Service/packshot-edge must be a ClusterIP": lambda m: named(m, "Service", "packshot-edge")[
        "spec"
    ].update(type="LoadBalancer"),
    "services: Service/packshot-edge must select": lambda m: named(m, "Service", "packshot-edge")["spec"].update(
        selector={"app": "gone"}
    ),
    "services: Service/packshot-edge must target": lambda m: named(m, "Service", "packshot-edge")["spec"]["ports"][
        0
    ].update(targetPort="gone"),
    "ray_token": lambda m: without(named(m, "RayService")["spec"]["rayClusterConfig"], "authOptions"),
    "shared_store: RayService/packshot: worker group cpu must take PACKSHOT_ASSETS_URL": lambda m: without(
        container(m, "RayService"), "envFrom"
    ),
}


@pytest.mark.parametrize("told", BREAKS)
def test_a_rule_finds_its_fault(production: list[Manifest], told: str) -> None:
    BREAKS[told](production)
    assert any(told in fault for fault in rules.faults(production)), list(rules.faults(production))


def test_every_rule_has_a_fault_that_it_finds() -> None:
    known = {rule.__name__ for rule in (*rules.RULES, *pods.POD_RULES)}
    assert {told.split(":")[0] for told in BREAKS} == known


def edge(manifests: list[Manifest]) -> Manifest:
    return named(manifests, "Deployment", "packshot-edge")


@pytest.mark.parametrize(
    ("pick", "change", "told"),
    [
        (lambda m: named(m, "RayService"), lambda one: one["spec"].update(serveConfigV3="x"), "serveConfigV3"),
        (
            lambda m: named(m, "RayService"),
            lambda one: worker_pod([one]).update(terminationGracePeriod=1),
            "terminationGracePeriod",
        ),
        (
            lambda m: named(m, "RayService"),
            lambda one: one["spec"]["rayClusterConfig"].update(authOptions={"mode": "none"}),
            "none",
        ),
        (edge, lambda one: one["spec"].update(replicas="three"), "three"),
        (edge, lambda one: one["spec"].update(replica=3), "replica"),
        (edge, lambda one: one.update(apiVersion="apps/v2"), "apps/v2"),
        (
            lambda m: named(m, "HTTPRoute"),
            lambda one: one["spec"]["rules"][0].update(timeouts={"request": "soon"}),
            "soon",
        ),
        (lambda m: named(m, "PodMonitor", "packshot-ray"), lambda one: one["spec"].update(endpoint=[]), "endpoint"),
    ],
)
def test_a_schema_finds_what_the_api_server_would_refuse_or_drop(
    production: list[Manifest],
    pick: Callable[[list[Manifest]], Manifest],
    change: Callable[[Manifest], object],
    told: str,
) -> None:
    one = pick(production)
    change(one)
    assert any(told in fault for fault in schemas.faults(one))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"expr": "sum(rate(x[5m])"}, "must parse"),
        ({"expr": "packshot:unknown:ratio > 1"}, "must be recorded"),
        ({"labels": {"severity": "loud"}}, "severity"),
        ({"annotations": {"summary": "x"}}, "runbook"),
    ],
)
def test_a_faulty_alert_is_found(production: list[Manifest], change: dict[str, Any], told: str) -> None:
    groups = named(production, "PrometheusRule")["spec"]["groups"]
    groups[-1]["rules"][0].update(change)
    assert any(told in fault for fault in promql.faults(production))
