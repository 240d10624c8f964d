"""Profiles: shares that fit a device, unknown keys refused, and Serve configs that agree with the profile."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve import Deployment
from ray.serve.schema import ServeDeploySchema

from cluster.plan.gpu_shares import check_profile
from cluster.plan.packing import MAX_DEVICE_SHARE
from cluster.profiles import Profile, load_profile, profile_names
from cluster.render import serve_config
from cluster.stages import DEPLOYMENTS, GPU_STAGES, TUNABLES, StageName
from graphs.product_shot import Args
from packshot.errors import BadInput
from packshot.settings import Settings

PROFILES = Path(__file__).parents[3] / "cluster/profiles"
MACHINE = {"machine": {"cpus": 2, "memory_gib": 4}}


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_renders_to_a_config_that_serve_gives_back(name: str) -> None:
    config = serve_config(load_profile(name))
    given_back = ServeDeploySchema.model_validate(config).model_dump(exclude_unset=True)
    application = given_back["applications"][0]
    assert application["args"] == config["applications"][0]["args"]
    for rendered, kept in zip(config["applications"][0]["deployments"], application["deployments"], strict=True):
        assert kept["name"] in DEPLOYMENTS
        for key in ("ray_actor_options", "user_config", "max_ongoing_requests", "autoscaling_config"):
            assert kept.get(key) == rendered.get(key)


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_dumps_what_it_says(name: str) -> None:
    said = yaml.safe_load((PROFILES / f"{name}.yaml").read_text())
    profile = load_profile(name)
    dumped = profile.model_dump(mode="json", exclude_unset=True)
    assert (dumped.pop("autoscaling", None) or {}).items() >= said.pop(
        "autoscaling", {}
    ).items()  # a dataclass: defaults too
    assert dumped == said
    assert profile.name == name


def test_the_four_profiles_ship() -> None:
    assert profile_names() == ["laptop", "node", "one-gpu", "production"]
    assert load_profile("node").machine.gpus == 8
    production = load_profile("production")
    assert set(production.pools) == {"cpu", "segment", "paint", "train"}
    scaled = {name: stage for name, stage in production.stages.items() if name != "producer"}  # one does it
    assert all(stage.range.max > stage.range.min for stage in scaled.values())
    assert production.stages["generator"].range.min == 0
    assert production.stages["gateway"].range.min >= 1


@pytest.mark.parametrize("name", profile_names())
def test_uploads_and_catalogues_are_worked_on_apart_where_a_profile_places_their_stages(name: str) -> None:
    profile = load_profile(name)
    apart = name == "production"
    (application,) = serve_config(profile)["applications"]
    for stage in ("photo_decoder", "producer"):
        assert (stage in profile.deployments) is apart
        assert application["args"].get(stage, False) is apart
        assert getattr(Args.model_validate(application["args"]), stage) is apart


def test_with_several_pools_each_replica_asks_for_a_node_of_its_own() -> None:
    for rendered in serve_config(load_profile("production"))["applications"][0]["deployments"]:
        pool = load_profile("production").stages[rendered["name"]].pool
        assert rendered["ray_actor_options"]["label_selector"] == {"packshot/pool": pool}
    for rendered in serve_config(load_profile("node"))["applications"][0]["deployments"]:
        assert "label_selector" not in rendered["ray_actor_options"]


@pytest.mark.parametrize("name", profile_names())
def test_trainings_are_served_where_the_profile_has_a_trainer(name: str) -> None:
    """On a laptop's processor, or on GPUs of their own. It sleeps, and shares no device with a painter."""
    profile = load_profile(name)
    (application,) = serve_config(profile)["applications"]
    assert application["args"].get("trainer", False) is (name in ("laptop", "production"))
    assert profile.stage("trainer").range.min == 0
    if "trainer" in profile.gpu_stages:
        pool = profile.pool_of("trainer")
        assert [one for one in profile.deployments if profile.pool_of(one) == pool] == ["trainer"]


@pytest.mark.parametrize(
    ("stage", "deployment"),
    [
        ("sam_encoder", "SamEncoderDeployment"),
        ("mask_decoder", "MaskDecoderDeployment"),
        ("detector", "DetectorDeployment"),
        ("understand", "UnderstandDeployment"),
        ("reference_encoder", "ReferenceEncoderDeployment"),
        ("canny", "CannyDeployment"),
        ("generator", "GeneratorDeployment"),
    ],
)
def test_the_tunables_are_what_the_deployment_reads(stage: StageName, deployment: str) -> None:
    import graphs.product_shot

    kept = getattr(graphs.product_shot, deployment).user_config
    assert set(TUNABLES[stage]) == set(kept)


def test_the_one_gpu_profile_fits_every_model_on_one_device() -> None:
    shares = [stage.gpu_share for stage in load_profile("one-gpu").stages.values() if stage.gpu_share]
    assert len(shares) == 5
    assert sum(shares) <= MAX_DEVICE_SHARE + 1e-9


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"repliccas": 3}, "Extra inputs are not permitted"),
        ({"stages": {"canny": {"cpu": 1}}}, "Extra inputs are not permitted"),
        ({"stages": {"painter": {}}}, "a deployment must be one of"),
        ({"stages": {"generator-sdxl": {}}}, "must be of an engine of `engines` besides the first"),
        ({"engines": ["mini", "mini"]}, "engines must differ"),
        ({"engines": ["mini", "sd15"], "pack": "mini"}, "pack and engines exclude each other"),
        ({"stages": {"canny": {"replicas": {"min": 3, "max": 2}}}}, "replicas.min must be ≤ replicas.max, got 3 and 2"),
        (
            {"stages": {"canny": {"replicas": {"min": -1}}}},
            r"stages.canny.replicas.min: Input should be greater than or equal to 0, got -1; correct the file",
        ),
        ({"stages": {"canny": {"gpu_share": 0.96}}}, "gpu_share: Input should be less than or equal to 0.95, got 0.96"),
        ({"stages": {"canny": {"pool": "cellar"}}}, "stages.canny.pool must be one of machine, got 'cellar'"),
        (
            {"stages": {"generator": {"tunables": {"max_row": 4}}}},
            r"tunables of generator must be all of max_rows, got",
        ),
        ({"stages": {"canny": {"tunables": {"low": 100}}}}, r"tunables of canny must be all of low, high, got"),
        ({"stages": {"generator": {"tunables": {"max_rows": 0}}}}, r"tunables of generator must be at least 1"),
        (
            {"stages": {"canny": {"cpus": 1, "replicas": {"max": 3}}}},
            "CPUs of all replicas must be ≤ the pool's, got 3 of 2",
        ),
        ({"stages": {"canny": {"memory_gib": 5}}}, "memory of all replicas must be ≤ the pool's, got 5 of 4 GiB"),
        ({"pools": {**MACHINE, "more": MACHINE["machine"]}}, "with several pools every deployment must name its pool"),
        ({"pools": {"machine": {"cpus": 2, "memory_gib": 4, "gpus": 1}}}, "gpus and gpu must be stated together"),
        ({"pools": {"machine": {"cpus": 2, "memory_gib": 4, "gpus": 1, "gpu": "K80"}}}, "Input should be 'RTX3090'"),
        ({"head": {"memory_gib": 4}}, "a profile with one pool must not have head"),
        (
            {"pools": {"machine": {**MACHINE["machine"], "node_labels": {"zone": []}}}},
            r"node_labels\.zone must name the allowed values, got none",
        ),
        (
            {"pools": {"machine": {**MACHINE["machine"], "nodes": {"min": 2}}}},
            "nodes.min must be ≤ nodes.max, got 2 and 1",
        ),
        ({"stages": {"generator": {"gpu_share": 0.5}}}, "a cpu profile must not have gpu_share"),
        (
            {"device": "cuda"},
            "generator must have gpu_share, detector, understand, reference_encoder may, and no other",
        ),
        (
            {
                "device": "cuda",
                "pools": {"machine": {"cpus": 2, "memory_gib": 4, "gpus": 1, "gpu": "L4"}},
                "stages": {stage: {"gpu_share": 0.4} for stage in GPU_STAGES},
            },
            "GPU shares must sum to ≤ 0.95 per device, got 2.400",
        ),
    ],
)
def test_a_faulty_profile_is_refused_with_its_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"name": "mine", "sentence": "x", "device": "cpu", "pools": MACHINE, **change}))
    with pytest.raises(BadInput, match=reason) as refused:
        load_profile(str(file))
    assert refused.value.code == "bad_usage"


def test_an_unknown_profile_names_those_there_are() -> None:
    with pytest.raises(BadInput, match="laptop, node, one-gpu, production"):
        load_profile("mainframe")


def test_a_profile_of_ones_own_loads_by_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "{name: mine, sentence: x, device: cpu, pools: {machine: {cpus: 2, memory_gib: 4}}, stages: {generator: "
        "{tunables: {max_rows: 2}}}}"
    )
    profile = load_profile(str(file))
    assert isinstance(profile, Profile)
    assert serve_config(profile)["applications"][0]["deployments"] == [
        {"name": "generator", "user_config": {"max_rows": 2}}
    ]


@pytest.mark.parametrize("name", profile_names())
@pytest.mark.parametrize(
    ("stage", "deployment"),
    [
        ("detector", "Detector"),
        ("understand", "Understand"),
        ("reference_encoder", "ReferenceEncoder"),
        ("trainer", "Trainer"),
    ],
)
def test_what_few_requests_need_sleeps_in_every_shipped_profile(name: str, stage: StageName, deployment: str) -> None:
    import graphs.product_shot

    profile = load_profile(name)
    assert profile.stage(stage).range.min == 0
    default = getattr(graphs.product_shot, f"{deployment}Deployment")._deployment_config.autoscaling_config
    assert default.min_replicas == 0


@pytest.mark.parametrize("stage", ["detector", "understand"])
def test_a_profile_with_gpus_may_leave_a_stage_on_the_cpu(tmp_path: Path, stage: StageName) -> None:
    said = yaml.safe_load((PROFILES / "one-gpu.yaml").read_text())
    del said["stages"][stage]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(said))
    profile = load_profile(str(file))
    assert profile.gpu_stages == tuple(one for one in load_profile("one-gpu").gpu_stages if one != stage)
    deployed = serve_config(profile)["applications"][0]["deployments"]
    assert stage not in [one["name"] for one in deployed]
    assert set(check_profile(profile, Settings())) == set(profile.gpu_stages)


def engines_profile(tmp_path: Path, **change: Any) -> Profile:
    """A CPU profile of two engines, with `change` to its fields."""
    described = {"name": "two", "sentence": "Two.", "device": "cpu", "engines": ["mini", "tiny"], "segmenter": "mini"}
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump({**described, "pools": MACHINE, **change}))
    return load_profile(str(file))


def test_each_further_engine_has_generators_that_sleep_and_take_the_rest_from_the_first(tmp_path: Path) -> None:
    stages: dict[str, Any] = {"generator": {"replicas": {"min": 1, "max": 2}, "cpus": 0.25}}
    profile = engines_profile(tmp_path, stages=stages)
    assert profile.generators == ("generator", "generator-tiny")
    assert profile.packs == ("mini", "tiny")
    further = profile.stage("generator-tiny")
    assert (further.cpus, further.range.min, further.range.max) == (0.25, 0, 1)
    stages["generator-tiny"] = {"replicas": {"min": 1, "max": 1}, "max_ongoing": 4}
    further = engines_profile(tmp_path, stages=stages).stage("generator-tiny")
    assert (further.cpus, further.range.min, further.max_ongoing) == (0.25, 1, 4)


def test_the_config_of_two_engines_deploys_the_generators_of_both(tmp_path: Path) -> None:
    application = serve_config(engines_profile(tmp_path))["applications"][0]
    assert application["args"] == {"engines": ["mini", "tiny"], "segmenter": "mini"}
    (further,) = [one for one in application["deployments"] if one["name"] == "generator-tiny"]
    assert further["autoscaling_config"]["min_replicas"] == 0


def test_the_setting_names_engines_where_a_profile_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_ENGINES", "mini, sd15")
    application = serve_config(load_profile("laptop"))["applications"][0]
    assert application["args"] == {"engines": ["mini", "sd15"], "segmenter": "mini", "trainer": True}
    assert [one["name"] for one in application["deployments"]] == ["trainer", "generator-sd15"]


def test_every_stage_of_the_laptop_may_be_awake_with_two_further_engines() -> None:
    """Ray starts a replica only where its CPUs are free: what does not fit beside the others would wait for ever."""
    laptop = load_profile("laptop")
    [pool] = laptop.pools.values()
    cpus = {stage: default_cpus(stage) for stage in laptop.deployments}
    assert sum(cpus.values()) + 2 * cpus["generator"] <= pool.cpus


def default_cpus(stage: str) -> float:
    """The CPUs of a replica of the deployment in deployments/STAGE.py."""
    module = importlib.import_module(f"deployments.{stage}")
    [deployment] = [one for one in vars(module).values() if isinstance(one, Deployment)]
    assert deployment.ray_actor_options is not None
    return float(deployment.ray_actor_options["num_cpus"])
