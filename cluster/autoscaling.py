"""The autoscaling policy, which sets the number of replicas of every stage from the load of the whole pipeline.

`decide` is a pure function: it reads no clock and calls no service.

    store ──> director ── waiting and arriving work, in row-steps ──┐
              generator ── seconds of a row-step, measured ─────────┤──> Observation ──> decide ──> replicas per stage
              gateway ── uploads, processor time ───────────────────┤                     │  ^
              Serve ── running replicas, ongoing calls ─────────────┘                     │  ^
                                                                                          └ State

The number of generators follows from seconds of work. Each engine has generators of its own, which follow from its own
work and scale to zero alone. The other stages follow in proportion, or by their own ongoing calls when these need more.
Photo decoders follow the uploads that gateways hold, which Serve sees only in part, and gateways the processor time
that they use. A report that is older than `stale_s` does not count:

    interactive   arriving work / `utilisation`, plus the replicas that finish within `answer_s` the work that waits or
                  will have arrived by the time a new replica runs
    catalogue     the replicas that finish its work within `catalogue_s`, in addition; at the limit it gets what
                  interactive work and `spare` leave
    scale up      at once
    scale down    to the largest need of the last `steady_s` with a small margin, or of the last `calm_s` with a large
                  one; to 0 after `idle_s` without work
    up again      within `steady_s` of a scale-down, only for more than a random fluctuation

Serve pickles this module by value into its controller, so it is one file, and imports only the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

GENERATOR, DIRECTOR = "generator", "director"
FURTHER = f"{GENERATOR}-"
"""Start of the names of generators of further engines; the rest is the engine's name."""
GATEWAY, PHOTO_DECODER = "gateway", "photo_decoder"
CLICKS = ("sam_encoder", "mask_decoder")
TRAINER = "trainer"
"""It follows its own calls alone, one for each training: shots do not wake it, and trainings wake nothing else."""

FAST_S = 15.0
"""The director's short window in seconds. A test checks that packshot/shots/load_report.py uses the same."""

ROWS_OF_A_GUIDED_SCENE = 2

BURST_SIGMAS = 3.0
"""By how many standard deviations the arrivals of the short window must exceed those of the long one to count as a
burst."""

DOWN_MARGIN, BURST_MARGIN = 0.9, 0.67
"""Utilisation after a scale-down. The largest need of the last `steady_s` may fill at most the first share of the
replicas that stay; after a burst, the largest need of the last `calm_s` may fill at most the second. The margins keep a
random fluctuation from reverting the scale-down at once."""

CLAIM_AHEAD = 1.25
"""Claimed shots for each shot that the generators paint. The others are being cut out, composited or committed."""

UPLOADS_EACH = 2.0
"""Uploads for each photo decoder that are no backlog: one is decoded, and one waits by chance."""

UP_SLACK = 0.05
"""Shortage, in replicas, up to which no replica is started."""

RETURN_MARGIN, RETURN_SLACK = 0.25, 1.0
"""A stage that was scaled down within `steady_s` is scaled up again only when it lacks this share of its replicas, and
at least this number of replicas."""


OF_AN_ENGINE = ("row_step_s", "picture_s", "scenes", "start_s")
"""The parameters of the policy that each engine may have for itself."""


@dataclass(frozen=True)
class Pipeline:
    """The parameters of the policy: `autoscaling` of a profile. docs/capacity.md describes each. Times are in seconds.

    `shot_s` and `image_s` map a stage to the time that one shot, and each of its images, occupies one of its replicas.
    `engines` maps an engine besides the default to its own `row_step_s`, `picture_s`, `scenes` and `start_s`. Raises
    ValueError when a parameter is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    row_step_s: float = 0.04  # time of a row-step in a full batch, until a replica has measured it
    picture_s: float = 0.2  # time to begin and decode a picture
    scenes: float = 4.0  # scenes in a generator's full batch, until a replica has reported it
    start_s: float = 30.0  # from the request for a generator to its first step
    answer_s: float = 10.0  # target time to finish the waiting interactive work
    catalogue_s: float = 900.0  # target time to finish the catalogue work
    utilisation: float = 0.75  # target share of a generator's time for arriving interactive work
    spare: float = 1.0  # generators that catalogue work leaves free
    calm_s: float = 120.0  # how long the need must be lower before a stage is scaled down with a large margin
    steady_s: float = 600.0  # how long it must be lower before the small margin applies
    idle_s: float = 600.0  # time without work after which all stages may be scaled to 0
    stale_s: float = 30.0  # age after which a report of a director or gateway no longer counts
    photo_s: float = 0.3  # time of a photo decoder for one upload
    shot_s: dict[str, float] = field(default_factory=dict)
    image_s: dict[str, float] = field(default_factory=dict)
    engines: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for engine, own in self.engines.items():
            if strange := ", ".join(own.keys() - OF_AN_ENGINE):
                raise ValueError(f"autoscaling.engines.{engine} may state {', '.join(OF_AN_ENGINE)}, got {strange}")
        for name in ("row_step_s", "scenes", "answer_s", "catalogue_s", "calm_s", "stale_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"autoscaling.{name} must be > 0, got {getattr(self, name)}")
        if not 0 < self.utilisation <= 1:
            raise ValueError(f"autoscaling.utilisation must be in (0, 1], got {self.utilisation}")
        if self.steady_s < self.calm_s:
            raise ValueError(f"autoscaling.steady_s must be ≥ calm_s, got {self.steady_s} and {self.calm_s}")

    def of(self, generator: str, row_step_s: float | None, step_rows: float | None) -> Pipeline:
        """The parameters for one engine's generators, with what they measured."""
        own: dict[str, Any] = {"engines": {}}
        if generator != GENERATOR:
            own |= self.engines.get(generator.removeprefix(FURTHER), {})
        if row_step_s:
            own["row_step_s"] = row_step_s
        if step_rows:
            own["scenes"] = max(1.0, step_rows / ROWS_OF_A_GUIDED_SCENE)
        return replace(self, **own)


@dataclass(frozen=True)
class Load:
    """An amount of work in shots, pictures and row-steps, or a rate of them per second."""

    shots: float = 0.0
    pictures: float = 0.0
    row_steps: float = 0.0

    def __add__(self, other: Load) -> Load:
        return Load(self.shots + other.shots, self.pictures + other.pictures, self.row_steps + other.row_steps)


@dataclass(frozen=True)
class Demand:
    """The work of one priority: waiting, running, and arriving per second in a short (fast) and long (slow) window."""

    waiting: Load = Load()
    running: Load = Load()
    fast: Load = Load()
    slow: Load = Load()

    @property
    def here(self) -> Load:
        """The work that waits or runs."""
        return self.waiting + self.running

    @property
    def arriving(self) -> Load:
        """The arrivals of the long window, or of the short window when it exceeds the long one by BURST_SIGMAS."""
        expected = self.slow.shots * FAST_S
        burst = self.fast.shots * FAST_S > expected + BURST_SIGMAS * math.sqrt(max(expected, 1.0))
        return self.fast if burst else self.slow


@dataclass(frozen=True)
class Stage:
    """A deployment as Serve reports it.

    `target` is the present target number of replicas, `running` the number that run, and `low` and `high` are its
    limits. `ongoing` counts queued and running calls, and `target_ongoing` is the target of them for each replica.
    """

    target: int
    running: int
    low: int
    high: int
    ongoing: float = 0.0
    target_ongoing: float = 2.0


@dataclass(frozen=True)
class GatewayLoad:
    """What the gateways hold together: `uploads` that are decoded or wait for it, and `cores` of processor time."""

    uploads: float
    cores: float


@dataclass(frozen=True)
class EngineLoad:
    """The work of one engine, and the measurements of its generators.

    `row_step_s` are the seconds of a row-step, and `step_rows` the rows of a full step. They are None when no generator
    has measured.
    """

    interactive: Demand = Demand()
    catalogue: Demand = Demand()
    row_step_s: float | None = None
    step_rows: float | None = None

    @property
    def here(self) -> Load:
        """The work that waits or runs."""
        return self.interactive.here + self.catalogue.here


@dataclass(frozen=True)
class Observation:
    """One observation of the pipeline at `at_s`.

    `reported` says whether a director has reported the work of the store. `engines` are the engines by the deployment
    of their generators; without it, all work is that of one, whose measurements are `row_step_s` and `step_rows`.
    `gateways` is None when no gateway has reported.
    """

    at_s: float
    stages: Mapping[str, Stage]
    interactive: Demand = Demand()
    catalogue: Demand = Demand()
    reported: bool = True
    row_step_s: float | None = None
    step_rows: float | None = None
    gateways: GatewayLoad | None = None
    engines: Mapping[str, EngineLoad] = field(default_factory=dict)

    @property
    def engine_loads(self) -> Mapping[str, EngineLoad]:
        """The engines by the deployment of their generators."""
        return self.engines or {
            GENERATOR: EngineLoad(self.interactive, self.catalogue, self.row_step_s, self.step_rows)
        }


@dataclass(frozen=True)
class EngineState:
    """What `decide` keeps of one engine.

    `row_step_s` and `step_rows` are the last measurements. `held` is the number of generators for catalogue work.
    `asked_at_s` is since when the target of the generators has exceeded their running number, or None when it does not.
    `busy_at_s` is when there was work for them last.
    """

    row_step_s: float | None = None
    step_rows: float | None = None
    held: float = 0.0
    asked_at_s: float | None = None
    busy_at_s: float = -math.inf


@dataclass(frozen=True)
class State:
    """The state that `decide` keeps from one observation to the next.

    `peaks` holds for each stage the times and needs that can still be the maximum of a window of at most `steady_s`.
    `shrank_at_s` is when each stage was last scaled down, and `busy_at_s` when there was work last. `engines` holds
    what is kept of each engine, by the deployment of its generators.
    """

    peaks: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    shrank_at_s: Mapping[str, float] = field(default_factory=dict)
    busy_at_s: float | None = None
    engines: Mapping[str, EngineState] = field(default_factory=dict)


def decide(seen: Observation, state: State, plan: Pipeline) -> tuple[dict[str, int], State]:
    """The number of replicas of every stage, within its limits, and the next state."""
    needs = {name: stage.ongoing / stage.target_ongoing for name, stage in seen.stages.items()}
    kept, engine_needs = {}, []
    for name, engine_load in seen.engine_loads.items():
        last = state.engines.get(name, EngineState(busy_at_s=seen.at_s if name == GENERATOR else -math.inf))
        measured = engine_load.row_step_s or last.row_step_s, engine_load.step_rows or last.step_rows
        asked_at_s, own = _asked_at_s(name, seen, last), plan.of(name, *measured)
        engine_need = EngineNeed(held=last.held)
        if seen.reported:
            waited_s = 0.0 if asked_at_s is None else seen.at_s - asked_at_s
            engine_need = _engine_need(name, seen, last.held, own, max(0.0, own.start_s - waited_s))
            engine_needs.append(engine_need)
        busy_at_s = seen.at_s if _busy_engine(name, seen) else last.busy_at_s
        kept[name] = EngineState(*measured, engine_need.held, asked_at_s, busy_at_s)
    if seen.reported:
        needs |= {name: need for name, need in _needs(seen, engine_needs, plan).items() if name in needs}
    if seen.gateways is not None:
        needs |= _gateway_needs(seen, seen.gateways, needs, plan)
    busy_at_s = seen.at_s if state.busy_at_s is None or _busy(seen) else state.busy_at_s
    replicas, peaks, shrank_at_s = {}, {}, dict(state.shrank_at_s)
    for name, stage in seen.stages.items():
        need = min(needs[name], float(stage.high))
        # At the first observation, the present target counts as needed.
        before = state.peaks.get(name, ((seen.at_s, float(stage.target)),))
        peaks[name] = _peaks(before, seen.at_s, need, plan.steady_s)
        shrank_s = seen.at_s - shrank_at_s.get(name, -math.inf)
        keep = _keep(peaks[name], seen.at_s - plan.calm_s)
        moved = _move(stage.target, need, keep, shrank_recently=shrank_s < plan.steady_s)
        worked_at_s = kept[name].busy_at_s if name in kept and len(kept) > 1 else busy_at_s
        awake = name != TRAINER and seen.at_s - worked_at_s < plan.idle_s
        replicas[name] = min(max(moved, stage.low, int(awake)), stage.high)
        if replicas[name] < stage.target:
            shrank_at_s[name] = seen.at_s
    return replicas, State(peaks, shrank_at_s, busy_at_s, kept)


@dataclass(frozen=True)
class EngineNeed:
    """What the work of one engine needs.

    `generators` is their number as a fraction, and `held` the number of those for catalogue work. `at_once` is how many
    shots they paint at once. They finish `finished` shots per second of `pictures` pictures each.
    """

    generators: float = 0.0
    held: float = 0.0
    at_once: float = 0.0
    finished: float = 0.0
    pictures: float = 1.0


def _engine_need(name: str, seen: Observation, held: float, plan: Pipeline, ready_in_s: float) -> EngineNeed:
    """What the reported work of one engine needs.

    `name` is the deployment of its generators, and `plan` has its own parameters. `held` is the previous number of
    generators for catalogue work. `ready_in_s` is the time until the generators that are now starting run.
    """

    def seconds(work: Load) -> float:
        return work.row_steps * plan.row_step_s + work.pictures * plan.picture_s

    generator, work = seen.stages.get(name) or Stage(1, 1, 0, 1), seen.engine_loads[name]
    recent = work.here + work.interactive.slow + work.catalogue.slow
    scene_s = seconds(recent) / recent.pictures if recent.pictures else 0.0
    pictures = max(1.0, recent.pictures / recent.shots) if recent.shots else 1.0

    arriving_s = seconds(work.interactive.arriving)
    under_way_s = generator.running * plan.scenes * scene_s / 2  # full batches, on average half done
    behind_s = max(0.0, seconds(work.interactive.here) - under_way_s)
    behind_s += max(0.0, arriving_s - generator.running) * ready_in_s
    interactive = arriving_s / plan.utilisation + behind_s / plan.answer_s

    catalogue_s = seconds(work.catalogue.here)
    # Catalogue work keeps its generators until they would finish it within `calm_s`. By the time its peak leaves the
    # window, the work is done.
    held = max(catalogue_s / plan.catalogue_s, min(held, catalogue_s / plan.calm_s))
    spare = plan.spare if held >= 1 else 0.0
    bulk = min(held, max(0.0, generator.high - interactive - spare))
    generators = min(interactive + spare + bulk, float(generator.high))

    # Directors follow the generators that run. A shot claimed before its generator runs would wait at the old ones.
    least = 1.0 if name == GENERATOR or work.here.shots else 0.0
    at_once = max(float(generator.running), least) * plan.scenes / pictures
    # Shots per second that the planned generators finish.
    planned = max(generators, float(generator.low))
    finished = min(planned * plan.utilisation / (scene_s * pictures), 1e9) if scene_s else 0.0
    return EngineNeed(generators, held, at_once, finished, pictures)


def _needs(seen: Observation, engine_needs: Iterable[EngineNeed], plan: Pipeline) -> dict[str, float]:
    """The replicas that the reported work needs, as fractions. `engine_needs` are in the order of the engines."""
    painted = dict(zip(seen.engine_loads, engine_needs, strict=True))
    needs = {name: one.generators for name, one in painted.items()}
    at_once = sum(one.at_once for one in painted.values())
    needs[DIRECTOR] = CLAIM_AHEAD * at_once / _target_ongoing(seen, DIRECTOR)
    arriving = sum(work.interactive.arriving.shots for work in seen.engine_loads.values())
    for name in (plan.shot_s | plan.image_s).keys() & seen.stages.keys() - needs.keys():
        stage = seen.stages[name]
        shot_s, image_s = plan.shot_s.get(name, 0.0), plan.image_s.get(name, 0.0)
        busy = sum(one.finished * (shot_s + image_s * one.pictures) for one in painted.values())
        if name in CLICKS:
            most = max((one.pictures for one in painted.values()), default=1.0)
            busy = arriving * (shot_s + image_s * most)
        needs[name] = max(stage.ongoing / stage.target_ongoing, busy / plan.utilisation)
    return needs


def _gateway_needs(
    seen: Observation, gateways: GatewayLoad, needs: Mapping[str, float], plan: Pipeline
) -> dict[str, float]:
    """The gateways that share the processor time, and the photo decoders that finish what waits within `answer_s`."""
    found = {GATEWAY: max(needs.get(GATEWAY, 0.0), gateways.cores / plan.utilisation)}
    if (decoder := seen.stages.get(PHOTO_DECODER)) is not None:
        busy = min(decoder.ongoing, float(decoder.running))  # a mean over Serve's look-back
        behind = max(0.0, gateways.uploads - UPLOADS_EACH * decoder.running)
        found[PHOTO_DECODER] = busy / plan.utilisation + behind * plan.photo_s / plan.answer_s
    return {name: need for name, need in found.items() if name in needs}


def _asked_at_s(name: str, seen: Observation, before: EngineState) -> float | None:
    """Since when the target of these generators has exceeded their running number; None when it does not."""
    generator = seen.stages.get(name)
    if generator is None or generator.running >= generator.target:
        return None
    return seen.at_s if before.asked_at_s is None else before.asked_at_s


def _busy_engine(name: str, seen: Observation) -> bool:
    """Whether a shot of an engine waits, runs or arrived lately, or its generators have calls.

    A click may become a shot of the default engine.
    """
    work, calls = seen.engine_loads[name], (name, *(CLICKS if name == GENERATOR else ()))
    fast = work.interactive.fast + work.catalogue.fast
    return (work.here + fast).shots > 0 or any(seen.stages[one].ongoing > 0 for one in calls if one in seen.stages)


def _target_ongoing(seen: Observation, name: str) -> float:
    stage = seen.stages.get(name)
    return stage.target_ongoing if stage else 1.0


def _busy(seen: Observation) -> bool:
    """Whether a shot waits, runs or arrived lately, or a stage has ongoing calls.

    Calls of the gateway and of directors do not count, because these also poll without work, nor do trainings.
    """
    work = (demand.here + demand.fast for demand in (seen.interactive, seen.catalogue))
    calls = (stage.ongoing for name, stage in seen.stages.items() if name not in (GATEWAY, DIRECTOR, TRAINER))
    return any(w.shots > 0 for w in work) or any(ongoing > 0 for ongoing in calls)


def _peaks(
    before: Iterable[tuple[float, float]], at_s: float, need: float, window_s: float
) -> tuple[tuple[float, float], ...]:
    """Add a need to the peaks of a sliding window. Times ascend and needs descend, so the first is the maximum."""
    kept = [(then_s, peak) for then_s, peak in before if then_s > at_s - window_s and peak > need]
    return (*kept, (at_s, need))


def _keep(peaks: tuple[tuple[float, float], ...], calm_since_s: float) -> int:
    """The replicas to keep: by the maximum of the whole window, or of `calm_since_s` on with a larger margin."""
    calm = next(peak for then_s, peak in peaks if then_s > calm_since_s)
    return math.ceil(min(peaks[0][1] / DOWN_MARGIN, calm / BURST_MARGIN) - UP_SLACK)


def _move(target: int, need: float, keep: int, *, shrank_recently: bool) -> int:
    """The next target: up to the need at once, or down to `keep`. After a recent scale-down it grows reluctantly."""
    if need > target + (max(RETURN_SLACK, RETURN_MARGIN * target) if shrank_recently else UP_SLACK):
        return math.ceil(need - UP_SLACK)
    return min(target, keep)


class PipelinePolicy:
    """`decide` as Serve's application-level policy: `{DeploymentID: AutoscalingContext} -> ({DeploymentID: n}, state)`.

    `applications[].autoscaling_policy` of the Serve config names it, with the fields of `Pipeline` as `policy_kwargs`.
    """

    def __init__(self, **plan: Any) -> None:
        self._plan = Pipeline(**plan)

    def __call__(self, contexts: Mapping[Any, Any]) -> tuple[dict[Any, int | float], dict[Any, dict[str, Any]] | None]:
        if not contexts:
            return {}, {}
        keeper = min(contexts, key=str)  # the deployment whose policy state holds ours
        state = contexts[keeper].policy_state.get("pipeline", State())
        replicas, state = decide(observe_serve(contexts, self._plan.stale_s), state, self._plan)
        for deployment, context in contexts.items():
            if context.current_num_replicas == 0:
                # While no replica runs and calls wait, Serve replaces our number by the larger of 1 and its own target,
                # so set that target to ours.
                context.target_num_replicas = max(context.target_num_replicas, replicas[deployment.name])
        return {deployment: replicas[deployment.name] for deployment in contexts}, {keeper: {"pipeline": state}}


def observe_serve(contexts: Mapping[Any, Any], stale_s: float) -> Observation:
    """Convert Serve's contexts to one observation. Reports older than `stale_s` seconds are left out.

    It takes the report of the director that has observed the store longest, the mean of each engine's generators, and
    the sum of the gateways' reports. Serve keeps the last report of a replica that hangs, and of one whose store is
    silent.
    """
    stages, reports, gateways = {}, list[dict[str, float]](), None
    measured: dict[str, tuple[float | None, float | None]] = {}
    at_s = max(context.current_time for context in contexts.values())
    for deployment, context in contexts.items():
        stages[deployment.name] = Stage(
            target=context.target_num_replicas,
            running=context.current_num_replicas,
            low=context.capacity_adjusted_min_replicas,
            high=context.capacity_adjusted_max_replicas,
            ongoing=context.total_num_requests,
            target_ongoing=context.config.get_target_ongoing_requests(),
        )
        found = context.raw_metrics or {}
        if deployment.name == DIRECTOR:
            reports = [one for one in _newest(found, at_s - stale_s) if "interactive_waiting_shots" in one]
            reports = [one for one in reports if one.get("age_s", 0.0) <= stale_s]
        elif deployment.name == GATEWAY and (own := _newest(found, at_s - stale_s)):
            gateways = GatewayLoad(*(sum(one.get(key, 0.0) for one in own) for key in ("uploads", "cores")))
        elif deployment.name == GENERATOR or deployment.name.startswith(FURTHER):
            measured[deployment.name] = _mean(found.get("row_step_s", {})), _mean(found.get("step_rows", {}))
    report = max(reports, key=lambda one: (one.get("seen_s", 0.0), -one.get("age_s", 0.0)), default={})
    people, catalogue = demand_of(report, "interactive"), demand_of(report, "catalogue")
    engines = _engines(report, measured)
    return Observation(at_s, stages, people, catalogue, reported=bool(reports), gateways=gateways, engines=engines)


def _engines(
    report: Mapping[str, float], measured: Mapping[str, tuple[float | None, float | None]]
) -> dict[str, EngineLoad]:
    """The engines by the deployment of their generators. A report that does not tell them apart is the default's."""
    apart = f"interactive_waiting_shots@{GENERATOR}" in report
    found = {}
    for name, measurements in measured.items():
        of = f"@{name}" if apart or name != GENERATOR else ""
        work = demand_of(report, "interactive", of), demand_of(report, "catalogue", of)
        found[name] = EngineLoad(*work, *measurements)
    return found


def _mean(by_replica: Mapping[Any, Any]) -> float | None:
    """The mean of every replica's newest value; None when there is none."""
    values = [series[-1].value for series in by_replica.values() if series]
    return sum(values) / len(values) if values else None


def _newest(found: Mapping[str, Mapping[Any, Any]], since_s: float) -> list[dict[str, float]]:
    """The newest values of each replica that reported after `since_s`."""
    reports: dict[Any, dict[str, float]] = {}
    for name, by_replica in found.items():
        for replica, series in by_replica.items():
            if series and series[-1].timestamp >= since_s:
                reports.setdefault(replica, {})[name] = series[-1].value
    return list(reports.values())


def demand_of(report: Mapping[str, float], priority: str, of: str = "") -> Demand:
    """The demand of one priority in a director's report: the whole, or with `of` that of `@` and a deployment."""

    def work(kind: str) -> Load:
        return Load(*(report.get(f"{priority}_{kind}_{unit}{of}", 0.0) for unit in ("shots", "pictures", "row_steps")))

    return Demand(*(work(kind) for kind in ("waiting", "running", "fast", "slow")))
