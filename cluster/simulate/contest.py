"""The policies that are compared, with their settings. All have the same bounds and the same initial replicas."""

from __future__ import annotations

from typing import Any

from ray.serve.config import AutoscalingConfig

from cluster.autoscaling import Pipeline
from cluster.profiles import Replicas
from cluster.render import autoscaling_config
from cluster.simulate.pipeline import STAGES, Scaler
from cluster.simulate.policies import EachItsOwn, Fixed, WholePipeline
from cluster.simulate.stages import Machine
from cluster.simulate.traces import PHOTO_SHARE
from cluster.stages import GPU_STAGES

SLO_S = 20.0
"""Latency bound of an interactive shot, from acceptance to done: twice its time in a full batch of the 24 GB card, and
five times its time alone."""

HOLDS = {
    "gateway": 64.0,
    "photo_decoder": 1.0,
    "sam_encoder": 4.0,
    "mask_decoder": 8.0,
    "detector": 8.0,
    "understand": 8.0,
    "reference_encoder": 8.0,
    "canny": 8.0,
    "finisher": 2.0,
    "generator": 4.0,
    "director": 12.0,
}
"""Target number of ongoing calls per replica. For the generator it is a full batch of guided scenes."""

SERVE_TARGET = 2.0
"""Serve's default target of ongoing calls per replica."""

TUNED = {"upscale_delay_s": 0.0, "downscale_delay_s": 60.0, "look_back_period_s": 30.0}
TUNED_TARGET = 2.0
"""The best of a grid of delays, look-backs and targets on a separate burst (`python -m cluster.simulate --tune`)."""


def bounds(generators: int) -> dict[str, int]:
    """The largest number of replicas of each stage, for this largest number of generators."""
    part = {
        "sam_encoder": 0.34,
        "mask_decoder": 0.17,
        "detector": 0.07,
        "understand": 0.07,
        "reference_encoder": 0.07,
        "canny": 0.17,
        "finisher": 1.5,
        "generator": 1.0,
        "director": 0.5,
        "gateway": 0.17,
        "photo_decoder": 0.5,
    }
    return {name: max(1, round(generators * part[name])) for name in STAGES}


def start(generators: int) -> dict[str, int]:
    """The initial replicas of each stage, for this number of generators."""
    beside = {"director", "finisher", "photo_decoder"}
    return {name: max(1, generators // 3) if name in beside else 1 for name in STAGES} | {"generator": generators}


def stock(generators: int, begin: int, *, target: float = SERVE_TARGET, **delays: float) -> Scaler:
    """Serve's autoscaler, with its defaults or with other settings.

    `generators` is the largest number of generators and `begin` the initial one. `target` is the target of ongoing
    calls per generator, and `delays` are other fields of AutoscalingConfig.
    """
    configs = {
        name: AutoscalingConfig(
            max_replicas=high,
            target_ongoing_requests=target if name == "generator" else SERVE_TARGET,
            **delays,
        )
        for name, high in bounds(generators).items()
    }
    return EachItsOwn(configs, start(begin))


def tuned(generators: int, begin: int) -> Scaler:
    """Serve's autoscaler with the tuned settings."""
    return stock(generators, begin, target=TUNED_TARGET, **TUNED)


def plan_for(machine: Machine, **changes: Any) -> Pipeline:
    """The parameters of our policy for a machine. `changes` replaces fields of `Pipeline`."""
    values: dict[str, Any] = {
        "row_step_s": machine.row_step_s,
        "picture_s": machine.begin_s + machine.decode_s,
        "scenes": machine.max_rows / 2,
        "start_s": machine.start_s["generator"],
        "photo_s": machine.photo_s,
        "shot_s": {
            "sam_encoder": 0.4 * machine.encode_s,
            "mask_decoder": 0.4 * machine.clicks * machine.click_s,
            "canny": machine.edges_s,
            "finisher": machine.layout_s + PHOTO_SHARE * machine.cut_s,
        },
        "image_s": {"finisher": machine.finish_s},
        "engines": {
            name: {"row_step_s": own.row_step_s, "picture_s": own.begin_s + own.decode_s, "scenes": own.max_rows / 2}
            for name, own in machine.engines.items()
        },
    }
    return Pipeline(**(values | changes))


def ours(machine: Machine, generators: int, begin: int, low: int = 1, **changes: Any) -> Scaler:
    """The pipeline's policy, with the settings that a profile renders. `low` is the minimum of the GPU stages.

    The generators of each further engine of the machine have the same bounds as the default one's, and sleep first.
    """
    further = machine.generators.keys() - {""}
    highs = bounds(generators) | {machine.generators[engine]: generators for engine in further}
    lows = {name: low if name in GPU_STAGES else 1 for name in STAGES}
    holds = {machine.generators[engine]: machine.of_engine(engine).max_rows / 2 for engine in further}
    configs = {
        name: AutoscalingConfig(
            **autoscaling_config(
                Replicas(min=lows.get(name, 0), max=high, target_ongoing=(HOLDS | holds)[name]), whole=True
            )
        )
        for name, high in highs.items()
    }
    measured = {
        stage: {"row_step_s": own.row_step_s, "step_rows": float(own.max_rows)}
        for engine, stage in machine.generators.items()
        for own in [machine.of_engine(engine)]
    }
    return WholePipeline(configs, plan_for(machine, **changes), start(begin), measured, machine.generators)


def fixed(generators: int) -> Scaler:
    """A constant number of generators, and of the other stages half of their bounds."""
    return Fixed({name: max(1, high // 2) for name, high in bounds(generators).items()} | {"generator": generators})


__all__ = ["HOLDS", "SLO_S", "bounds", "fixed", "ours", "plan_for", "start", "stock", "tuned"]
