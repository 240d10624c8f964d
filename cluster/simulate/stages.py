"""How long things take: one row of numbers for each machine that is simulated, and what a replica-hour costs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Machine:
    """Stage times, in seconds of one replica.

    A step of r rows takes `step_fixed_s + step_each_s * r`. `encode_s`, `click_s`: a photo's embedding, a click's mask;
    `edges_s`: a layout's edge map; `begin_s`, `decode_s`: a picture in the generator, alone; `layout_s` a shot (cut,
    place) and `finish_s` a picture (composite, inspect, encode) in the finisher. `start_s`: from asked for to ready, by
    stage. A claim takes `claim_fixed_s` and `claim_each_s` for each shot that waits, of one of `database_cores`
    (PostgreSQL, measured: docs/capacity.md). `dollars_hour`: of a replica, by stage.
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
    edges_s: float = 0.02
    layout_s: float = 0.2
    finish_s: float = 0.3
    start_s: dict[str, float] = field(default_factory=dict)
    dollars_hour: dict[str, float] = field(default_factory=dict)
    claim_fixed_s: float = 0.008
    claim_each_s: float = 6.8e-6
    database_cores: int = 4
    generator_holds: int = 32
    director_holds: int = 16

    def step_s(self, rows: int) -> float:
        return self.step_fixed_s + self.step_each_s * rows

    def claim_s(self, waiting: int) -> float:
        """Of a database core."""
        return self.claim_fixed_s + self.claim_each_s * waiting

    @property
    def row_step_s(self) -> float:
        """Of a row in a full batch."""
        return self.step_s(self.max_rows) / self.max_rows

    def picture_s(self, steps: int = 20, rows: int = 2) -> float:
        """Seconds of a generator that a picture takes when every batch is full."""
        return steps * rows * self.row_step_s + self.begin_s + self.decode_s


GPU_HOUR = 1.0
"""Dollars of a 24 GB card's hour, assumed; a share of the card costs its share."""

A_24_GB_CARD = Machine(
    # A full batch: SD 1.5 with a ControlNet at 512 px on an RTX 3090, 32 rows in 1/1.23 s (cluster/plan/rates.py names
    # the source). The curve below it is assumed to be an H200's: 3.1 times a lone row's rate at eight rows.
    name="24 GB card",
    step_fixed_s=0.78 * 0.0945,
    step_each_s=0.22 * 0.0945,
    # more would make a step longer than a generator lets it be (packshot/models/engines/unet_controlnet.py,
    # LONGEST_STEP_S)
    max_rows=8,
    # A generator's is P10's on two cores (imports, for the most part), and taken to be a GPU node's with the weights on
    # its disk.
    start_s={
        "generator": 17.0,
        "sam_encoder": 12.0,
        "mask_decoder": 12.0,
        "canny": 5.0,
        "finisher": 5.0,
        "director": 5.0,
    },
    dollars_hour={
        "generator": 0.67 * GPU_HOUR,
        "sam_encoder": 0.20 * GPU_HOUR,
        "mask_decoder": 0.07 * GPU_HOUR,
        "canny": 0.02,
        "finisher": 0.02,
        "director": 0.02,
    },
)
