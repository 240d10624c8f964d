"""How many replicas of each stage: a policy that sees the whole pipeline. Pure:
`decide` reads no clock and asks nobody.

    store ──> director ── waiting and arriving work, in row-steps ──┐
              generator ── seconds of a row-step, measured ─────────┤──> Seen ──> decide ──> replicas of every stage
              Serve ── running replicas, calls under way ───────────┘              │  ^
                                                                                   └ State

Generators are counted out of seconds of work; the other stages follow in proportion,
or their own calls where these ask for more:

    interactive   arriving work / `utilisation`, and within `answer_s` what waits or will have come
                  by the time a new replica runs
    catalogue     its work within `catalogue_s`, on top; at the limit it has what interactive work and `spare` leave
    up            at once
    down          to the largest need of the last `steady_s` with a small margin, or of the last `calm_s` with a
                  large one; to nothing after `idle_s` without work
    back up       within `steady_s` of having shrunk only for more than chance brings

Serve pickles this module by value into its controller, so it stands alone: the standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

GENERATOR, DIRECTOR = "generator", "director"

FAST_S = 15.0
"""The director's short window (packshot/shots/load_report.py); a test holds the two together."""

ROWS_OF_A_GUIDED_SCENE = 2

BURST_SIGMAS = 3.0
"""How far above the long window's arrivals the short window's must be to be believed."""

DOWN_MARGIN, BURST_MARGIN = 0.9, 0.67
"""A stage shrinks to where its largest need of the last `steady_s` fills the first part of it at most, or, as after a
burst, that of the last `calm_s` the second: chance does not undo it at once."""

CLAIM_AHEAD = 1.25
"""Shots under way for each that the generators paint: the others are being cut out, composed or committed."""

UP_SLACK = 0.05
"""Replicas short of which nothing is started."""

RETURN_MARGIN, RETURN_SLACK = 0.25, 1.0
"""Part of its replicas, and how many at least, by which a stage that shrank within `steady_s` must be short to grow
again."""


@dataclass(frozen=True)
class Pipeline:
    """The installation's numbers, a profile's `autoscaling`; docs/capacity.md tells each. Times in seconds.

    `shot_s`, `image_s`: by stage, what a shot and what each of its images takes of one replica. Raises ValueError for a
    number out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    row_step_s: float = 0.04  # a row of a step in a full batch, until a replica has measured it
    picture_s: float = 0.2  # beginning and decoding a picture
    scenes: float = 4.0  # what a generator is meant to have under way: its full batch; until a replica tells
    start_s: float = 30.0  # from asking for a generator to its first step
    answer_s: float = 10.0  # waiting interactive work is to be gone in
    catalogue_s: float = 900.0  # a catalogue is to be done in
    utilisation: float = 0.75  # of a generator by arriving interactive work
    spare: float = 1.0  # generators kept free of a catalogue
    calm_s: float = 120.0  # a need must have been lower for so long before a stage shrinks,
    steady_s: float = 600.0  # and for so long before it shrinks to little more than it
    idle_s: float = 600.0
    shot_s: dict[str, float] = field(default_factory=dict)
    image_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("row_step_s", "scenes", "answer_s", "catalogue_s", "calm_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"autoscaling.{name} must be > 0, got {getattr(self, name)}")
        if not 0 < self.utilisation <= 1:
            raise ValueError(f"autoscaling.utilisation must be in (0, 1], got {self.utilisation}")
        if self.steady_s < self.calm_s:
            raise ValueError(f"autoscaling.steady_s must be ≥ calm_s, got {self.steady_s} and {self.calm_s}")


@dataclass(frozen=True)
class Load:
    """Shots, pictures and row-steps: an amount, or per second."""

    shots: float = 0.0
    pictures: float = 0.0
    row_steps: float = 0.0

    def __add__(self, other: Load) -> Load:
        return Load(self.shots + other.shots, self.pictures + other.pictures, self.row_steps + other.row_steps)


@dataclass(frozen=True)
class Demand:
    """One priority's work: queued, running, and arriving per second over a short and a long window."""

    waiting: Load = Load()
    running: Load = Load()
    fast: Load = Load()
    slow: Load = Load()

    @property
    def here(self) -> Load:
        return self.waiting + self.running

    @property
    def arriving(self) -> Load:
        """The long window's, unless the short one is above it by more than chance."""
        expected = self.slow.shots * FAST_S
        burst = self.fast.shots * FAST_S > expected + BURST_SIGMAS * math.sqrt(max(expected, 1.0))
        return self.fast if burst else self.slow


@dataclass(frozen=True)
class Stage:
    """A deployment as Serve sees it. `target`: replicas asked for; `ongoing`: calls queued and under way."""

    target: int
    running: int
    low: int
    high: int
    ongoing: float = 0.0
    target_ongoing: float = 2.0


@dataclass(frozen=True)
class Seen:
    """One look at the pipeline. `reported`: a director has. `row_step_s`, `step_rows`: as generators measured;
    None when none has."""

    at_s: float
    stages: Mapping[str, Stage]
    interactive: Demand = Demand()
    catalogue: Demand = Demand()
    reported: bool = True
    row_step_s: float | None = None
    step_rows: float | None = None


@dataclass(frozen=True)
class State:
    """What `decide` remembers.

    `peaks`: per stage, falling needs with their times, the last `steady_s` only. `shrank_at_s`: when each did last.
    `busy_at_s`: when there was work last. `held`: the catalogue's generators. `asked_at_s`: since when more generators
    are asked for than run; None when they all do.
    """

    peaks: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    shrank_at_s: Mapping[str, float] = field(default_factory=dict)
    busy_at_s: float | None = None
    row_step_s: float | None = None
    step_rows: float | None = None
    held: float = 0.0
    asked_at_s: float | None = None


def decide(seen: Seen, state: State, plan: Pipeline) -> tuple[dict[str, int], State]:
    """Replicas of every stage, within its limits, and what to remember."""
    row_step_s, step_rows = seen.row_step_s or state.row_step_s, seen.step_rows or state.step_rows
    plan = replace(
        plan,
        row_step_s=row_step_s or plan.row_step_s,
        scenes=max(1.0, step_rows / ROWS_OF_A_GUIDED_SCENE) if step_rows else plan.scenes,
    )
    needs = {name: stage.ongoing / stage.target_ongoing for name, stage in seen.stages.items()}
    held, asked_at_s = state.held, _asked_at_s(seen, state)
    if seen.reported:
        ready_in_s = max(0.0, plan.start_s - (seen.at_s - asked_at_s)) if asked_at_s is not None else plan.start_s
        ours, held = _needs(seen, held, plan, ready_in_s)
        needs |= {name: need for name, need in ours.items() if name in needs}
    busy_at_s = seen.at_s if state.busy_at_s is None or _busy(seen) else state.busy_at_s
    awake = seen.at_s - busy_at_s < plan.idle_s
    replicas, peaks, shrank_at_s = {}, {}, dict(state.shrank_at_s)
    for name, stage in seen.stages.items():
        need = min(needs[name], float(stage.high))
        before = state.peaks.get(
            name, ((seen.at_s, float(stage.target)),)
        )  # at the first look, what runs is taken to be needed
        peaks[name] = _peaks(before, seen.at_s, need, plan.steady_s)
        shrank_s = seen.at_s - shrank_at_s.get(name, -math.inf)
        moved = _move(stage.target, need, _keep(peaks[name], seen.at_s - plan.calm_s), turning=shrank_s < plan.steady_s)
        replicas[name] = min(max(moved, stage.low, int(awake)), stage.high)
        if replicas[name] < stage.target:
            shrank_at_s[name] = seen.at_s
    return replicas, State(peaks, shrank_at_s, busy_at_s, row_step_s, step_rows, held, asked_at_s)


def _needs(seen: Seen, held: float, plan: Pipeline, ready_in_s: float) -> tuple[dict[str, float], float]:
    """Replicas, as fractions, that the reported work asks for, and the catalogue's part of the generators."""

    def seconds(work: Load) -> float:
        return work.row_steps * plan.row_step_s + work.pictures * plan.picture_s

    generator = seen.stages.get(GENERATOR) or Stage(1, 1, 0, 1)
    here = seen.interactive.here + seen.catalogue.here
    recent = here + seen.interactive.slow + seen.catalogue.slow
    scene_s = seconds(recent) / recent.pictures if recent.pictures else 0.0
    pictures_a_shot = max(1.0, recent.pictures / recent.shots) if recent.shots else 1.0

    arriving = seen.interactive.arriving
    arriving_s = seconds(arriving)
    under_way_s = generator.running * plan.scenes * scene_s / 2  # full batches, on average half done
    behind_s = max(0.0, seconds(seen.interactive.here) - under_way_s)
    behind_s += max(0.0, arriving_s - generator.running) * ready_in_s
    people = arriving_s / plan.utilisation + behind_s / plan.answer_s

    catalogue_s = seconds(seen.catalogue.here)
    # A catalogue keeps what it once had until that would end it within `calm_s`; when the last peak is forgotten, it is
    # done.
    held = max(catalogue_s / plan.catalogue_s, min(held, catalogue_s / plan.calm_s))
    spare = plan.spare if held >= 1 else 0.0
    bulk = min(held, max(0.0, generator.high - people - spare))
    generators = min(people + spare + bulk, float(generator.high))

    asked = max(generators, float(generator.low))
    # Directors follow the generators that run: a shot claimed before its generator is there waits behind the old ones.
    able = max(float(generator.running), 1.0) * plan.scenes / pictures_a_shot
    needs = {GENERATOR: generators, DIRECTOR: CLAIM_AHEAD * able / _holds(seen, DIRECTOR)}
    finished = min(asked * plan.utilisation / (scene_s * pictures_a_shot), 1e9) if scene_s else 0.0  # shots a second
    for name in (plan.shot_s | plan.image_s).keys() & seen.stages.keys() - needs.keys():
        stage = seen.stages[name]
        shots = arriving.shots if name in ("sam_encoder", "mask_decoder") else finished
        shot_s = plan.shot_s.get(name, 0.0) + plan.image_s.get(name, 0.0) * pictures_a_shot
        needs[name] = max(stage.ongoing / stage.target_ongoing, shots * shot_s / plan.utilisation)
    return needs, held


def _asked_at_s(seen: Seen, state: State) -> float | None:
    generator = seen.stages.get(GENERATOR)
    if generator is None or generator.running >= generator.target:
        return None
    return seen.at_s if state.asked_at_s is None else state.asked_at_s


def _holds(seen: Seen, name: str) -> float:
    stage = seen.stages.get(name)
    return stage.target_ongoing if stage else 1.0


def _busy(seen: Seen) -> bool:
    """Whether anything waits, runs or is being clicked at; the gateway's idle polls are no work."""
    work = (demand.here + demand.fast for demand in (seen.interactive, seen.catalogue))
    calls = (stage.ongoing for name, stage in seen.stages.items() if name not in ("gateway", DIRECTOR))
    return any(w.shots > 0 for w in work) or any(ongoing > 0 for ongoing in calls)


def _peaks(
    before: Iterable[tuple[float, float]], at_s: float, need: float, window_s: float
) -> tuple[tuple[float, float], ...]:
    """The window's maximum, now and as it will be: times rise, needs fall."""
    kept = [(then_s, peak) for then_s, peak in before if then_s > at_s - window_s and peak > need]
    return (*kept, (at_s, need))


def _keep(peaks: tuple[tuple[float, float], ...], calm_since_s: float) -> int:
    """The replicas that needs of late ask to be kept: of the whole window, or of its calm end with more room."""
    calm = next(peak for then_s, peak in peaks if then_s > calm_since_s)
    return math.ceil(min(peaks[0][1] / DOWN_MARGIN, calm / BURST_MARGIN) - UP_SLACK)


def _move(target: int, need: float, keep: int, *, turning: bool) -> int:
    """Up to the need at once, down to what is to be kept. `turning`: it shrank just now."""
    if need > target + (max(RETURN_SLACK, RETURN_MARGIN * target) if turning else UP_SLACK):
        return math.ceil(need - UP_SLACK)
    return min(target, keep)


class PipelinePolicy:
    """`decide` as Serve's application-level policy: `{DeploymentID: AutoscalingContext} -> ({DeploymentID: n}, state)`.

    Set by `applications[].autoscaling_policy`, with `Pipeline`'s fields as `policy_kwargs`.
    """

    def __init__(self, **plan: Any) -> None:
        self._plan = Pipeline(**plan)

    def __call__(self, contexts: Mapping[Any, Any]) -> tuple[dict[Any, int | float], dict[Any, dict[str, Any]] | None]:
        if not contexts:
            return {}, {}
        keeper = min(contexts, key=str)
        state = contexts[keeper].policy_state.get("pipeline", State())
        replicas, state = decide(seen_by_serve(contexts), state, self._plan)
        for deployment, context in contexts.items():
            if context.current_num_replicas == 0:
                # While none runs and calls wait, Serve overrules us with the larger of 1 and its own target: make that
                # ours.
                context.target_num_replicas = max(context.target_num_replicas, replicas[deployment.name])
        return {deployment: replicas[deployment.name] for deployment in contexts}, {keeper: {"pipeline": state}}


def seen_by_serve(contexts: Mapping[Any, Any]) -> Seen:
    """Serve's contexts as one look: the report of the director that has watched longest,
    the mean of the generators' times."""
    stages, reports = {}, list[tuple[float, dict[str, float]]]()
    row_step_s = step_rows = None
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
            reports = _newest(found)
        elif deployment.name == GENERATOR:
            row_step_s, step_rows = (_mean(found.get(name, {})) for name in ("row_step_s", "step_rows"))
    at_s = max(context.current_time for context in contexts.values())
    seen = Seen(at_s, stages, reported=bool(reports), row_step_s=row_step_s, step_rows=step_rows)
    if not reports:
        return seen
    _, report = max(reports, key=lambda one: (one[1].get("seen_s", 0.0), one[0]))
    return replace(seen, interactive=demand_of(report, "interactive"), catalogue=demand_of(report, "catalogue"))


def _mean(by_replica: Mapping[Any, Any]) -> float | None:
    """Of every replica's newest."""
    values = [series[-1].value for series in by_replica.values() if series]
    return sum(values) / len(values) if values else None


def _newest(found: Mapping[str, Mapping[Any, Any]]) -> list[tuple[float, dict[str, float]]]:
    """A report a director: when it was made, and its numbers. One that lacks the store's is left out."""
    reports: dict[Any, tuple[float, dict[str, float]]] = {}
    for name, by_replica in found.items():
        for replica, series in by_replica.items():
            if series:
                at_s, values = reports.get(replica, (0.0, {}))
                reports[replica] = max(at_s, series[-1].timestamp), values | {name: series[-1].value}
    return [(at_s, values) for at_s, values in reports.values() if "interactive_waiting_shots" in values]


def demand_of(report: Mapping[str, float], priority: str) -> Demand:
    """One priority's part of a director's report."""

    def work(kind: str) -> Load:
        return Load(*(report.get(f"{priority}_{kind}_{unit}", 0.0) for unit in ("shots", "pictures", "row_steps")))

    return Demand(*(work(kind) for kind in ("waiting", "running", "fast", "slow")))
