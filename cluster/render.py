"""Renders a profile as a Serve config, which `packshot config` prints and `packshot serve` and Kubernetes deploy.

In a profile with several pools each replica selects the nodes of its pool by label, so the nodes must be started with
`packshot/pool=NAME` (`labels` of a KubeRay worker group, `ray start --labels`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cluster.plan.gpu_shares import check_profile
from cluster.profiles import Profile, Replicas, Stage
from cluster.stages import OPTIONAL, kind_of
from packshot.settings import Settings

if TYPE_CHECKING:
    from ray.serve import Deployment

APPLICATION = "packshot"
POOL_LABEL = "packshot/pool"
GIB = 1024**3


def serve_config(profile: Profile, *, host: str = "127.0.0.1", port: int = 8000) -> dict[str, Any]:
    """The Serve config of a profile, validated by Serve's own schema. The HTTP proxies listen on `host` and `port`.

    Raises BadInput or PackRefused when the profile's pack does not fit on its GPUs (cluster/plan/gpu_shares.py).
    """
    from ray.serve.schema import ServeDeploySchema

    settings = Settings()
    if len(profile.served(settings).engines) > 1:
        profile = profile.with_packs(settings)
    check_profile(profile, settings)

    config: dict[str, Any] = {
        "proxy_location": "EveryNode",
        "http_options": {"host": host, "port": port},
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": "graphs.product_shot:app",
                "args": _args(profile),
                "deployments": [_deployment(profile, name, stage) for name, stage in profile.stated.items()],
            }
        ],
    }
    if profile.autoscaling:
        config["applications"][0]["autoscaling_policy"] = {
            "policy_function": "cluster.autoscaling:PipelinePolicy",
            "policy_kwargs": asdict(profile.autoscaling),
        }
    ServeDeploySchema.model_validate(config)
    return config


def whole_config(profile: Profile, *, host: str = "127.0.0.1", port: int = 8000) -> dict[str, Any]:
    """`serve_config` with every deployment, and the options that the profile leaves to the deployment's own defaults.

    It deploys the same application: Serve takes a whole option from the config, or else the deployment's.
    """
    from ray.serve import Deployment

    from graphs import product_shot

    defaults = {one.name: _defaults(one) for one in vars(product_shot).values() if isinstance(one, Deployment)}
    config = serve_config(profile, host=host, port=port)
    application = config["applications"][0]
    stated = {deployment["name"]: deployment for deployment in application["deployments"]}
    application["deployments"] = [
        {"name": name, **defaults[kind_of(name)], **stated.get(name, {})} for name in profile.deployments
    ]
    return config


def _defaults(deployment: Deployment) -> dict[str, Any]:
    """The options of a deployment's decorator that a profile may set."""
    options = deployment._deployment_config
    autoscaling = options.autoscaling_config
    kept = ("min_replicas", "max_replicas", "target_ongoing_requests")
    actor = deployment.ray_actor_options or {}
    given = {
        "ray_actor_options": {"num_cpus": actor.get("num_cpus", 1)},
        "autoscaling_config": {name: getattr(autoscaling, name) for name in kept} if autoscaling else None,
        "max_ongoing_requests": options.max_ongoing_requests,
        "user_config": options.user_config,
    }
    return {name: value for name, value in given.items() if value is not None}


def _args(profile: Profile) -> dict[str, Any]:
    args: dict[str, Any] = {"pack": profile.pack}
    if profile.engines:
        args = {"engines": list(profile.engines)}
    if profile.segmenter:
        args["segmenter"] = profile.segmenter
    args |= {f"{role}_threads": n for role, n in profile.threads.items()}
    return args | {name: True for name in OPTIONAL if name in profile.deployments}


def _deployment(profile: Profile, name: str, stage: Stage) -> dict[str, Any]:
    options: dict[str, Any] = {"name": name}
    actor = {
        "num_cpus": stage.cpus,
        "num_gpus": stage.gpu_share,
        "memory": None if stage.memory_gib is None else int(stage.memory_gib * GIB),
        "label_selector": {POOL_LABEL: profile.pool_of(name)} if len(profile.pools) > 1 else None,
    }
    if any(value is not None for value in actor.values()):
        options["ray_actor_options"] = {key: value for key, value in actor.items() if value is not None}
    if stage.replicas:
        options["autoscaling_config"] = autoscaling_config(stage.replicas, whole=profile.autoscaling is not None)
    if stage.max_ongoing:
        options["max_ongoing_requests"] = stage.max_ongoing
    if stage.tunables:
        options["user_config"] = stage.tunables
    return options


WHOLE_PIPELINE = {"upscale_delay_s": 0, "downscale_delay_s": 0, "metrics_interval_s": 2, "look_back_period_s": 10}
"""Settings of each deployment under the pipeline's policy, which does its own smoothing and needs recent metrics. Ray
deprecates `metrics_interval_s` in favour of environment variables, but Ray 2.60 does not read those variables."""


def autoscaling_config(replicas: Replicas, *, whole: bool = False) -> dict[str, Any]:
    """Serve's autoscaling settings of one deployment. With `whole`, the pipeline's policy decides within its bounds."""
    from ray.serve.config import AutoscalingConfig

    values = {
        "min_replicas": replicas.min,
        "max_replicas": replicas.max,
        "target_ongoing_requests": replicas.target_ongoing,
        "upscale_delay_s": replicas.upscale_delay_s,
        "downscale_delay_s": replicas.downscale_delay_s,
    }
    given = {key: value for key, value in values.items() if value is not None}
    if whole:
        given |= WHOLE_PIPELINE
    AutoscalingConfig.model_validate(given)
    return given
