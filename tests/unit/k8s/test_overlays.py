"""Every overlay builds, fits its schemas and keeps the rules; what is rendered is what is committed."""

from pathlib import Path

import pytest
import yaml

from cluster.kube import promql, rules, schemas
from cluster.kube.build import Manifest
from cluster.kube.pods import pods
from cluster.kube.rayservice import (
    BY_HAND,
    DRAIN_S,
    GRACE_S,
    OLD_CLUSTER_S,
    disruption_budgets,
    ray_service,
    to_yaml,
)
from cluster.kube.rendered import rendered
from cluster.plan.gpus import PRODUCT_LABEL
from cluster.profiles import Head, load_profile, profile_names
from deployments import (
    canny,
    detector,
    director,
    finisher,
    gateway,
    generator,
    mask_decoder,
    photo_decoder,
    producer,
    reference_encoder,
    sam_encoder,
    trainer,
    understand,
)
from deployments.ray_support.decorated import as_deployment
from packshot.errors import BadInput
from packshot.settings import Settings

ROOT = Path(__file__).parents[3]
NAMES = (
    "dev",
    "production",
    "incremental-upgrade",
    "gpu-sharing",
    "outside-probe",
    "eks",
    "gke",
    "signing",
    "loadtest",
)
DEPLOYMENTS = (
    gateway.GatewayDeployment,
    sam_encoder.SamEncoderDeployment,
    mask_decoder.MaskDecoderDeployment,
    detector.DetectorDeployment,
    understand.UnderstandDeployment,
    reference_encoder.ReferenceEncoderDeployment,
    canny.CannyDeployment,
    generator.GeneratorDeployment,
    finisher.FinisherDeployment,
    photo_decoder.PhotoDecoderDeployment,
    producer.ProducerDeployment,
    director.DirectorDeployment,
    trainer.TrainerDeployment,
)


@pytest.mark.parametrize("name", NAMES)
def test_an_overlay_fits_kubernetes_and_kuberays_schemas(overlays: dict[str, list[Manifest]], name: str) -> None:
    assert [fault for manifest in overlays[name] for fault in schemas.faults(manifest)] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_overlay_keeps_the_rules(overlays: dict[str, list[Manifest]], name: str) -> None:
    assert [*rules.faults(overlays[name]), *promql.faults(overlays[name])] == []


def test_what_is_rendered_is_what_is_committed() -> None:
    for path, text in rendered().items():
        assert (ROOT / path).read_text() == text, f"{path} is stale: python -m cluster.kube render"


def test_every_component_is_built_by_a_test(overlays: dict[str, list[Manifest]]) -> None:
    shipped = {folder.name for folder in (ROOT / "k8s/components").iterdir()}
    used = set()
    for overlay in ("dev", "production"):
        text = yaml.safe_load((ROOT / f"k8s/overlays/{overlay}/kustomization.yaml").read_text())
        used |= {Path(path).name for path in text.get("components", [])}
    assert shipped == used | set(overlays) - {"dev", "production", "loadtest"}


@pytest.mark.parametrize("folder", [*sorted((ROOT / "k8s/components").iterdir()), ROOT / "k8s/base", ROOT / "k8s"])
def test_each_component_has_a_readme(folder: Path) -> None:
    assert len((folder / "README.md").read_text().splitlines()) >= 5


def test_the_dev_overlay_is_one_pod_with_its_volume(overlays: dict[str, list[Manifest]]) -> None:
    (pod,) = pods(overlays["dev"])
    assert pod.is_head
    volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
    assert volumes["home"]["persistentVolumeClaim"] == {"claimName": "packshot-home"}
    (service,) = rules.of_kind(overlays["dev"], "RayService")
    assert service["spec"]["excludeHeadPodFromServeSvc"] is False
    assert service["spec"]["rayClusterConfig"]["workerGroupSpecs"] == []


def test_production_gives_each_pool_its_worker_group(overlays: dict[str, list[Manifest]]) -> None:
    (service,) = rules.of_kind(overlays["production"], "RayService")
    cluster = service["spec"]["rayClusterConfig"]
    profile = load_profile("production")
    for group in cluster["workerGroupSpecs"]:
        pool = profile.pools[group["groupName"]]
        assert (group["minReplicas"], group["maxReplicas"]) == (pool.nodes.min, pool.nodes.max)
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert float(limits["cpu"]) == pool.cpus
        assert limits.get("nvidia.com/gpu") == (str(pool.gpus) if pool.gpus else None)
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["gcsFaultToleranceOptions"]["redisAddress"] == "packshot-redis:6379"
    assert yaml.safe_load(service["spec"]["serveConfigV2"])["http_options"] == {"host": "0.0.0.0", "port": 8000}


def test_a_pool_takes_only_nodes_with_its_kind_of_gpu_and_tells_replicas_what_was_planned(
    overlays: dict[str, list[Manifest]],
) -> None:
    """A painter on the segment pool's small GPU, and a segmenter on a painter's, both wait for another node."""
    profile = load_profile("production")
    asked: dict[str, tuple[str, ...]] = {}
    for pod in pods(overlays["production"]):
        if pod.kind != "RayService" or pod.is_head:
            continue
        pool = profile.pools[pod.owner.rpartition("/")[2]]
        env = {row["name"]: row["value"] for row in pod.spec["containers"][0]["env"]}
        if pool.gpu is None:
            assert not {"affinity"} & pod.spec.keys() | {"PACKSHOT_GPU_GIB"} & env.keys()
            continue
        (term,) = pod.spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        (expression,) = term["matchExpressions"]
        assert (expression["key"], expression["operator"]) == (PRODUCT_LABEL, "In")
        asked[pool.gpu] = tuple(expression["values"])
        assert float(env["PACKSHOT_GPU_GIB"]) == pool.device.memory_gib
    assert asked == {"L4": ("NVIDIA-L4",), "L40S": ("NVIDIA-L40S",)}


def test_a_clouds_own_labels_select_a_pools_nodes() -> None:
    production = load_profile("production")
    labels = {"cloud.google.com/gke-accelerator": ("nvidia-l4",), "cloud.google.com/gke-spot": ("true",)}
    segment = production.pools["segment"].model_copy(update={"node_labels": labels})
    service = ray_service(production.model_copy(update={"pools": {**production.pools, "segment": segment}}))
    group = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][1]
    required = group["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required["nodeSelectorTerms"][0]["matchExpressions"] == [
        {"key": key, "operator": "In", "values": [*values]} for key, values in labels.items()
    ]
    assert list(schemas.faults(service)) == []


def test_the_head_has_the_size_that_the_profile_states() -> None:
    production = load_profile("production")
    service = ray_service(production.model_copy(update={"head": Head(cpus=4, memory_gib=16)}))
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert head["resources"]["requests"] == head["resources"]["limits"] == {"cpu": "4", "memory": "16Gi"}


def test_what_always_runs_displaces_bursts_and_never_the_reverse(overlays: dict[str, list[Manifest]]) -> None:
    classes = {one["metadata"]["name"]: one for one in rules.of_kind(overlays["production"], "PriorityClass")}
    of = {pod.owner: pod.spec.get("priorityClassName") for pod in pods(overlays["production"])}
    assert classes["packshot-serving"]["value"] > classes["packshot-burst"]["value"] > 0
    assert classes["packshot-burst"]["preemptionPolicy"] == "Never"
    assert {owner.rpartition("/")[2] for owner, name in of.items() if name == "packshot-burst"} == {"paint", "train"}
    serving = {owner.rpartition("/")[2] for owner, name in of.items() if name == "packshot-serving"}
    assert serving == {"head", "cpu", "segment", "packshot-edge", "packshot-redis"}


def test_a_single_pod_that_serves_is_moved_by_hand_only(overlays: dict[str, list[Manifest]]) -> None:
    budgets = {one["metadata"]["name"]: one for one in rules.of_kind(overlays["production"], "PodDisruptionBudget")}
    by_hand = {name for name, one in budgets.items() if BY_HAND in one["metadata"].get("annotations", {})}
    assert by_hand == {"packshot-head", "packshot-segment"}
    assert {budgets[name]["spec"]["minAvailable"] for name in by_hand} == {1}
    page, _, anchor = budgets["packshot-head"]["metadata"]["annotations"][BY_HAND].partition("#")
    assert f"\n## {anchor.replace('-', ' ').capitalize()}\n" in (ROOT / page).read_text()


def test_a_change_of_settings_is_an_upgrade(overlays: dict[str, list[Manifest]]) -> None:
    """The settings' ConfigMap has its hash in its name, and every Ray pod asks for it by that name."""
    names = {one["metadata"]["name"] for one in rules.of_kind(overlays["production"], "ConfigMap")}
    for pod in pods(overlays["production"]):
        if pod.kind == "RayService":
            asked = pod.spec["containers"][0]["envFrom"][0]["configMapRef"]["name"]
            assert asked in names
            assert asked.startswith("packshot-settings-")


def test_settings_in_the_overlays_are_settings(overlays: dict[str, list[Manifest]]) -> None:
    known = {f"PACKSHOT_{name.upper()}" for name in Settings.model_fields}
    for name in ("dev", "production"):
        for one in rules.of_kind(overlays[name], "ConfigMap"):
            if one["metadata"]["name"].startswith("packshot-settings"):
                assert {key for key in one["data"] if key.startswith("PACKSHOT_")} <= known


def test_a_drain_waits_for_the_slowest_deployment_and_kubernetes_for_the_drain() -> None:
    slowest_s = max(one._deployment_config.graceful_shutdown_timeout_s for one in map(as_deployment, DEPLOYMENTS))
    assert slowest_s <= DRAIN_S
    assert GRACE_S >= DRAIN_S + 30
    assert OLD_CLUSTER_S >= DRAIN_S


def test_the_mig_component_trades_a_whole_device_for_a_slice(overlays: dict[str, list[Manifest]]) -> None:
    (service,) = rules.of_kind(overlays["gpu-sharing"], "RayService")
    limits = {
        group["groupName"]: group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    }
    assert "nvidia.com/gpu" not in limits["segment"]
    assert limits["segment"]["nvidia.com/mig-2g.24gb"] == "1"
    assert limits["paint"]["nvidia.com/gpu"] == "1"


def test_the_incremental_upgrade_moves_the_edge_behind_kuberays_gateway(
    overlays: dict[str, list[Manifest]],
) -> None:
    edge = next(
        one
        for one in rules.of_kind(overlays["incremental-upgrade"], "ConfigMap")
        if one["metadata"]["name"].startswith("packshot-edge")
    )
    assert "packshot-gateway-istio.packshot.svc" in edge["data"]["upstream.conf"]


def lets(manifests: list[Manifest], source: str, target: str, port: int) -> bool:
    """Whether policies let `source` out to, and into, `target` on a TCP port."""
    labels = {pod.owner: pod.labels for pod in pods(manifests)}

    def let(owner: str, other: str, direction: str, peer: str) -> bool:
        return any(
            any(rules.selects(one["podSelector"], labels[other]) for one in rule[peer] if "podSelector" in one)
            and any(allowed["port"] == port for allowed in rule["ports"])
            for policy in rules.of_kind(manifests, "NetworkPolicy")
            if rules.selects(policy["spec"]["podSelector"], labels[owner])
            for rule in policy["spec"].get(direction, [])
            if "ports" in rule and peer in rule
        )

    return let(source, target, "egress", "to") and let(target, source, "ingress", "from")


def test_the_load_test_reaches_ray_and_one_another_and_nothing_else_does(
    overlays: dict[str, list[Manifest]],
) -> None:
    manifests = overlays["loadtest"]
    jobs = ("Job/packshot-loadtest", "Job/packshot-loadtest-workers")
    assert all(lets(manifests, job, f"RayService/packshot/{pool}", 8000) for job in jobs for pool in ("head", "cpu"))
    assert lets(manifests, jobs[1], jobs[0], 5557)
    assert not lets(manifests, jobs[0], "RayService/packshot/head", 8265)
    assert not lets(manifests, "Job/packshot-model-fetch", "RayService/packshot/cpu", 8000)
    assert lets(manifests, "Deployment/packshot-edge", "RayService/packshot/cpu", 8000)


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_renders_to_a_ray_service(name: str) -> None:
    profile = load_profile(name)
    service = yaml.safe_load(to_yaml(ray_service(profile)))
    assert list(schemas.faults(service)) == []
    assert all(budget["spec"]["minAvailable"] >= 1 for budget in disruption_budgets(profile))


def test_an_overlay_of_another_profile_builds_and_its_budgets_are_its_pools(tmp_path: Path) -> None:
    """A pool more, a pool renamed, a pool with other bounds: what docs/kubernetes.md says under "Another profile"."""
    from cluster.kube.build import build
    from cluster.kube.rendered import added_budgets, overlay_patch

    text = (ROOT / "cluster/profiles/production.yaml").read_text().replace("nodes: {min: 1", "nodes: {min: 3")
    profile = tmp_path / "own.yaml"
    for own, budgets in (
        (text, {"head": 1, "cpu": 1, "segment": 2}),
        (text.replace("cpu:  ", "web:").replace("pool: cpu", "pool: web"), {"head": 1, "web": 1, "segment": 2}),
    ):
        profile.write_text(own)
        (tmp_path / "rayservice.yaml").write_text(overlay_patch(load_profile(str(profile))))
        (tmp_path / "budgets.yaml").write_text(added_budgets(load_profile(str(profile))))
        up = Path(*[".."] * (len(tmp_path.resolve().parts) - 1))
        resources = [str(up / str(ROOT / "k8s/base").lstrip("/")), "budgets.yaml"]
        kustomization = {"namespace": "packshot", "resources": resources, "patches": [{"path": "rayservice.yaml"}]}
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        manifests = build(tmp_path)
        assert list(rules.budgets(manifests)) == []
        kept = {
            one["metadata"]["name"].removeprefix("packshot-"): one["spec"]["minAvailable"]
            for one in rules.of_kind(manifests, "PodDisruptionBudget")
        }
        assert kept == budgets


def test_a_folder_that_does_not_build_is_refused_with_kustomizes_words(tmp_path: Path) -> None:
    from cluster.kube.build import build

    (tmp_path / "kustomization.yaml").write_text("resources: [nowhere.yaml]")
    with pytest.raises(BadInput, match=r"nowhere\.yaml"):
        build(tmp_path)
