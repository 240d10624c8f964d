"""One shot, resolved: every default is filled in, every choice is a value.

A `ShotSpec` is made once, when a shot is accepted. It travels unchanged to the store, the director and the finisher,
and into the recipe of every image. Its JSON form is the contract's own shot request with all defaults written out. So
rows of version 0.1.0 still read, and a later version adds fields without rewriting rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from packshot.contract.status import Priority

ConditionKind = Literal["canny"]
ShadowKind = Literal["none", "contact"]


@dataclass(frozen=True)
class Canvas:
    """The finished picture's size, in pixels."""

    width: int
    height: int

    @property
    def longer(self) -> int:
        return max(self.width, self.height)


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """A mask whose cutout is placed on the canvas.

    `x`, `y`: the centre as fractions of the canvas. `scale`: the cutout's longer side over the canvas's longer side.
    `rotation_deg`: clockwise. `flip`: mirrored left to right, before the rotation.
    """

    mask_id: str
    x: float = 0.5
    y: float = 0.5
    scale: float = 0.6
    rotation_deg: float = 0.0
    flip: bool = False


@dataclass(frozen=True)
class Background:
    """What lies behind the product. `name`: `generate`, `transparent`, `white` or a colour `#rrggbb` in lower case."""

    name: str = "generate"

    @property
    def generated(self) -> bool:
        """Whether an engine paints the scene."""
        return self.name == "generate"

    @property
    def transparent(self) -> bool:
        return self.name == "transparent"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A control image that guides the engine. `scale`: its weight. `start`, `end`: its part of the schedule, 0..1."""

    kind: ConditionKind = "canny"
    scale: float
    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class Shadow:
    """The shadow that the product casts: `contact` under it, or `none`."""

    kind: ShadowKind = "contact"


@dataclass(frozen=True, kw_only=True)
class ShotSpec:
    """A shot as it is stored and painted. `seed`: of the first image; each further image takes the next one."""

    canvas: Canvas
    layers: tuple[LayerSpec, ...]
    background: Background
    prompt: str
    negative_prompt: str
    images: int
    seed: int
    steps: int
    guidance_scale: float
    conditions: tuple[Condition, ...]
    shadow: Shadow
    engine: str
    priority: Priority = "interactive"

    @property
    def interactive(self) -> bool:
        """Whether a person waits for it."""
        return self.priority == "interactive"

    @property
    def seeds(self) -> tuple[int, ...]:
        """One seed for each image."""
        return tuple(range(self.seed, self.seed + self.images))

    @property
    def mask_ids(self) -> tuple[str, ...]:
        """The mask of each layer, in painting order; one may come several times."""
        return tuple(layer.mask_id for layer in self.layers)

    @property
    def row_steps(self) -> int:
        """Denoising steps of the whole shot, counted once for each row of the batch; 0 for a plain background."""
        if not self.background.generated:
            return 0
        return self.images * self.steps * rows_per_step(self.guidance_scale)

    def condition(self, kind: ConditionKind) -> Condition | None:
        """The condition of that kind, if the shot has one."""
        return next((one for one in self.conditions if one.kind == kind), None)

    def to_json(self) -> dict[str, Any]:
        """The shot request of the contract, all defaults written out."""
        canny = self.condition("canny") or Condition(scale=0.0)
        return {
            "canvas": {"width": self.canvas.width, "height": self.canvas.height},
            "layers": [
                {
                    "mask_id": layer.mask_id,
                    "x": layer.x,
                    "y": layer.y,
                    "scale": layer.scale,
                    "rotation_deg": layer.rotation_deg,
                    "flip": layer.flip,
                }
                for layer in self.layers
            ],
            "background": self.background.name,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "images": self.images,
            "seed": self.seed,
            "steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "control_scale": canny.scale,
            "control_start": canny.start,
            "control_end": canny.end,
            "shadow": self.shadow.kind,
            "engine": self.engine,
            "priority": self.priority,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> ShotSpec:
        """Read `to_json`'s form, also as version 0.1.0 wrote it. Raises KeyError where a field is missing."""
        return cls(
            canvas=Canvas(stored["canvas"]["width"], stored["canvas"]["height"]),
            layers=tuple(LayerSpec(**layer) for layer in stored["layers"]),
            background=Background(stored["background"]),
            prompt=stored["prompt"],
            negative_prompt=stored["negative_prompt"],
            images=stored["images"],
            seed=stored["seed"],
            steps=stored["steps"],
            guidance_scale=stored["guidance_scale"],
            conditions=(
                Condition(
                    scale=stored["control_scale"],
                    start=stored["control_start"],
                    end=stored["control_end"],
                    kind="canny",
                ),
            ),
            shadow=Shadow(stored["shadow"]),
            engine=stored["engine"],
            priority=stored["priority"],
        )


def rows_per_step(guidance_scale: float) -> int:
    """Rows of the networks' batch that one denoising step of one scene takes.

    With guidance the step is taken twice, with and without the prompt. At a scale of 1 or less the row without it has
    no weight, so it is left out.
    """
    return 2 if guidance_scale > 1 else 1
