"""The RayJob of a big training: KubeRay's schema, the pool's pods, and a command that exists."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from cluster.kube import schemas
from cluster.kube.build import build
from cluster.kube.rayjob import MOUNT, ray_job
from cluster.kube.rayservice import ray_service
from cluster.profiles import load_profile
from tests.cli_server import call

ROOT = Path(__file__).parents[3]


def test_the_job_fits_kuberays_schema_with_its_volume() -> None:
    manifests = build(ROOT / "k8s/training")
    assert sorted(one["kind"] for one in manifests) == ["PersistentVolumeClaim", "RayJob"]
    assert [fault for one in manifests for fault in schemas.faults(one)] == []


def test_an_unknown_field_of_the_job_and_of_its_cluster_is_a_fault() -> None:
    job = ray_job(load_profile("production"))
    job["spec"]["retries"] = 3
    job["spec"]["rayClusterSpec"]["headGroups"] = []
    assert len(list(schemas.faults(job))) == 2


def test_its_workers_are_the_pods_of_the_trainers_pool() -> None:
    profile = load_profile("production")
    (workers,) = ray_job(profile)["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    groups = ray_service(profile)["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    served = next(one for one in groups if one["groupName"] == "train")
    ours, theirs = (group["template"]["spec"] for group in (workers, served))
    assert workers["replicas"] == profile.pools["train"].nodes.max
    assert ours["affinity"] == theirs["affinity"]
    assert ours["containers"][0]["resources"] == theirs["containers"][0]["resources"]
    assert {"name": "training", "mountPath": MOUNT} in ours["containers"][0]["volumeMounts"]


def test_a_profile_without_a_trainer_on_a_gpu_has_no_job() -> None:
    with pytest.raises(ValueError, match="must have a trainer with a gpu_share"):
        ray_job(load_profile("one-gpu"))


def test_its_command_is_one_that_packshot_takes() -> None:
    """Every option exists; what is not there is the folder of pictures."""
    packshot, *arguments = shlex.split(ray_job(load_profile("production"))["spec"]["entrypoint"])
    assert packshot == "packshot"
    options = {one for one in arguments if one.startswith("--")}
    told = call("train", "lora", "--help").output
    assert [one for one in options if one not in told] == []
