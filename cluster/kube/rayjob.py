"""Renders a big training as a RayJob (KubeRay 1.7): `packshot train` on several GPU nodes, beside the RayService.

Trainings over the API run on one device each (deployments/trainer.py). A RayJob has a cluster of its own, which exists
while it trains. Its pictures and results lie on a volume that every pod mounts, so that a pod that dies loses nothing.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from cluster.kube.rayservice import NAME, PART_OF, head_group, worker_group
from cluster.profiles import Head, Profile
from cluster.stages import TRAINER

JOB = f"{NAME}-training"
VOLUME, MOUNT = "training", "/training"
"""The volume of the pictures and results: the claim `packshot-training`, ReadWriteMany."""
RETRIES = 5
"""New attempts after a failure of the whole job. Each resumes from the last checkpoint."""
LONGEST_S = 24 * 3600
KEPT_S = 600
"""How long the ended job's cluster stays, for its logs."""


def ray_job(profile: Profile) -> dict[str, Any]:
    """The RayJob of a LoRA on all nodes of the profile's pool of trainers.

    Raises ValueError when the profile has no trainer with a GPU.
    """
    if TRAINER not in profile.gpu_stages:
        raise ValueError(f"profile {profile.name} must have a trainer with a gpu_share; add it to its stages")
    name = profile.pool_of(TRAINER)
    pool = profile.pools[name]
    workers = worker_group(name, pool)
    workers |= {"replicas": pool.nodes.max, "minReplicas": pool.nodes.max, "maxReplicas": pool.nodes.max}
    (container,) = workers["template"]["spec"]["containers"]
    container["readinessProbe"] = {**container["livenessProbe"], "failureThreshold": 10}  # nothing is served here
    head = head_group(profile.head or Head())
    for group in (head, workers):
        _mount(group["template"]["spec"])
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": JOB, "labels": PART_OF},
        "spec": {
            "entrypoint": _command(profile, pool.max_devices),
            "submissionMode": "HTTPMode",
            "backoffLimit": RETRIES,
            "activeDeadlineSeconds": LONGEST_S,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": KEPT_S,
            "rayClusterSpec": {
                "rayVersion": version("ray"),
                "authOptions": {"mode": "token", "secretName": "ray-auth-token"},
                "headGroupSpec": head,
                "workerGroupSpecs": [workers],
            },
        },
    }


def _command(profile: Profile, workers: int) -> str:
    """The training as it would run on one machine, with a worker a device. `--batch` counts all of them."""
    return (
        f"packshot train lora {MOUNT}/pictures --out {MOUNT}/look --pack {profile.pack} --tag acmelook7 "
        f"--repeats 6 --epochs 10 --batch {2 * workers} --workers {workers} --device cuda --checkpointing"
    )


def _mount(pod: dict[str, Any]) -> None:
    """Mount the training's volume into a pod."""
    pod["volumes"].append({"name": VOLUME, "persistentVolumeClaim": {"claimName": JOB}})
    for container in pod["containers"]:
        container["volumeMounts"].append({"name": VOLUME, "mountPath": MOUNT})
