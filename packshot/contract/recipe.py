"""What it takes to make an image again, and what making it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from packshot.contract.shot_spec import ShotSpec


@dataclass(frozen=True, kw_only=True)
class EngineStamp:
    """Which engine painted a scene. `pack`: role (and `manifest`) to sha256. `dtype`, `device`: torch's names."""

    pack: dict[str, str]
    dtype: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The recipe of one image.

    `version`: of Packshot. `spec`: the whole shot. `engine`: None where no engine painted. `timing_ms`:
    milliseconds of the stages, by name.
    """

    version: str
    seed: int
    spec: ShotSpec
    engine: EngineStamp | None = None
    timing_ms: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The stored form, which is also the form of an answer."""
        stored: dict[str, Any] = {"version": self.version, "seed": self.seed, "request": self.spec.to_json()}
        if self.engine is not None:
            stored |= {"pack": self.engine.pack, "dtype": self.engine.dtype, "device": self.engine.device}
            stored["timing_ms"] = self.timing_ms
        return stored

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Recipe:
        """Read `to_json`'s form, also as version 0.1.0 wrote it."""
        engine = None
        if "pack" in stored:
            engine = EngineStamp(pack=stored["pack"], dtype=stored["dtype"], device=stored["device"])
        return cls(
            version=stored["version"],
            seed=stored["seed"],
            spec=ShotSpec.from_json(stored["request"]),
            engine=engine,
            timing_ms=stored.get("timing_ms", {}),
        )
