"""Scenarios: the traffic, its timeline, the faults and the bounds, in strict YAML whose header draws the timeline.

The traffic model (traffic.py), the personas (personas.py) and the scenarios are separate: a scenario only selects
personas and sets their parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from loadtest.errors import Refused
from loadtest.scenarios.bounds import Fraction, Seconds, Slo, Strict
from loadtest.scenarios.traffic import Arrival, Diurnal, Flat, Gaps, Phase, Ramp, Stream, Timeline, read_trace, schedule

PersonaName = Literal["designer", "integrator", "catalogue", "hostile", "probe"]
Stage = Literal[
    "gateway",
    "photo_decoder",
    "producer",
    "sam_encoder",
    "mask_decoder",
    "detector",
    "understand",
    "reference_encoder",
    "canny",
    "generator",
    "finisher",
    "director",
    "trainer",
]
"""The names in `cluster.stages`, which this package may not import; a test compares the two."""

CLASSES: dict[str, tuple[str, ...]] = {
    "designer": ("upload", "click", "cutout", "shot", "touchup", "clip"),
    "integrator": ("upload", "click", "api_shot"),
    "catalogue": ("catalogue", "catalogue_shot"),
    "hostile": ("refusal",),
    "probe": ("probe",),
}
"""The classes of answers that each persona may have. Each class has its own histogram and its own bounds."""
SHOT_CLASSES = ("shot", "api_shot", "catalogue_shot")


def _rising(range_: tuple[int, int]) -> tuple[int, int]:
    low, high = range_
    if not 1 <= low <= high <= 250:
        raise ValueError(f"a range must be [least, most], both from 1 to 250, got [{low}, {high}]")
    return range_


Range = Annotated[tuple[int, int], AfterValidator(_rising)]


def _never(share: float) -> bool:
    return share == 0


Share = Annotated[Fraction, Field(exclude_if=_never)]
"""A share of a persona's sessions. 0 is left out of the digest, so older runs of the same traffic can be compared."""


class Day(Strict):
    """A daily cycle of load between `low` and `high`, compressed to `period_s` seconds."""

    low: float = Field(ge=0)
    high: float = Field(gt=0)
    period_s: Seconds


class PhaseRow(Strict):
    """A phase of the timeline, with exactly one of `load`, `ramp`, `diurnal`. Answers in a warm-up are not judged."""

    name: str = Field(min_length=1, max_length=20)
    seconds: Seconds
    load: float | None = Field(None, ge=0)
    ramp: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = None
    diurnal: Day | None = None
    warm_up: bool = False

    @model_validator(mode="after")
    def _one_shape(self) -> PhaseRow:
        given = [name for name in ("load", "ramp", "diurnal") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a phase must have exactly one of load, ramp, diurnal, got {given or 'none'}")
        return self

    def phase(self) -> Phase:
        """This row in the traffic model."""
        if self.ramp is not None:
            return Ramp(self.seconds, *self.ramp)
        if self.diurnal is not None:
            return Diurnal(self.seconds, self.diurnal.low, self.diurnal.high, self.diurnal.period_s)
        return Flat(self.seconds, self.load or 0.0)


class StreamRow(Strict):
    """Arrivals of one persona: a rate and the distribution of its gaps, or a trace file next to the scenario.

    `phases` names the phases in which they come; None = in all.
    """

    persona: PersonaName
    rate_per_s: float | None = Field(None, gt=0, le=100_000)
    gaps: Gaps = "poisson"
    variation: float = Field(1.0, gt=0, le=20, description="Coefficient of variation of the gaps; gamma only.")
    trace: str | None = None
    phases: tuple[str, ...] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _rate_or_trace(self) -> StreamRow:
        if (self.rate_per_s is None) == (self.trace is None):
            raise ValueError("a stream must have exactly one of rate_per_s, trace")
        if self.trace is not None and self.phases is not None:
            raise ValueError("phases must be given with rate_per_s: a trace names its own times")
        if self.gaps != "gamma" and self.variation != 1.0:
            raise ValueError(f"variation requires gaps: gamma, got {self.gaps}")
        return self


class PhotoRow(Strict):
    """A size of photo in pixels, and its weight in the mix."""

    width: int = Field(ge=64, le=8_000)
    height: int = Field(ge=64, le=8_000)
    share: float = Field(1.0, gt=0)


class ShotSettings(Strict):
    """The settings of a persona's shots. `steps`: null is the engine's default. The canvas is square."""

    images: int = Field(1, ge=1, le=8)
    steps: int | None = Field(None, ge=1, le=200)
    canvas_px: int = Field(512, ge=64, le=4096)


class Designer(ShotSettings):
    """Uploads a photo, clicks on the product, places it and requests a shot; pauses for `think_s` before each step.

    Shares of the designers: `relit` takes the scene's light, which wakes the stage `understand`; `cast` has a shadow by
    that light; `touch_ups` then paints a corner of the picture anew, and `clips` makes a clip of it.
    """

    clicks: Range = (1, 4)
    think_s: float = Field(1.0, ge=0, le=60)
    relit: Share = 0.0
    cast: Share = 0.0
    touch_ups: Share = 0.0
    clips: Share = 0.0

    @property
    def after_the_shot(self) -> dict[str, float]:
        """The shares of what follows a shot, by their classes of answers, in the order of a session."""
        return {"touchup": self.touch_ups, "clip": self.clips}


class Integrator(ShotSettings):
    """A shop's backend: one call that waits for the picture. `fresh` is the share of orders with a new photo."""

    fresh: Fraction = 0.3


class Catalogue(ShotSettings):
    """Makes a catalogue of some SKUs, starts it, and watches its rows until all have ended."""

    skus: Range = (5, 10)


class Probe(Strict):
    """One small GET to `path`, which must answer 200."""

    path: str = Field("/healthz", pattern=r"^/")


class Personas(Strict):
    """The parameters of the personas."""

    designer: Designer = Designer()
    integrator: Integrator = Integrator()
    catalogue: Catalogue = Catalogue()
    probe: Probe = Probe()


class Fault(Strict):
    """A fault at second `at_s`.

    `kill` ends the replicas of a stage, the controller or the node. `stop` stops the processes of a stage and continues
    them after `for_s` seconds.
    """

    at_s: float = Field(ge=0)
    kill: Stage | Literal["controller", "node"] | None = None
    stop: Stage | None = None
    for_s: Seconds | None = None

    @model_validator(mode="after")
    def _one_action(self) -> Fault:
        if (self.kill is None) == (self.stop is None):
            raise ValueError("a fault must have exactly one of kill, stop")
        if (self.stop is None) != (self.for_s is None):
            raise ValueError("for_s must be given with stop, and only with it")
        return self

    @property
    def words(self) -> str:
        """The fault in words, such as "stop generator for 5 s"."""
        return f"kill {self.kill}" if self.kill else f"stop {self.stop} for {self.for_s:g} s"


class Scenario(Strict):
    """A load test, as its YAML file describes it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    sentence: str = Field(min_length=1)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    tenants: int = Field(1, ge=1, le=100)
    photos: tuple[PhotoRow, ...] = Field((PhotoRow(width=640, height=480),), min_length=1)
    timeline: tuple[PhaseRow, ...] = Field(min_length=1)
    traffic: tuple[StreamRow, ...] = Field(min_length=1)
    personas: Personas = Personas()
    slo: Slo
    patience_s: Seconds = Field(60.0, description="Longest wait for an answer, also after the last arrival.")
    sample: int = Field(8, ge=0, le=1_000, description="Shots rendered again, unbatched, after the load to compare.")
    chaos: tuple[Fault, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Scenario:
        needed = set(self.classes)
        if missing := needed - set(self.slo.classes):
            raise ValueError(f"slo.classes must bound every class of the traffic, missing {', '.join(sorted(missing))}")
        if unused := set(self.slo.classes) - needed:
            raise ValueError(f"slo.classes has classes that the traffic does not have: {', '.join(sorted(unused))}")
        if self.timeline[-1].warm_up:
            raise ValueError("the last phase must not be a warm-up: no answer would be judged")
        if any(
            row.warm_up and not before.warm_up for before, row in zip(self.timeline, self.timeline[1:], strict=False)
        ):
            raise ValueError("warm-up phases must come first")
        phases = {row.name for row in self.timeline if not row.warm_up}
        named = {*(name for row in self.traffic for name in row.phases or ()), *self.slo.phases}
        if unknown := named - {row.name for row in self.timeline}:
            raise ValueError(f"phases must be ones of the timeline, got {', '.join(sorted(unknown))}")
        if warm := set(self.slo.phases) - phases:
            raise ValueError(f"slo.beside must compare judged phases, got the warm-up {', '.join(sorted(warm))}")
        if self.slo.beside is not None and (odd := set(self.slo.beside.classes) - needed):
            raise ValueError(f"slo.beside has classes that the traffic does not have: {', '.join(sorted(odd))}")
        if self.slo.shares is not None and len(self.slo.shares.weights) != self.tenants:
            raise ValueError(
                f"slo.shares.weights must have one weight a tenant, got {len(self.slo.shares.weights)} for "
                f"{self.tenants} tenants"
            )
        if bool(self.chaos) != (self.slo.recovery_s is not None):
            raise ValueError("chaos and slo.recovery_s must be given together")
        latest_s = self.seconds - (self.slo.recovery_s or 0.0)
        if late := [fault.at_s for fault in self.chaos if fault.at_s > latest_s]:
            raise ValueError(
                f"a fault must be slo.recovery_s before the end, at {latest_s:g} s at the latest, got {late}"
            )
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of answers that this traffic has, in the order of CLASSES."""
        shares = self.personas.designer.after_the_shot
        found = [name for row in self.traffic for name in CLASSES[row.persona] if shares.get(name, 1) > 0]
        if self.personas.integrator.fresh == 0 and not any(row.persona == "designer" for row in self.traffic):
            found = [name for name in found if name not in ("upload", "click")]
        return tuple(dict.fromkeys(found))

    @property
    def seconds(self) -> float:
        """Length of the timeline."""
        return sum(row.seconds for row in self.timeline)

    @property
    def warm_up_s(self) -> float:
        """Length of the warm-up, seconds."""
        return sum(row.seconds for row in self.timeline if row.warm_up)

    def planned(self) -> Timeline:
        """The timeline in the traffic model."""
        return Timeline(tuple(row.phase() for row in self.timeline))

    def _planned_in(self, phases: tuple[str, ...] | None) -> Timeline | None:
        """The timeline of a stream that comes in some phases only; None for one that comes in all."""
        if phases is None:
            return None
        return Timeline(tuple(row.phase() if row.name in phases else Flat(row.seconds, 0.0) for row in self.timeline))

    def phase_at(self, at_s: float) -> str:
        """The name of the phase at second `at_s`; that of the last one afterwards."""
        for row in self.timeline[:-1]:
            if at_s < row.seconds:
                return row.name
            at_s -= row.seconds
        return self.timeline[-1].name

    def arrivals(self, factor: float = 1.0) -> Iterator[Arrival]:
        """The run's schedule, computed lazily. `factor` scales every rate; traces are replayed as recorded."""
        streams = [_stream(row, self._planned_in(row.phases)) for row in self.traffic]
        return schedule(streams, self.planned(), seed=self.seed, tenants=self.tenants, factor=factor)

    def digest(self) -> str:
        """12 hexadecimal digits of the scenario's hash. Runs with the same digest can be compared."""
        return hashlib.sha256(self.model_dump_json(exclude={"sentence"}).encode()).hexdigest()[:12]


def _stream(row: StreamRow, timeline: Timeline | None = None) -> Stream:
    if row.trace is not None:
        return Stream(row.persona, trace=read_trace(Path(row.trace)))
    return Stream(row.persona, row.rate_per_s or 0.0, row.gaps, row.variation, timeline=timeline)


def scenario_names() -> list[str]:
    """The names of the scenarios in this package."""
    folder = resources.files("loadtest").joinpath("scenarios")
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_scenario(name: str) -> Scenario:
    """The scenario with this name, or in the YAML file at this path.

    Raises Refused when there is no such scenario or file, or when the file is invalid; the message lists every error.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise Refused(f"the path of a scenario must be a file, got {name!r}")
        return parse(path.read_text("utf-8"), name, path.parent)
    if name not in scenario_names():
        raise Refused(f"the scenario must be one of {', '.join(scenario_names())} or a YAML file, got {name!r}")
    folder = resources.files("loadtest").joinpath("scenarios")
    return parse(folder.joinpath(f"{name}.yaml").read_text("utf-8"), name, Path(str(folder)))


def parse(text: str, name: str, folder: Path) -> Scenario:
    """The scenario in `text`. Trace files are relative to `folder`. Raises Refused when the text is invalid."""
    try:
        raw = yaml.safe_load(text)
        if not isinstance(raw, dict):
            raise Refused(f"scenario {name} must be a mapping with name, timeline, traffic, slo …, got {_shown(raw)}")
        for row in raw.get("traffic") or []:
            if isinstance(row, dict) and isinstance(row.get("trace"), str):
                row["trace"] = str(folder / row["trace"])
        scenario = Scenario.model_validate(raw)
        for stream in scenario.traffic:
            _stream(stream)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise Refused(f"scenario {name} must be YAML: {getattr(error, 'problem', error)}{line}") from error
    except ValidationError as error:
        raise Refused(f"scenario {name}: {'; '.join(_error_texts(error))}") from error
    except (OSError, ValueError) as error:
        raise Refused(f"scenario {name}: a trace must be readable: {error}") from error
    return scenario


def _error_texts(error: ValidationError) -> Iterator[str]:
    rows = error.errors()
    for row in rows:
        inside = any(other["loc"][: len(row["loc"])] == row["loc"] and other is not row for other in rows)
        if row["type"] == "too_short" and inside:
            continue  # pydantic reports a list whose rows are all invalid as too short as well
        place = ".".join(map(str, row["loc"]))
        got = "" if row["type"] in ("missing", "value_error") else f", got {_shown(row['input'])}"
        yield f"{place + ': ' if place else ''}{row['msg'].removeprefix('Value error, ')}{got}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
