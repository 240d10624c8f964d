"""From a profile's `autoscaling` to the Serve config. Without it every deployment scales by its own calls."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.config import AutoscalingPolicy
from ray.serve.schema import ServeDeploySchema

from cluster.autoscaling import Pipeline, PipelinePolicy
from cluster.profiles import Profile, load_profile
from cluster.render import serve_config
from packshot.errors import BadInput

BASE = {"name": "mine", "sentence": "x", "device": "cpu", "pools": {"machine": {"cpus": 2, "memory_gib": 4}}}
STAGES = {"generator": {"replicas": {"min": 0, "max": 3, "target_ongoing": 4, "upscale_delay_s": 7}}}


def rendered(**more: dict[str, dict[str, float] | int] | None) -> tuple[Any, ...]:
    config = serve_config(Profile.model_validate({**BASE, "stages": STAGES, **more}))
    ServeDeploySchema.model_validate(config)
    application = config["applications"][0]
    return application, {row["name"]: row for row in application["deployments"]}["generator"]["autoscaling_config"]


def test_the_policy_reaches_serve_with_the_profiles_numbers() -> None:
    application, generator = rendered(autoscaling={"calm_s": 90, "shot_s": {"canny": 0.1}})
    policy = AutoscalingPolicy(**application["autoscaling_policy"])
    loaded = policy.get_policy()(**policy.policy_kwargs)
    assert type(loaded).__name__ == PipelinePolicy.__name__
    assert loaded._plan.calm_s == 90
    assert loaded._plan.shot_s == {"canny": 0.1}
    # Serve's own delays would come on top of the policy's: none
    assert (generator["upscale_delay_s"], generator["downscale_delay_s"]) == (0, 0)
    assert generator["metrics_interval_s"] < generator["look_back_period_s"]
    assert (generator["min_replicas"], generator["max_replicas"], generator["target_ongoing_requests"]) == (0, 3, 4)


def test_without_it_each_deployment_scales_by_its_own_calls() -> None:
    application, generator = rendered(autoscaling=None)
    assert "autoscaling_policy" not in application
    assert generator["upscale_delay_s"] == 7
    assert "metrics_interval_s" not in generator


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"autoscaling": {"calm": 3}}, "calm"),
        ({"autoscaling": {"utilisation": 1.5}}, "utilisation must be in"),
        ({"autoscaling": {}, "stages": {"director": {"replicas": {"min": 0}}}}, "director must have replicas.min ≥ 1"),
        ({"autoscaling": {}, "stages": {"gateway": {"replicas": {"min": 0}}}}, "gateway must have replicas.min ≥ 1"),
    ],
)
def test_a_faulty_autoscaling_is_refused_with_its_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(BASE | change))
    with pytest.raises(BadInput, match=reason):
        load_profile(str(file))


def test_production_scales_as_a_pipeline_and_keeps_the_gateway_awake() -> None:
    production = load_profile("production")
    assert isinstance(production.autoscaling, Pipeline)
    assert production.stage("generator").range.min == 0
    assert production.stage("gateway").range.min >= 1


def test_the_capacity_page_tells_every_field_with_its_default() -> None:
    page = (Path(__file__).parents[3] / "docs/capacity.md").read_text()
    for name, default in asdict(Pipeline()).items():
        assert f"| `{name}` | `{default}` |" in page, f"docs/capacity.md must tell {name}, default {default}"
