"""Profiles: shares that fit a device, unknown keys refused, and Serve configs that say what the profile says."""

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from cluster.profiles import DEPLOYMENTS, GPU_STAGES, MAX_DEVICE_SHARE, Profile, load_profile, profile_names
from cluster.render import serve_config
from packshot.errors import BadInput

MACHINE = {"machine": {"cpus": 2, "memory_gib": 4}}


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_renders_to_a_config_that_serve_gives_back(name):
    config = serve_config(load_profile(name))
    given_back = ServeDeploySchema.model_validate(config).model_dump(exclude_unset=True)
    application = given_back["applications"][0]
    assert application["args"] == config["applications"][0]["args"]
    for rendered, kept in zip(config["applications"][0]["deployments"], application["deployments"], strict=True):
        assert kept["name"] in DEPLOYMENTS
        for key in ("ray_actor_options", "user_config", "max_ongoing_requests"):
            assert kept.get(key) == rendered.get(key)


def test_the_one_gpu_profile_fits_every_model_on_one_device():
    shares = [stage.gpu_share for stage in load_profile("one-gpu").stages.values() if stage.gpu_share]
    assert len(shares) == 3
    assert sum(shares) <= MAX_DEVICE_SHARE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"repliccas": 3}, "Extra inputs are not permitted"),
        ({"stages": {"canny": {"cpu": 1}}}, "Extra inputs are not permitted"),
        ({"stages": {"painter": {}}}, "Input should be"),
        ({"stages": {"canny": {"replicas": {"min": 3, "max": 2}}}}, "replicas.min must be ≤ replicas.max, got 3 and 2"),
        ({"stages": {"generator": {"gpu_share": 0.5}}}, "a cpu profile has no GPU to share"),
        ({"device": "cuda"}, "exactly sam_encoder, mask_decoder, generator take GPU shares"),
        (
            {
                "device": "cuda",
                "pools": {"machine": {"cpus": 2, "memory_gib": 4, "gpus": 1, "gpu": "L4"}},
                "stages": {stage: {"gpu_share": 0.4} for stage in GPU_STAGES},
            },
            "GPU shares must sum to ≤ 0.95 per device, got 1.200",
        ),
    ],
)
def test_a_faulty_profile_is_refused_with_its_reason(tmp_path, change, reason):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"name": "mine", "sentence": "x", "device": "cpu", "pools": MACHINE, **change}))
    with pytest.raises(BadInput, match=reason) as refused:
        load_profile(str(file))
    assert refused.value.code == "bad_usage"


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(BadInput, match="laptop, node, one-gpu, production"):
        load_profile("mainframe")


def test_a_profile_of_ones_own_loads_by_path(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "{name: mine, sentence: x, device: cpu, pools: {machine: {cpus: 2, memory_gib: 4}}, stages: {generator: {tunables: {max_rows: 2}}}}"
    )
    profile = load_profile(str(file))
    assert isinstance(profile, Profile)
    assert serve_config(profile)["applications"][0]["deployments"] == [
        {"name": "generator", "user_config": {"max_rows": 2}}
    ]
