"""The recipe of an image: everything that is needed to make it again, and how long each stage took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from packshot.contract.enhancement import EnhancementSpec
from packshot.contract.retry import Try
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.touchup_spec import TouchupSpec


@dataclass(frozen=True, kw_only=True)
class EngineStamp:
    """The engine that painted a scene.

    `pack` maps each role, and `manifest`, to a sha256. `dtype` and `device` are torch's names, for example `bfloat16`
    and `cuda`; `uint8` and `remote` for a vendor's service.
    """

    pack: dict[str, str]
    dtype: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The recipe of one image.

    `version` is the version of Packshot. `seed` is the image's own seed. `spec` is the whole shot. `engine` is None if
    no engine painted the image. `timing_ms` maps the name of a stage to its duration in milliseconds. `device` in it is
    the image's share of the time for which a device worked, or the price of an image that a vendor's service painted;
    the other names include waits. `touchup` is set if the image is another one, painted anew in a part; `spec` is then
    the shot of that one. `enhancement` is set if the image is a repainted photo. `tries` are all paintings of a shot
    with `retry`, in order: the one of `seed` was kept, and `timing_ms` adds up all.
    """

    version: str
    seed: int
    spec: ShotSpec
    engine: EngineStamp | None = None
    timing_ms: dict[str, float] = field(default_factory=dict)
    touchup: TouchupSpec | None = None
    tries: tuple[Try, ...] = ()
    enhancement: EnhancementSpec | None = None

    @property
    def locked(self) -> bool:
        """Whether the product in the image is the photo's own: no engine painted over it."""
        works = (self.touchup, self.enhancement)
        return self.spec.product is None and all(work is None or work.locked for work in works)

    @property
    def device_s(self) -> float:
        """The image's share of a device's time, in seconds; 0 if no engine painted it."""
        return self.timing_ms.get("device", 0.0) / 1000

    @property
    def paintings(self) -> int:
        """How many pictures were painted for the image, at least 1."""
        return max(1, len(self.tries))

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON, in the form that the store keeps and the API returns."""
        stored: dict[str, Any] = {"version": self.version, "seed": self.seed, "request": self.spec.to_json()}
        if self.engine is not None:
            stored |= {"pack": self.engine.pack, "dtype": self.engine.dtype, "device": self.engine.device}
            stored["timing_ms"] = self.timing_ms
        if self.touchup is not None:
            stored["touchup"] = self.touchup.to_json()
        if self.tries:
            stored["tries"] = [one.to_json() for one in self.tries]
        if self.enhancement is not None:
            stored["enhancement"] = self.enhancement.to_json()
        return stored

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Recipe:
        """The recipe of `to_json`'s form, as any version since 0.1.0 wrote it."""
        engine = None
        if "pack" in stored:
            engine = EngineStamp(pack=stored["pack"], dtype=stored["dtype"], device=stored["device"])
        return cls(
            version=stored["version"],
            seed=stored["seed"],
            spec=ShotSpec.from_json(stored["request"]),
            engine=engine,
            timing_ms=stored.get("timing_ms", {}),
            touchup=TouchupSpec.from_json(stored["touchup"]) if "touchup" in stored else None,
            tries=tuple(Try.from_json(one) for one in stored.get("tries", ())),
            enhancement=EnhancementSpec.from_json(stored["enhancement"]) if "enhancement" in stored else None,
        )
