"""The committed list of shards: how many of each split, at which size, and what each plan's digest is.

A shard can be made again from the manifest alone: its plan follows from split and number, and the digest says that
the plan is the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.path_traced.assets import BPY_REQUIREMENTS, Cache
from training.path_traced.draw import VERSION, shard
from training.path_traced.scene_plan import ShardPlan

PATH = Path(__file__).with_name("manifest.json")
HELD_OUT_EVERY = 10
"""One shard in ten is of held-out objects and HDRIs."""


@dataclass(frozen=True)
class Manifest:
    """digests: by shard (`train-00000`). assets: sha256 by file name. renderer: the wheels that render."""

    version: int
    size_px: int
    samples: int
    pictures: int
    renderer: tuple[str, ...]
    assets: dict[str, str]
    digests: dict[str, str]

    @classmethod
    def read(cls, path: Path = PATH) -> Manifest:
        given = json.loads(path.read_text())
        return cls(**{**given, "renderer": tuple(given["renderer"])})

    def write(self, path: Path = PATH) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    def plans(self) -> Iterator[ShardPlan]:
        """The plans in the order in which they are rendered; ValueError where the code draws another plan than the
        manifest says."""
        for stem, digest in self.digests.items():
            split, number = stem.rsplit("-", 1)
            plan = shard(split, int(number), self.size_px, self.samples)
            if plan.digest() != digest:
                raise ValueError(
                    f"{stem}: plan must have digest {digest}, got {plan.digest()}; "
                    "the code draws other scenes than the manifest's"
                )
            yield plan


def order(pictures: int, size_px: int, samples: int) -> Iterator[ShardPlan]:
    """Plans for at least `pictures` pictures: every tenth shard is held out."""
    drawn, numbers = 0, {"train": 0, "heldout": 0}
    while drawn < pictures:
        split = "heldout" if sum(numbers.values()) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else "train"
        plan = shard(split, numbers[split], size_px, samples)
        numbers[split] += 1
        drawn += plan.pictures
        yield plan


def make(pictures: int, size_px: int, samples: int, cache: Cache) -> Manifest:
    plans = list(order(pictures, size_px, samples))
    files = [*cache.archives(), *sorted(cache.hdris.glob("*.exr"))]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    total = sum(plan.pictures for plan in plans)
    return Manifest(
        VERSION, size_px, samples, total, BPY_REQUIREMENTS, digests, {plan.stem: plan.digest() for plan in plans}
    )
