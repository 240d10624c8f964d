"""Rules for every pod of an overlay, after kube-linter's checks and the restricted pod security standard.

A rule is a function that yields the faults of one pod. A report names a fault's rule by the function's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cluster.kube.build import Manifest
from cluster.kube.rayservice import STAY

TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "Job")
SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|TOKEN|SECRET|CREDENTIAL|PRIVATE|_KEY$|^KEY$)", re.IGNORECASE)
WAIT_COMMAND = ["packshot", "packs", "wait"]
CREDENTIALS_IN_URL = re.compile(r"://[^\s:/@$]+:[^\s@$]+@")


@dataclass(frozen=True)
class Pod:
    """A pod template and its owner.

    `owner` is kind and name, for a RayService with the group. `kind` is the owner's kind. `replicas` is the number of
    pods that always run; it is 0 for jobs and daemon sets.
    """

    owner: str
    kind: str
    template: dict[str, Any]
    replicas: int

    @property
    def spec(self) -> dict[str, Any]:
        """The pod's spec."""
        spec: dict[str, Any] = self.template["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the pods, with those that KubeRay adds."""
        labels: dict[str, str] = dict(self.template.get("metadata", {}).get("labels", {}))
        if self.kind == "RayService":
            labels |= {"ray.io/is-ray-node": "yes", "ray.io/node-type": "head" if self.is_head else "worker"}
        return labels

    @property
    def is_head(self) -> bool:
        """Whether this is a Ray head."""
        return self.owner.endswith("/head")

    @property
    def containers(self) -> list[dict[str, Any]]:
        """The init containers and the containers."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods(manifests: list[Manifest]) -> Iterator[Pod]:
    """Every pod template among the manifests."""
    for one in manifests:
        name = f"{one['kind']}/{one['metadata'].get('name')}"
        if one["kind"] in TEMPLATED:
            replicas = one["spec"].get("replicas", 1) if one["kind"] in ("Deployment", "StatefulSet") else 0
            yield Pod(name, one["kind"], one["spec"]["template"], replicas)
        elif one["kind"] == "RayService":
            cluster = one["spec"]["rayClusterConfig"]
            yield Pod(f"{name}/head", "RayService", cluster["headGroupSpec"]["template"], 1)
            for group in cluster.get("workerGroupSpecs", []):
                yield Pod(f"{name}/{group['groupName']}", "RayService", group["template"], group["minReplicas"])


def non_root(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        security = {**pod.spec.get("securityContext", {}), **container.get("securityContext", {})}
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            yield f"{container['name']} must state runAsNonRoot: true and a runAsUser above 0"


def read_only_root(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']} must state readOnlyRootFilesystem: true"


def no_privilege(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        security = container.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            yield f"{container['name']} must state allowPrivilegeEscalation: false and not be privileged"
        if security.get("capabilities", {}).get("drop") != ["ALL"] or security["capabilities"].get("add"):
            yield f"{container['name']} must drop ALL capabilities and add none"


def seccomp(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        security = {**pod.spec.get("securityContext", {}), **container.get("securityContext", {})}
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{container['name']} must have seccompProfile RuntimeDefault"


def no_host(pod: Pod) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(key):
            yield f"{key} must be left out"
    for volume in pod.spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']} must not be a hostPath"
        if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
            yield f"volume {volume['name']} must have a sizeLimit"
    if any("hostPort" in port for container in pod.containers for port in container.get("ports", [])):
        yield "hostPort must be left out"


def resources(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        for bound in ("requests", "limits"):
            stated = container.get("resources", {}).get(bound, {})
            for unit in ("cpu", "memory"):
                if unit not in stated:
                    yield f"{container['name']} must state {bound}.{unit}"
        found = container.get("resources", {})
        if found.get("requests", {}).get("memory") != found.get("limits", {}).get("memory"):
            yield f"{container['name']} must request as much memory as its limit, or it may be evicted"


def probes(pod: Pod) -> Iterator[str]:
    if pod.kind == "Job":
        return
    for container in pod.spec["containers"]:
        for probe in ("livenessProbe", "readinessProbe"):
            if probe not in container:
                yield f"{container['name']} must have a {probe}"


def images(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        image = str(container["image"])
        digest = re.search(r"@sha256:[0-9a-f]{64}$", image)
        name, _, tag = image.rpartition(":")
        # An image that was built here and loaded into a development cluster has no registry and no digest.
        built_here = "/" not in image and name and tag != "latest"
        if not digest and not built_here:
            yield f"{container['name']} must name its image by digest, got {image}"
        if container.get("imagePullPolicy") != "IfNotPresent":
            yield f"{container['name']} must have imagePullPolicy IfNotPresent: a digest never changes"


def service_account(pod: Pod) -> Iterator[str]:
    if pod.spec.get("serviceAccountName", "default") == "default":
        yield "serviceAccountName must be stated and differ from default"
    if pod.spec.get("automountServiceAccountToken") is not False and not pod.is_head:
        yield (
            "automountServiceAccountToken must be false: only the autoscaler, in the head's pod, calls the API server"
        )


def no_secrets(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        for variable in container.get("env", []):
            value = str(variable.get("value", ""))
            if value and (SECRET_NAME.search(variable["name"]) or CREDENTIALS_IN_URL.search(value)):
                yield f"{variable['name']} must come from a secret, not from the manifest"


def drain(pod: Pod) -> Iterator[str]:
    """A Ray pod needs time for Ray's drain and the end of its processes. `ray stop` as preStop would skip the drain."""
    if pod.kind != "RayService":
        return
    env = {row["name"]: row.get("value") for row in pod.spec["containers"][0].get("env", [])}
    drain_s = float(env.get("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", 30))
    grace_s = pod.spec.get("terminationGracePeriodSeconds", 30)
    if grace_s < drain_s + 30:
        yield f"terminationGracePeriodSeconds must be ≥ the drain + 30 s, got {grace_s} and {drain_s:g}"
    if "preStop" in pod.spec["containers"][0].get("lifecycle", {}):
        yield "preStop must be left out: the drain begins with SIGTERM"


def weights_gate(pod: Pod) -> Iterator[str]:
    """A Ray pod with a volume of weights must wait for them, because Serve gives up on replicas that start without."""
    if pod.kind != "RayService":
        return
    packs = {mount["name"] for mount in pod.spec["containers"][0].get("volumeMounts", []) if is_packs(mount)}
    gates = [one for one in pod.spec.get("initContainers", []) if one.get("command", [])[:3] == WAIT_COMMAND]
    seen = {mount["name"] for gate in gates for mount in gate.get("volumeMounts", []) if is_packs(mount)}
    if packs - seen:
        yield f"an initContainer that mounts {', '.join(packs)} must run {' '.join(WAIT_COMMAND)} PACK"


def is_packs(mount: dict[str, Any]) -> bool:
    """Whether a volume is mounted as the folder of the packs' weights."""
    return str(mount["mountPath"]).rstrip("/").endswith("/packs")


def stays(pod: Pod) -> Iterator[str]:
    """A node autoscaler must not move a Ray pod to save a node. And a burst must not displace what always runs."""
    if pod.kind != "RayService":
        return
    found = pod.template.get("metadata", {}).get("annotations", {})
    for key, value in STAY.items():
        if found.get(key) != value:
            yield f"the annotation {key} must be {value!r}, got {found.get(key)!r}"
    if not pod.spec.get("priorityClassName"):
        yield "priorityClassName must be stated"


def spread(pod: Pod) -> Iterator[str]:
    if pod.replicas >= 2 and not (pod.spec.get("topologySpreadConstraints") or pod.spec.get("affinity")):
        yield f"{pod.replicas} replicas must be spread over nodes by topologySpreadConstraints or podAntiAffinity"


POD_RULES: tuple[Callable[[Pod], Iterator[str]], ...] = (
    non_root,
    read_only_root,
    no_privilege,
    seccomp,
    no_host,
    resources,
    probes,
    images,
    service_account,
    no_secrets,
    drain,
    weights_gate,
    stays,
    spread,
)
