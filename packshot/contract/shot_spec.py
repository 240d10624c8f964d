"""A resolved shot: a shot request in which every default is filled in.

The API makes a `ShotSpec` once, when it accepts a shot. The store, the director, the finisher and the recipe of every
image use it unchanged. Its JSON form is a shot request with all defaults written out. Rows of version 0.1.0 therefore
remain readable, and a later version can add fields without rewriting rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from packshot.contract.adapters import AdapterUse
from packshot.contract.light import Reflection, Relight, Shadow
from packshot.contract.product import GeneratedProduct
from packshot.contract.proof import Proof
from packshot.contract.retry import Retry
from packshot.contract.status import Priority
from packshot.contract.style import Style

ConditionKind = Literal["canny", "depth", "normal", "segmentation", "pose"]
CONDITION_KINDS: tuple[ConditionKind, ...] = get_args(ConditionKind)
"""The kinds of conditions, in the order in which a shot and an engine have them."""

Sampler = Literal["ddim", "euler", "unipc", "dpmpp", "lcm"]
"""The ways to step from noise to a picture that a shot can name."""
Person = tuple[tuple[float, float] | None, ...]
"""A person's skeleton: POINTS points (x, y) as fractions of the canvas, in OpenPose's order. None = not seen."""
POINTS = 18
"""Nose, neck, right shoulder, elbow, wrist, left shoulder, elbow, wrist, right hip, knee, ankle, left hip, knee, ankle,
right eye, left eye, right ear, left ear. Right and left are the person's own."""
GEOMETRY_KINDS: tuple[ConditionKind, ...] = ("depth", "normal")
"""The conditions that are made of the products' geometry."""


@dataclass(frozen=True)
class Canvas:
    """The finished picture's size, in pixels."""

    width: int
    height: int

    @property
    def longer(self) -> int:
        """The longer side in pixels."""
        return max(self.width, self.height)


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """A mask whose cutout is placed on the canvas.

    `x` and `y` are the cutout's centre as fractions of the canvas's width and height. `scale` is the cutout's longer
    side divided by the canvas's longer side. `flip` mirrors the cutout left to right; then it is rotated clockwise by
    `rotation_deg` degrees. `height_mm` is the product's true height in millimetres, by which the sizes of several
    products are compared; None = not known.
    """

    mask_id: str
    x: float = 0.5
    y: float = 0.5
    scale: float = 0.6
    rotation_deg: float = 0.0
    flip: bool = False
    height_mm: float | None = None


@dataclass(frozen=True)
class Background:
    """The background behind the product.

    `name` is `generate`, `transparent`, `white` or a colour `#rrggbb` in lower case.
    """

    name: str = "generate"

    @property
    def generated(self) -> bool:
        """Whether an engine paints the background."""
        return self.name == "generate"

    @property
    def transparent(self) -> bool:
        """Whether the image has an alpha channel instead of a background."""
        return self.name == "transparent"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A control image that guides the engine.

    `kind` is `canny` (the product's edges), `depth` or `normal` (its shape), `segmentation` (its area) or `pose` (a
    person's skeleton). `scale` is its weight. It is applied from `start` to `end` of the schedule, as fractions 0..1.
    `people` are those of a pose.
    """

    kind: ConditionKind = "canny"
    scale: float
    start: float = 0.0
    end: float = 1.0
    people: tuple[Person, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The condition as JSON; only a pose has people."""
        stored = asdict(self)
        people = stored.pop("people")
        return stored | ({"people": [list(person) for person in people]} if people else {})

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Condition:
        """The condition of `to_json`'s form."""
        people = (
            tuple(None if point is None else (point[0], point[1]) for point in person)
            for person in stored.get("people") or ()
        )
        return cls(**{**stored, "people": tuple(people)})


@dataclass(frozen=True, kw_only=True)
class ShotSpec:
    """A resolved shot, as it is stored and painted.

    `images` is the number of images. `seed` is the first image's seed; each further image uses the next seed. `engine`
    is the name of an engine. `conditions` has at most one condition of each kind. `sampler` None is the engine's own.
    `retry` None paints each image once. `proof` None proves no text. `product` None shows the layers' own products;
    else there are no layers, and the engine paints the product.
    """

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
    reflection: Reflection | None = None
    relight: Relight | None = None
    sampler: Sampler | None = None
    style: Style | None = None
    adapters: tuple[AdapterUse, ...] = ()
    retry: Retry | None = None
    proof: Proof | None = None
    product: GeneratedProduct | None = None

    @property
    def interactive(self) -> bool:
        """Whether a person is waiting for the shot."""
        return self.priority == "interactive"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each image, in order."""
        return tuple(range(self.seed, self.seed + self.images))

    @property
    def paintings(self) -> int:
        """How many pictures are painted at most: the images, and their retries."""
        return self.images * (1 + (self.retry.max if self.retry and self.background.generated else 0))

    @property
    def mask_ids(self) -> tuple[str, ...]:
        """The mask id of each layer, in painting order. An id may occur several times."""
        return tuple(layer.mask_id for layer in self.layers)

    @property
    def needs_geometry(self) -> bool:
        """Whether a stage of the shot reads the geometry of its products."""
        wanted = any(condition.kind in GEOMETRY_KINDS for condition in self.guiding_conditions)
        return wanted or self.relight is not None

    @property
    def row_steps(self) -> int:
        """The number of row-steps: images x steps x batch rows of a scene; 0 for a background that is not generated.

        The scene is taken to have one window; `packshot.models.packs.framing.row_steps` counts all.
        """
        if not self.background.generated:
            return 0
        return self.images * self.steps * rows_per_step(self.guidance_scale)

    def condition(self, kind: ConditionKind) -> Condition | None:
        """The shot's condition of the given kind, or None."""
        return next((condition for condition in self.conditions if condition.kind == kind), None)

    @property
    def canny(self) -> Condition:
        """The condition of the product's edges; one without weight when the shot has none."""
        return self.condition("canny") or Condition(scale=0.0)

    @property
    def further_conditions(self) -> tuple[Condition, ...]:
        """The conditions besides the edges."""
        return tuple(condition for condition in self.conditions if condition.kind != "canny")

    @property
    def guiding_conditions(self) -> tuple[Condition, ...]:
        """The conditions besides the edges that have a weight, so that they need a map."""
        return tuple(condition for condition in self.further_conditions if condition.scale > 0)

    def to_json(self) -> dict[str, Any]:
        """The shot as a JSON shot request with all defaults written out.

        The edges stay in the three fields that version 0.1.0 wrote, so only further conditions are a list.
        """
        canny, further = self.canny, [condition.to_json() for condition in self.further_conditions]
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
                    **({"height_mm": layer.height_mm} if layer.height_mm else {}),
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
            "shadow": self.shadow.to_json(),
            "engine": self.engine,
            "priority": self.priority,
            **({"reflection": asdict(self.reflection)} if self.reflection else {}),
            **({"conditions": further} if further else {}),
            **({"relight": self.relight.to_json()} if self.relight else {}),
            **({"sampler": self.sampler} if self.sampler else {}),
            **({"style": self.style.to_json()} if self.style else {}),
            **({"adapters": [one.to_json() for one in self.adapters]} if self.adapters else {}),
            **({"retry": self.retry.to_json()} if self.retry else {}),
            **({"proof": self.proof.to_json()} if self.proof else {}),
            **({"product": self.product.to_json()} if self.product else {}),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> ShotSpec:
        """The shot of `to_json`'s form, as any version since 0.1.0 wrote it. Raises KeyError if a field is missing."""
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
                *(Condition.from_json(condition) for condition in stored.get("conditions", ())),
            ),
            shadow=Shadow.from_json(stored["shadow"]),
            engine=stored["engine"],
            priority=stored["priority"],
            reflection=Reflection(**stored["reflection"]) if stored.get("reflection") else None,
            relight=Relight.from_json(stored.get("relight")),
            sampler=stored.get("sampler"),
            style=Style.from_json(stored.get("style")),
            adapters=tuple(AdapterUse.from_json(one) for one in stored.get("adapters", ())),
            retry=Retry.from_json(stored.get("retry")),
            proof=Proof.from_json(stored.get("proof")),
            product=GeneratedProduct.from_json(stored.get("product")),
        )


def rows_per_step(guidance_scale: float) -> int:
    """The number of batch rows that one denoising step of one scene needs.

    With guidance a step needs two rows, one with the prompt and one with the negative prompt. At a guidance scale of 1
    or less the second row has no weight, so it is left out.
    """
    return 2 if guidance_scale > 1 else 1
