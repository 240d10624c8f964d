"""The stage times of each simulated machine, and the cost of a replica-hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from packshot.models.packs.served import GENERATOR, generator_of


@dataclass(frozen=True)
class Machine:
    """The stage times of a machine, in seconds of one replica.

    A step of r rows takes `step_fixed_s + step_each_s * r`, and a step has at most `max_rows` rows. `begin_s` and
    `decode_s` are for a picture in the generator, while its other scenes wait. `encode_s` is for a photo's embedding,
    `click_s` for a click's masks (a photo gets `clicks` of them), `find_s` for the words of a photo, `geometry_s` for
    the geometry of a photo's product and `references_s` for a style's pictures, which are then cached, and `edges_s`
    for a layout's edge map. The finisher takes `cut_s` for the first shot of a photo (its cutout is kept), `layout_s`
    for each shot (place) and `finish_s` for each picture (composite, inspect, encode). An upload takes `upload_s` of a
    gateway and `photo_s` of a photo decoder; any other request takes `request_s` of a gateway, and a download of a
    picture `download_s`. `start_s` is by stage, from the request for a replica until it is ready.
    A claim occupies one of `database_cores` for
    `claim_fixed_s`, plus `claim_each_s` for each waiting shot (PostgreSQL, measured: docs/capacity.md). A replica holds
    at most `generator_holds` or `director_holds` calls. `dollars_hour` is the cost of a replica-hour by stage.
    `engines` are further engines by name, each a machine of whose times the generator's count; their stages are
    `generator-NAME` in `start_s` and `dollars_hour`, or else as the default one's.
    """

    name: str
    step_fixed_s: float
    step_each_s: float
    max_rows: int
    begin_s: float = 0.05
    decode_s: float = 0.10
    encode_s: float = 0.25
    click_s: float = 0.02
    clicks: int = 3
    find_s: float = 0.05
    geometry_s: float = 0.05
    references_s: float = 0.05
    edges_s: float = 0.02
    cut_s: float = 0.0
    layout_s: float = 0.2
    finish_s: float = 0.3
    photo_s: float = 0.3
    upload_s: float = 0.05
    request_s: float = 0.01
    download_s: float = 0.01
    start_s: dict[str, float] = field(default_factory=dict)
    dollars_hour: dict[str, float] = field(default_factory=dict)
    claim_fixed_s: float = 0.008
    claim_each_s: float = 0.0
    database_cores: int = 4
    generator_holds: int = 32
    director_holds: int = 16
    engines: Mapping[str, Machine] = field(default_factory=dict)

    @property
    def generators(self) -> dict[str, str]:
        """The stage that paints with each engine, the default one, whose name is empty, first."""
        return {"": GENERATOR} | {name: generator_of(name) for name in self.engines}

    def of_engine(self, engine: str) -> Machine:
        """The machine whose times the generators of an engine have."""
        return self.engines[engine] if engine else self

    def step_s(self, rows: int) -> float:
        """Seconds of a step with `rows` rows."""
        return self.step_fixed_s + self.step_each_s * rows

    def claim_s(self, waiting: int) -> float:
        """Seconds for which a claim occupies a database core while `waiting` shots wait."""
        return self.claim_fixed_s + self.claim_each_s * waiting

    @property
    def row_step_s(self) -> float:
        """Seconds of a row-step in a full batch."""
        return self.step_s(self.max_rows) / self.max_rows

    def picture_s(self, steps: int = 20, rows: int = 2) -> float:
        """Seconds of a generator for a picture when every batch is full."""
        return steps * rows * self.row_step_s + self.begin_s + self.decode_s


GPU_HOUR = 1.0
"""Assumed cost of an hour of a 24 GB card, dollars. A GPU share costs that share of it."""

A_24_GB_CARD = Machine(
    # SD 1.5 with a ControlNet at 512 px on an RTX 3090: a full batch takes 1/1.23 s for 32 rows (source in
    # cluster/plan/rates.py). The shape of the batch curve is assumed to be an H200's: the rate at eight rows is 3.1
    # times the rate of a single row.
    name="24 GB card",
    step_fixed_s=0.78 * 0.0945,
    step_each_s=0.22 * 0.0945,
    # More rows would exceed the generator's limit on a step's time (LONGEST_STEP_S in
    # packshot/models/engines/step_engine.py).
    max_rows=8,
    # Processor seconds of one core (docs/measurements.md, 2026-11-26, "What one SKU costs").
    cut_s=2.4,
    layout_s=0.3,
    finish_s=0.1,
    photo_s=0.3,
    upload_s=0.06,
    request_s=0.01,
    download_s=0.016,
    # The generator's time is P10's on two cores, mostly imports. It is assumed for a GPU node with the weights on disk.
    start_s={
        "generator": 17.0,
        "sam_encoder": 12.0,
        "mask_decoder": 12.0,
        "detector": 12.0,
        "understand": 12.0,
        "reference_encoder": 12.0,
        "canny": 5.0,
        "finisher": 5.0,
        "director": 5.0,
        "gateway": 5.0,
        "photo_decoder": 5.0,
    },
    dollars_hour={
        "generator": 0.67 * GPU_HOUR,
        "sam_encoder": 0.20 * GPU_HOUR,
        "mask_decoder": 0.07 * GPU_HOUR,
        "detector": 0.07 * GPU_HOUR,
        "understand": 0.07 * GPU_HOUR,
        "reference_encoder": 0.02,
        "canny": 0.02,
        "finisher": 0.02,
        "director": 0.02,
        "gateway": 0.02,
        "photo_decoder": 0.02,
    },
)
