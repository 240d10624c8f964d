"""Scenarios: which traffic, when, with which faults, and what must hold. Strict YAML, its timeline drawn in its header.

Traffic model (traffic.py), personas (personas.py) and scenarios are three things: a scenario only chooses and numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from importlib import resources
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from loadtest.errors import Refused
from loadtest.scenarios.traffic import Arrival, Diurnal, Flat, Gaps, Phase, Ramp, Stream, Timeline, read_trace, schedule

PersonaName = Literal["designer", "integrator", "catalogue", "hostile", "probe"]
Stage = Literal["gateway", "sam_encoder", "mask_decoder", "canny", "generator", "finisher", "director"]

CLASSES: dict[str, tuple[str, ...]] = {
    "designer": ("upload", "click", "cutout", "shot"),
    "integrator": ("upload", "click", "api_shot"),
    "catalogue": ("catalogue_shot",),
    "hostile": ("refusal",),
    "probe": ("probe",),
}
"""The classes of answers that each persona waits for; each has its own histogram and its own bounds."""
SHOT_CLASSES = ("shot", "api_shot", "catalogue_shot")
COLUMNS = 64
ROWS = 4
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def _rising(range_: tuple[int, int]) -> tuple[int, int]:
    low, high = range_
    if not 1 <= low <= high <= 250:
        raise ValueError(f"a range is [least, most], from 1 to 250, got [{low}, {high}]")
    return range_


Range = Annotated[tuple[int, int], AfterValidator(_rising)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]
Milliseconds = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Day(Strict):
    """A day's swing, squeezed into `period_s`."""

    low: float = Field(ge=0)
    high: float = Field(gt=0)
    period_s: Seconds


class PhaseRow(Strict):
    """A stretch of the timeline: exactly one of `load`, `ramp`, `diurnal`. What a warm-up answers is not judged."""

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
            raise ValueError(f"a phase has exactly one of load, ramp, diurnal, got {given or 'none'}")
        return self

    def phase(self) -> Phase:
        if self.ramp is not None:
            return Ramp(self.seconds, *self.ramp)
        if self.diurnal is not None:
            return Diurnal(self.seconds, self.diurnal.low, self.diurnal.high, self.diurnal.period_s)
        return Flat(self.seconds, self.load or 0.0)


class StreamRow(Strict):
    """Arrivals of one persona: a rate with its randomness, or a trace file beside the scenario."""

    persona: PersonaName
    rate_per_s: float | None = Field(None, gt=0, le=100_000)
    gaps: Gaps = "poisson"
    variation: float = Field(1.0, gt=0, le=20, description="Deviation of the gaps over their mean; gamma only.")
    trace: str | None = None

    @model_validator(mode="after")
    def _rate_or_trace(self) -> StreamRow:
        if (self.rate_per_s is None) == (self.trace is None):
            raise ValueError("a stream has exactly one of rate_per_s, trace")
        if self.gaps != "gamma" and self.variation != 1.0:
            raise ValueError(f"variation is for gamma gaps, got {self.gaps}")
        return self


class PhotoRow(Strict):
    """A size of photo and its weight in the mix."""

    width: int = Field(ge=64, le=8_000)
    height: int = Field(ge=64, le=8_000)
    share: float = Field(1.0, gt=0)


class Asked(Strict):
    """What a persona asks of a shot. `steps`: null = the engine's default."""

    images: int = Field(1, ge=1, le=8)
    steps: int | None = Field(None, ge=1, le=200)
    canvas_px: int = Field(512, ge=64, le=4096)


class Designer(Asked):
    """Uploads a photo, clicks on it, places the product, has it painted; thinks in between."""

    clicks: Range = (1, 4)
    think_s: float = Field(1.0, ge=0, le=60)


class Integrator(Asked):
    """A shop's backend: one call that waits for the picture. `fresh`: the share that brings a new photo."""

    fresh: Fraction = 0.3


class Catalogue(Asked):
    """Drops a dump of so many SKUs at once, as catalogue work, and follows it to its end."""

    skus: Range = (5, 10)


class Probe(Strict):
    """One small GET; `path` must answer 200."""

    path: str = Field("/healthz", pattern=r"^/")


class Personas(Strict):
    designer: Designer = Designer()
    integrator: Integrator = Integrator()
    catalogue: Catalogue = Catalogue()
    probe: Probe = Probe()


class Bounds(Strict):
    """A class's latency bounds, from the intended send time. A right answer within `p99_ms` is a good one."""

    p50_ms: Milliseconds
    p95_ms: Milliseconds
    p99_ms: Milliseconds

    @model_validator(mode="after")
    def _rise(self) -> Bounds:
        if not self.p50_ms <= self.p95_ms <= self.p99_ms:
            raise ValueError(f"p50 ≤ p95 ≤ p99 must hold, got {self.p50_ms:g}, {self.p95_ms:g}, {self.p99_ms:g}")
        return self


class QueuePlace(Strict):
    """At least `share` of the places found must be within `within` of what came true."""

    within: int = Field(ge=0)
    share: Fraction


class Slo(Strict):
    """What must hold. `goodput`: least share of good answers; `errors`: largest share of wrong ones."""

    goodput: Fraction
    errors: Fraction
    classes: dict[str, Bounds] = Field(min_length=1)
    queue_place: QueuePlace | None = None
    recovery_s: Seconds | None = None


class Fault(Strict):
    """`kill` a stage's replica, the controller or the node;
    or `stop` a stage's process and continue it after `for_s`."""

    at_s: float = Field(ge=0)
    kill: Stage | Literal["controller", "node"] | None = None
    stop: Stage | None = None
    for_s: Seconds | None = None

    @model_validator(mode="after")
    def _one_deed(self) -> Fault:
        if (self.kill is None) == (self.stop is None):
            raise ValueError("a fault has exactly one of kill, stop")
        if (self.stop is None) != (self.for_s is None):
            raise ValueError("for_s goes with stop, and only with it")
        return self

    @property
    def words(self) -> str:
        return f"kill {self.kill}" if self.kill else f"stop {self.stop} for {self.for_s:g} s"


class Scenario(Strict):
    """A load test."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    sentence: str = Field(min_length=1)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    tenants: int = Field(1, ge=1, le=100)
    photos: tuple[PhotoRow, ...] = Field((PhotoRow(width=640, height=480),), min_length=1)
    timeline: tuple[PhaseRow, ...] = Field(min_length=1)
    traffic: tuple[StreamRow, ...] = Field(min_length=1)
    personas: Personas = Personas()
    slo: Slo
    patience_s: Seconds = Field(60.0, description="How long an answer is waited for, also after the last arrival.")
    sample: int = Field(8, ge=0, le=1_000, description="Shots painted again alone after the load, to compare with.")
    chaos: tuple[Fault, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Scenario:
        needed = set(self.classes)
        if missing := needed - set(self.slo.classes):
            raise ValueError(f"slo.classes must bound every class of the traffic, missing {', '.join(sorted(missing))}")
        if idle := set(self.slo.classes) - needed:
            raise ValueError(f"slo.classes bounds what the traffic does not have: {', '.join(sorted(idle))}")
        if self.timeline[-1].warm_up:
            raise ValueError("the last phase cannot be a warm-up: nothing would be judged")
        if any(
            row.warm_up and not before.warm_up for before, row in zip(self.timeline, self.timeline[1:], strict=False)
        ):
            raise ValueError("warm-ups come first")
        if bool(self.chaos) != (self.slo.recovery_s is not None):
            raise ValueError("chaos and slo.recovery_s go together")
        latest_s = self.seconds - (self.slo.recovery_s or 0.0)
        if late := [fault.at_s for fault in self.chaos if fault.at_s > latest_s]:
            raise ValueError(
                f"a fault needs slo.recovery_s before the end: at {latest_s:g} s at the latest, got {late}"
            )
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of answers that this traffic has, in the order of CLASSES."""
        found = [name for row in self.traffic for name in CLASSES[row.persona]]
        if self.personas.integrator.fresh == 0 and not any(row.persona == "designer" for row in self.traffic):
            found = [name for name in found if name not in ("upload", "click")]
        return tuple(dict.fromkeys(found))

    @property
    def seconds(self) -> float:
        return sum(row.seconds for row in self.timeline)

    @property
    def warm_up_s(self) -> float:
        return sum(row.seconds for row in self.timeline if row.warm_up)

    def planned(self) -> Timeline:
        return Timeline(tuple(row.phase() for row in self.timeline))

    def arrivals(self, factor: float = 1.0) -> Iterator[Arrival]:
        """The run's schedule, lazily; `factor` scales every rate (traces stay as recorded)."""
        streams = [_stream(row) for row in self.traffic]
        return schedule(streams, self.planned(), seed=self.seed, tenants=self.tenants, factor=factor)

    def digest(self) -> str:
        """12 hexadecimal digits of what was asked: runs with the same ones compare."""
        return hashlib.sha256(self.model_dump_json(exclude={"sentence"}).encode()).hexdigest()[:12]


def _stream(row: StreamRow) -> Stream:
    if row.trace is not None:
        return Stream(row.persona, trace=read_trace(Path(row.trace)))
    return Stream(row.persona, row.rate_per_s or 0.0, row.gaps, row.variation)


def scenario_names() -> list[str]:
    """The scenarios that ship."""
    folder = resources.files("loadtest").joinpath("scenarios")
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_scenario(name: str) -> Scenario:
    """The scenario of that name, or at that path. Raises Refused with every fault of the file."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise Refused(f"a scenario's path must be a file, got {name!r}")
        return parse(path.read_text("utf-8"), name, path.parent)
    if name not in scenario_names():
        raise Refused(f"scenario must be one of {', '.join(scenario_names())} or a YAML file, got {name!r}")
    folder = resources.files("loadtest").joinpath("scenarios")
    return parse(folder.joinpath(f"{name}.yaml").read_text("utf-8"), name, Path(str(folder)))


def parse(text: str, name: str, folder: Path) -> Scenario:
    """The scenario in `text`; traces are found beside it, in `folder`. Raises Refused."""
    try:
        raw = yaml.safe_load(text)
        if not isinstance(raw, dict):
            raise Refused(f"scenario {name} must be a mapping of name, timeline, traffic, slo …, got {_shown(raw)}")
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
        raise Refused(f"scenario {name}: {'; '.join(_faults(error))}") from error
    except (OSError, ValueError) as error:
        raise Refused(f"scenario {name}: a trace must be readable: {error}") from error
    return scenario


def _faults(error: ValidationError) -> Iterator[str]:
    rows = error.errors()
    for row in rows:
        inside = any(other["loc"][: len(row["loc"])] == row["loc"] and other is not row for other in rows)
        if row["type"] == "too_short" and inside:
            continue  # a list whose rows are at fault counts as empty
        place = ".".join(map(str, row["loc"]))
        got = "" if row["type"] in ("missing", "value_error") else f", got {_shown(row['input'])}"
        yield f"{place + ': ' if place else ''}{row['msg'].removeprefix('Value error, ')}{got}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def drawing(scenario: Scenario) -> list[str]:
    """The timeline as lines of text: load over time, phases, faults. The header of a scenario's file shows the same."""
    planned = scenario.planned()
    loads = [planned.load_at((column + 0.5) * scenario.seconds / COLUMNS) for column in range(COLUMNS)]
    highest = max(loads) or 1.0
    lines = []
    for row in reversed(range(ROWS)):
        cells = (min(8, max(0, round(load / highest * ROWS * 8) - row * 8)) for load in loads)
        mark = f"×{highest:.3g}" if row == ROWS - 1 else ""
        lines.append(f"{mark:>6} ┤{''.join(_EIGHTHS[cell] for cell in cells)}")
    starts = list(accumulate((phase.seconds for phase in scenario.timeline), initial=0.0))
    columns = [math.floor(at / scenario.seconds * COLUMNS) for at in starts]
    names = (
        f"|{phase.name}"[: end - column].ljust(end - column)
        for phase, column, end in zip(scenario.timeline, columns, columns[1:], strict=False)
    )
    lines.append(f"        {''.join(names)}")
    found = (f"{phase.name} {phase.seconds:g} s{' (warm-up)' if phase.warm_up else ''}" for phase in scenario.timeline)
    lines.append(f"        {', '.join(found)}")
    lines += [f"        {fault.at_s:g} s: {fault.words}" for fault in scenario.chaos]
    return [line.rstrip() for line in lines]
