"""The scaling policies of a simulation: Serve's own autoscaler, Packshot's policy, and a fixed number of replicas.

Both autoscalers run Serve's code on Serve's contexts, at simulated times. The metrics have the same delays as in Serve:
a handle samples its calls every fifth of the look-back period (but at least at every push), pushes the samples every
`metrics_interval_s`, and the controller takes the mean over the look-back period.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ray.serve._private.common import DeploymentID, TimeStampedValue
from ray.serve.autoscaling_policy import (
    _apply_app_level_autoscaling_config,
    _apply_delay_logic,
    _apply_scaling_factors,
    _core_replica_queue_length_policy,
    _get_cold_start_scale_up_replicas,
)
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from cluster.autoscaling import DIRECTOR, GATEWAY, GENERATOR, PHOTO_DECODER, Pipeline, PipelinePolicy
from cluster.simulate.pipeline import View
from packshot.shots.load_report import by_generator

APPLICATION = "packshot"
SAMPLES_A_LOOK_BACK = 5


class Handle:
    """The controller's metric of a deployment's calls: the samples of the look-back period, as of the last push."""

    def __init__(self, config: AutoscalingConfig) -> None:
        self._push_every_s = config.metrics_interval_s
        self._look_back_s = config.look_back_period_s
        self._sample_every_s = min(self._look_back_s / SAMPLES_A_LOOK_BACK, self._push_every_s)
        self._samples: deque[tuple[float, float]] = deque()
        self._pushed: list[tuple[float, float]] = []
        self._sampled_at_s = self._pushed_at_s = -math.inf

    def look(self, now_s: float, ongoing: float) -> float:
        """The mean number of ongoing calls, as Serve's controller would compute it at `now_s`."""
        if now_s - self._sampled_at_s >= self._sample_every_s:
            self._sampled_at_s = now_s
            self._samples.append((now_s, ongoing))
        if now_s - self._pushed_at_s >= self._push_every_s:
            self._pushed_at_s = now_s
            while self._samples and self._samples[0][0] < now_s - self._look_back_s:
                self._samples.popleft()
            self._pushed = list(self._samples)
        return step_mean(self._pushed, now_s)


def step_mean(samples: list[tuple[float, float]], now_s: float) -> float:
    """The mean over time of a step function of (seconds, value) from its first sample to `now_s`; 0 without samples."""
    if not samples:
        return 0.0
    ends = [at_s for at_s, _ in samples[1:]] + [max(now_s, samples[-1][0] + 1e-3)]
    spans = [end - at_s for (at_s, _), end in zip(samples, ends, strict=True)]
    return sum(value * span for (_, value), span in zip(samples, spans, strict=True)) / sum(spans)


class ServeScaler:
    """Builds contexts as Serve's controller does, from the views of the simulation."""

    def __init__(self, configs: Mapping[str, AutoscalingConfig], start: Mapping[str, int] | None = None) -> None:
        self.configs = dict(configs)
        self._start = dict(start or {})
        self._handles = {name: Handle(config) for name, config in self.configs.items()}
        self._state: dict[str, dict[str, Any]] = {name: {} for name in self.configs}

    def initial(self) -> dict[str, int]:
        """The replicas of each stage at the beginning."""
        return {name: self._start.get(name, config.min_replicas) for name, config in self.configs.items()}

    def _context(self, name: str, now_s: float, view: View, found: dict[str, float], reported_at_s: float) -> Any:
        config = self.configs[name]
        raw: dict[str, dict[Any, Any]] = {
            key: {name: [TimeStampedValue(reported_at_s, value)]} for key, value in found.items()
        }
        return AutoscalingContext(
            deployment_id=DeploymentID(name, APPLICATION),
            deployment_name=name,
            app_name=APPLICATION,
            current_num_replicas=view.running,
            target_num_replicas=view.target,
            running_replicas=[],
            total_num_requests=self._handles[name].look(now_s, view.ongoing),
            total_queued_requests=0.0,
            aggregated_metrics=None,
            raw_metrics=raw,
            capacity_adjusted_min_replicas=config.min_replicas,
            capacity_adjusted_max_replicas=config.max_replicas,
            policy_state=self._state[name].copy(),
            last_scale_up_time=None,
            last_scale_down_time=None,
            current_time=now_s,
            config=config,
        )

    def _within(self, name: str, replicas: float) -> int:
        return max(self.configs[name].min_replicas, min(self.configs[name].max_replicas, math.ceil(replicas)))


class EachItsOwn(ServeScaler):
    """Serve's default autoscaler, which scales each deployment by its own calls."""

    def targets(
        self, now_s: float, views: Mapping[str, View], report: Callable[[], dict[str, float]]
    ) -> dict[str, int]:
        decisions = {}
        for name in self.configs:
            context = self._context(name, now_s, views[name], {}, now_s)
            decisions[name] = self._within(name, self._decide(name, context, now_s))
        return decisions

    def _decide(self, name: str, context: Any, now_s: float) -> float:
        """Serve's `_apply_autoscaling_config` around its default policy, with the simulation's clock.

        A test checks that both decide the same.
        """
        if (cold := _get_cold_start_scale_up_replicas(context)) is not None:
            return float(cold)
        wanted, _ = _core_replica_queue_length_policy(context)
        wanted = _apply_scaling_factors(wanted, context.current_num_replicas, context.config)
        if context.current_num_replicas == 0 and wanted > 0:
            return float(wanted)
        replicas, self._state[name] = _apply_delay_logic(
            max(0, wanted), context.target_num_replicas, context.config, self._state[name], _now=now_s
        )
        return float(replicas)


class WholePipeline(ServeScaler):
    """Packshot's policy inside Serve's own wrapper.

    `plan` holds the parameters, and `measured` the metrics that generators report, by stage. `generators` maps each
    engine to the stage that paints with it, the default one first. Directors and gateways report every
    `metrics_interval_s` of their configuration.
    """

    def __init__(
        self,
        configs: Mapping[str, AutoscalingConfig],
        plan: Pipeline,
        start: Mapping[str, int] | None = None,
        measured: Mapping[str, Mapping[str, float]] | None = None,
        generators: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(configs, start)
        self._generators = generators or {"": GENERATOR}
        self._policy: Any = _apply_app_level_autoscaling_config(PipelinePolicy(**asdict(plan)))
        self._measured = dict(measured or {})
        self._report_every_s = self.configs[DIRECTOR].metrics_interval_s
        self._reported: deque[tuple[float, dict[str, float]]] = deque(maxlen=2)
        self._doors: dict[str, float] = {}
        self._busy_at = 0.0, 0.0

    def targets(
        self, now_s: float, views: Mapping[str, View], report: Callable[[], dict[str, float]]
    ) -> dict[str, int]:
        if not self._reported or now_s - self._reported[-1][0] >= self._report_every_s:
            self._reported.append((now_s, self._by_stage(report())))
            self._doors = self._doors_of(now_s, views)
        # Reports are recorded and pushed at different times, so the controller may have only the older one.
        reported_at_s, found = self._reported[0]
        contexts = {}
        for name in self.configs:
            own = found if name == DIRECTOR and views[name].running else {}
            measured = dict(self._measured.get(name, {})) if views[name].running else {}
            doors = self._doors if name == GATEWAY else {}
            context = self._context(name, now_s, views[name], own | measured | doors, reported_at_s)
            contexts[context.deployment_id] = context
        decisions, states = self._policy(contexts)
        self._state = {deployment.name: state for deployment, state in states.items()}
        return {deployment.name: self._within(deployment.name, n) for deployment, n in decisions.items()}

    def _by_stage(self, report: dict[str, float]) -> dict[str, float]:
        """The report as directors give it: with several engines, each one's part under its stage's name."""
        return by_generator(report, self._generators) if len(self._generators) > 1 else report

    def _doors_of(self, now_s: float, views: Mapping[str, View]) -> dict[str, float]:
        """What the gateways would report together at `now_s`. A simulation without gateways reports nothing."""
        if GATEWAY not in views:
            return {}
        before_s, busy_before_s = self._busy_at
        self._busy_at = now_s, views[GATEWAY].busy_s
        cores = (views[GATEWAY].busy_s - busy_before_s) / max(1e-3, now_s - before_s)
        return {"uploads": views[PHOTO_DECODER].ongoing, "cores": cores}


class Fixed:
    """A constant number of replicas of each stage."""

    def __init__(self, replicas: Mapping[str, int]) -> None:
        self._replicas = dict(replicas)

    def initial(self) -> dict[str, int]:
        return self._replicas

    def targets(
        self, now_s: float, views: Mapping[str, View], report: Callable[[], dict[str, float]]
    ) -> dict[str, int]:
        return {}
