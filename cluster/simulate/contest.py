"""The policies that are compared, with their settings; all within the same bounds, from the same beginning."""

from __future__ import annotations

from typing import Any

from ray.serve.config import AutoscalingConfig

from cluster.autoscaling import Pipeline
from cluster.profiles import Replicas
from cluster.render import autoscaling_config
from cluster.simulate.pipeline import STAGES, Scaler
from cluster.simulate.policies import EachItsOwn, Fixed, WholePipeline
from cluster.simulate.stages import Machine

SLO_S = 20.0
"""A person's shot, from accepted to done: twice what it takes in a full batch of the 24 GB card,
five times a lone one."""

HOLDS = {"sam_encoder": 4.0, "mask_decoder": 8.0, "canny": 8.0, "finisher": 2.0, "generator": 4.0, "director": 12.0}
"""Calls that one replica is meant to hold: for the generator a full batch of guided scenes."""

SERVE_TARGET = 2.0
"""Calls a replica by Serve's default."""

TUNED = {"upscale_delay_s": 0.0, "downscale_delay_s": 60.0, "look_back_period_s": 30.0}
TUNED_TARGET = 2.0
"""The best of a grid of delays, look-backs and targets on a burst of its own (`python -m cluster.simulate --tune`)."""


def bounds(generators: int) -> dict[str, int]:
    """Most replicas of each stage, beside so many generators."""
    part = {
        "sam_encoder": 0.34,
        "mask_decoder": 0.17,
        "canny": 0.17,
        "finisher": 1.0,
        "generator": 1.0,
        "director": 0.5,
    }
    return {name: max(1, round(generators * part[name])) for name in STAGES}


def start(generators: int) -> dict[str, int]:
    """Replicas at the beginning: generators for the first traffic, and what goes with them."""
    beside = {"director", "finisher"}
    return {name: max(1, generators // 3) if name in beside else 1 for name in STAGES} | {"generator": generators}


def stock(generators: int, begin: int, *, target: float = SERVE_TARGET, **delays: float) -> Scaler:
    """Serve's autoscaler: its defaults, or with other `delays` and another `target` of calls for a generator."""
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
    """Serve's autoscaler with its delays tuned."""
    return stock(generators, begin, target=TUNED_TARGET, **TUNED)


def plan_for(machine: Machine, **changes: Any) -> Pipeline:
    """The policy's numbers for a machine."""
    values: dict[str, Any] = {
        "row_step_s": machine.row_step_s,
        "picture_s": machine.begin_s + machine.decode_s,
        "scenes": machine.max_rows / 2,
        "start_s": machine.start_s["generator"],
        "shot_s": {
            "sam_encoder": 0.4 * machine.encode_s,
            "mask_decoder": 0.4 * machine.clicks * machine.click_s,
            "canny": machine.edges_s,
            "finisher": machine.layout_s,
        },
        "image_s": {"finisher": machine.finish_s},
    }
    return Pipeline(**(values | changes))


def ours(machine: Machine, generators: int, begin: int, low: int = 1, **changes: Any) -> Scaler:
    """The pipeline's policy, with the settings that a profile renders. `low`: least of the GPU stages."""
    lows = {name: 1 if name in ("canny", "finisher", "director") else low for name in STAGES}
    configs = {
        name: AutoscalingConfig(
            **autoscaling_config(Replicas(min=lows[name], max=high, target_ongoing=HOLDS[name]), whole=True)
        )
        for name, high in bounds(generators).items()
    }
    measured = {"row_step_s": machine.row_step_s, "step_rows": float(machine.max_rows)}
    return WholePipeline(configs, plan_for(machine, **changes), start(begin), measured)


def fixed(generators: int) -> Scaler:
    """So many generators at all times, and the others at a third of their bounds."""
    return Fixed({name: max(1, high // 3) for name, high in bounds(generators).items()} | {"generator": generators})


__all__ = ["HOLDS", "SLO_S", "bounds", "fixed", "ours", "plan_for", "start", "stock", "tuned"]
