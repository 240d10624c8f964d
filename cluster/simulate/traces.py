"""The traces: arrivals of shots over time, drawn from a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HOUR_S = 3600.0


@dataclass(frozen=True)
class Arrival:
    """A shot that arrives at second `at_s`. `photo`: a new photo is uploaded and clicked on LEAD_S seconds before.
    `words`: the photo's product is first looked for by its name. `geometry`: it needs its product's geometry.
    `references`: it follows reference pictures. `engine` paints it; "" is the default engine.

    A catalogue's photos are uploaded before the trace begins; each of its shots is the first of its photo.
    """

    at_s: float
    interactive: bool = True
    pictures: int = 2
    steps: int = 20
    rows: int = 2
    photo: bool = False
    tenant: int = 0
    geometry: bool = False
    words: bool = False
    references: bool = False
    engine: str = ""

    @property
    def first(self) -> bool:
        """Whether this is the first shot of its photo, for which the cutout is made."""
        return self.photo or not self.interactive


LEAD_S = 30.0
PICTURES = (1, 2, 2, 4)
"""Pictures of an interactive shot, each entry with the same probability."""
PHOTO_SHARE = 0.4
"""Share of interactive shots with a new photo."""
GEOMETRY_EVERY = 5
"""One in this many interactive shots needs its product's geometry. An assumption."""
WORDS_EVERY = 10
"""For one in this many interactive shots, words are sent, if it has a new photo. An assumption."""
REFERENCES_EVERY = 10
"""One in this many interactive shots follows reference pictures. An assumption."""
TENANTS = 5


@dataclass(frozen=True)
class Trace:
    """Arrivals in order of time, over `end_s` seconds. `sentence` describes them."""

    name: str
    sentence: str
    end_s: float
    arrivals: list[Arrival]


def people(rate: Callable[[float], float], peak: float, end_s: float, rng: random.Random) -> Iterator[Arrival]:
    """Interactive shots: a Poisson process with `rate(t)` ≤ `peak` shots per second, by thinning."""
    now, count = 0.0, 0
    while (now := now + rng.expovariate(peak)) < end_s:
        if rng.random() < rate(now) / peak:
            photo = rng.random() < PHOTO_SHARE
            count += 1
            yield Arrival(
                now,
                pictures=rng.choice(PICTURES),
                photo=photo,
                tenant=rng.randrange(TENANTS),
                geometry=count % GEOMETRY_EVERY == 0,
                words=count % WORDS_EVERY == 0,
                references=count % REFERENCES_EVERY == 1,
            )


def steady(rate: float, seed: int = 1, end_s: float = HOUR_S) -> Trace:
    """A constant rate of shots per second."""
    arrivals = list(people(lambda _: rate, rate, end_s, random.Random(seed)))
    return Trace("steady", f"{rate:g} shots/s for {end_s / 60:g} min", end_s, arrivals)


def burst(rate: float, seed: int = 1, times: float = 5.0, at_s: float = 900.0, for_s: float = 600.0) -> Trace:
    """45 minutes at `rate` shots per second, with a burst of `times` the rate from `at_s` on for `for_s` seconds."""

    def now(t: float) -> float:
        return rate * (times if at_s <= t < at_s + for_s else 1.0)

    end_s = 0.75 * HOUR_S
    arrivals = list(people(now, rate * times, end_s, random.Random(seed)))
    return Trace("burst", f"{rate:g} shots/s, {times:g}× as many for {for_s / 60:g} min", end_s, arrivals)


def engines(rate: float, seed: int = 1, end_s: float = HOUR_S) -> Trace:
    """An hour of three engines: `rate` interactive shots per second of the default one, a catalogue of 60 SKUs of `big`
    at a quarter of the hour, and a single shot of `rare` in each quarter."""
    rng = random.Random(seed)
    bulk = [Arrival(end_s / 4 + 0.2 * i, interactive=False, tenant=99, engine="big") for i in range(60)]
    single = [Arrival(end_s * (quarter + 0.5) / 4, engine="rare") for quarter in range(4)]
    shots = sorted([*people(lambda _: rate, rate, end_s, rng), *bulk, *single], key=lambda shot: shot.at_s)
    sentence = f"{rate:g} shots/s of one engine, 60 SKUs of a second, four single shots of a third"
    return Trace("engines", sentence, end_s, shots)


def diurnal(peak: float, seed: int = 1, hours: float = 24.0) -> Trace:
    """A day: 3 % of `peak` at night, and `peak` shots per second in the early afternoon."""

    def now(t: float) -> float:
        return peak * (0.03 + 0.97 * max(0.0, math.sin(math.pi * (t / HOUR_S - 7) / 13)) ** 2)

    arrivals = list(people(now, peak, hours * HOUR_S, random.Random(seed)))
    return Trace("diurnal", f"a day that peaks at {peak:g} shots/s", hours * HOUR_S, arrivals)


def catalogue(skus: int, rate: float, seed: int = 1, end_s: float = 8 * HOUR_S, at_s: float = 600.0) -> Trace:
    """A catalogue of `skus` shots of two pictures, submitted within five minutes, beside `rate` interactive shots/s."""
    rng = random.Random(seed)
    dump = [Arrival(at_s + 300.0 * i / skus, interactive=False, tenant=99) for i in range(skus)]
    shots = [*dump, *people(lambda _: rate, rate, end_s, rng)]
    sentence = f"{skus:,} SKUs in five minutes, beside {rate:g} interactive shots/s"
    return Trace("catalogue", sentence, end_s, sorted(shots, key=lambda shot: shot.at_s))


def agency_monday(rate: float, seed: int = 1, brands: int = 12, skus: int = 250) -> Trace:
    """Ten hours from eight o'clock: work begins at nine, brands submit catalogues in the morning, and there is a lunch
    break. `rate` is the largest rate of interactive shots per second."""
    rng = random.Random(seed)
    end_s = 10 * HOUR_S

    def now(t: float) -> float:
        hour = t / HOUR_S
        if hour < 1:
            return 0.1 * rate
        if 4 <= hour < 5:
            return 0.4 * rate
        return rate * (1.0 if hour < 8 else 0.5)

    dumps = [
        Arrival(start_s + i * 0.2, interactive=False, tenant=100 + brand)
        for brand in range(brands)
        for start_s in [HOUR_S * (1 + rng.random() * 3)]
        for i in range(skus)
    ]
    shots = [*dumps, *people(now, rate, end_s, rng)]
    sentence = f"ten hours, up to {rate:g} interactive shots/s, and {brands} catalogues of {skus} SKUs"
    return Trace("monday", sentence, end_s, sorted(shots, key=lambda shot: shot.at_s))
