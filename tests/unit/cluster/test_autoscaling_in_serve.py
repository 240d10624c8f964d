"""The policy as Serve calls it: its contexts, the directors' and gateways' reports, and the module by value."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from ray import cloudpickle
from ray.serve._private.common import DeploymentID, TimeStampedValue
from ray.serve.autoscaling_policy import _apply_app_level_autoscaling_config
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from cluster import autoscaling
from cluster.autoscaling import Demand, Load, Pipeline, PipelinePolicy, demand_of
from packshot.shots import load_report
from packshot.shots.load_report import LoadReport
from packshot.store.load_records import Flow, QueueLoad
from packshot.store.load_records import Load as StoreWork

PLAN = Pipeline(row_step_s=0.05, picture_s=0.0, scenes=4, start_s=30, answer_s=10, utilisation=0.8, calm_s=100)


def contexts(
    policy_state: dict[DeploymentID, dict[str, Any]] | None = None,
    generators: int = 0,
    target: int = 0,
    calls: float = 0.0,
    report: dict[str, float] | None = None,
    at_s: float = 1000.0,
    high: int = 50,
    gateway: Mapping[str, Mapping[str, list[TimeStampedValue]]] | None = None,
) -> dict[DeploymentID, AutoscalingContext]:
    """Serve's own contexts for two deployments, and for the gateway when its metrics are given."""

    def context(
        name: str, running: int, goal: int, ongoing: float, raw: Any
    ) -> tuple[DeploymentID, AutoscalingContext]:
        deployment = DeploymentID(name, "packshot")
        config = AutoscalingConfig(min_replicas=0, max_replicas=high, upscale_delay_s=0, downscale_delay_s=0)
        return deployment, AutoscalingContext(
            deployment_id=deployment,
            deployment_name=name,
            app_name="packshot",
            current_num_replicas=running,
            target_num_replicas=goal,
            running_replicas=[],
            total_num_requests=ongoing,
            total_queued_requests=0.0,
            aggregated_metrics=None,
            raw_metrics=raw,
            capacity_adjusted_min_replicas=0,
            capacity_adjusted_max_replicas=high,
            policy_state=(policy_state or {}).get(deployment, {}),
            last_scale_up_time=None,
            last_scale_down_time=None,
            current_time=at_s,
            config=config,
        )

    raw = {key: {"r1": [TimeStampedValue(at_s - 1, value)]} for key, value in (report or {}).items()}
    both = [context("generator", generators, target, calls, {}), context("director", 1, 1, 0.0, raw)]
    return dict(both if gateway is None else [*both, context("gateway", 1, 1, 0.0, gateway)])


class Store:
    """A store with this much waiting work."""

    def __init__(self, waiting: StoreWork) -> None:
        self.waiting = waiting

    def load(self, since_seq: int | None = None) -> QueueLoad:
        return QueueLoad(0, Flow(waiting=self.waiting), Flow())


def test_serve_gets_the_form_it_wants_and_hands_the_state_back() -> None:
    """Through Serve's own wrapper, from a director's report to replicas."""
    kwargs = json.loads(json.dumps(asdict(PLAN)))
    policy = _apply_app_level_autoscaling_config(PipelinePolicy(**kwargs))
    report = LoadReport(Store(StoreWork(40, 40, 800)))()
    decisions, states = policy(contexts(generators=1, target=1, report=report))
    assert {deployment.name: type(count) for deployment, count in decisions.items()} == {
        "generator": int,
        "director": int,
    }
    asked = next(count for deployment, count in decisions.items() if deployment.name == "generator")
    assert asked == 4  # 40 s of work, less half a batch, within 10 s
    again, _ = policy(contexts(states, generators=4, target=4, at_s=1010.0, report=LoadReport(Store(StoreWork()))()))
    assert (
        next(count for deployment, count in again.items() if deployment.name == "generator") == 4
    )  # remembered: not calm yet


IN_THE_CONTROLLER = """
import sys
from ray import cloudpickle
from ray.serve.autoscaling_policy import _apply_app_level_autoscaling_config

sys.modules["cluster"] = None  # as where the policy's module cannot be imported
policy, plan, contexts = cloudpickle.load(sys.stdin.buffer)
decisions, _ = _apply_app_level_autoscaling_config(policy(**plan))(contexts)
print({deployment.name: count for deployment, count in decisions.items()})
"""


def test_the_policy_decides_the_same_where_serve_has_pickled_it_to() -> None:
    """In a process of its own: unpickled in this one, the copy would write itself over the class that every test
    uses."""
    seen = contexts(generators=1, target=1, report=LoadReport(Store(StoreWork(40, 40, 800)))())
    here, _ = _apply_app_level_autoscaling_config(PipelinePolicy(**asdict(PLAN)))(seen)
    cloudpickle.register_pickle_by_value(autoscaling)
    try:
        carried = cloudpickle.dumps((PipelinePolicy, asdict(PLAN), seen))
    finally:
        cloudpickle.unregister_pickle_by_value(autoscaling)
    command = [sys.executable, "-W", "ignore", "-c", IN_THE_CONTROLLER]
    done = subprocess.run(command, input=carried, capture_output=True, check=True, timeout=120)
    assert done.stdout.decode().strip() == str({deployment.name: count for deployment, count in here.items()})


def test_a_stale_report_drives_nothing_and_a_fresh_one_is_taken_before_it() -> None:
    """The director that has watched the store longest hangs; another one has just started."""
    seen = contexts(generators=1, target=1, report=LoadReport(Store(StoreWork(400, 400, 8000)))() | {"seen_s": 120.0})
    director = next(context for deployment, context in seen.items() if deployment.name == "director")
    hung: dict[str, dict[Any, list[TimeStampedValue]]] = cast(Any, director.raw_metrics)
    fresh = LoadReport(Store(StoreWork(3, 4, 500)))() | {"seen_s": 5.0}
    for key, by_replica in hung.items():
        by_replica["r1"] = [TimeStampedValue(1000.0 - 31, by_replica["r1"][0].value)]
        by_replica["r2"] = [TimeStampedValue(1000.0 - 2, fresh[key])]
    found = autoscaling.observe_serve(seen, 30.0)
    assert found.reported
    assert found.interactive.waiting == Load(3, 4, 500)
    for by_replica in hung.values():
        del by_replica["r2"]
    assert not autoscaling.observe_serve(seen, 30.0).reported
    policy = _apply_app_level_autoscaling_config(PipelinePolicy(**asdict(PLAN)))
    decisions, _ = policy(seen)
    assert next(count for deployment, count in decisions.items() if deployment.name == "generator") == 1


def test_a_report_that_repeats_an_old_reading_is_stale() -> None:
    now = 0.0

    class Silent:
        def load(self, since_seq: int | None = None) -> QueueLoad:
            nonlocal now
            now += 5.0  # so that the next reading is allowed after 100 s
            return QueueLoad(0, Flow(waiting=StoreWork(400, 400, 8000)), Flow())

    report = LoadReport(Silent(), clock=lambda: now)
    assert report()["age_s"] == 0
    now += 20.0
    assert autoscaling.observe_serve(contexts(report=report()), 30.0).reported
    now += 20.0
    assert not autoscaling.observe_serve(contexts(report=report()), 30.0).reported


def test_the_gateways_reports_are_summed_and_old_ones_left_out() -> None:
    raw = {
        "uploads": {"a": [TimeStampedValue(999.0, 5.0)], "b": [TimeStampedValue(998.0, 7.0)]},
        "cores": {"a": [TimeStampedValue(999.0, 0.5)], "b": [TimeStampedValue(998.0, 0.25)]},
    }
    raw["uploads"]["gone"] = raw["cores"]["gone"] = [TimeStampedValue(900.0, 50.0)]
    assert autoscaling.observe_serve(contexts(gateway=raw), 30.0).gateways == autoscaling.GatewayLoad(12.0, 0.75)


def test_serves_cold_start_does_not_hold_the_generators_at_one() -> None:
    policy = _apply_app_level_autoscaling_config(PipelinePolicy(**asdict(PLAN)))
    report = LoadReport(Store(StoreWork(100, 100, 2000)))()
    decisions, _ = policy(contexts(generators=0, target=0, calls=6.0, report=report))
    assert next(count for deployment, count in decisions.items() if deployment.name == "generator") == 10


def test_the_report_is_read_as_it_is_written() -> None:
    store = Store(StoreWork(3, 4, 500))
    report = LoadReport(store)()
    assert demand_of(report, "interactive") == Demand(waiting=Load(3, 4, 500))
    assert autoscaling.FAST_S == load_report.FAST_S
