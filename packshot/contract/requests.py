"""The bodies of requests. They are strict: no unknown fields, no type coercion, only finite numbers.

These models check the fixed bounds. `packshot.api.accept` checks the bounds that settings or a pack define: images,
layers, prompt length, steps, guidance scale and control scale.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from packshot.contract.adapters import MAX_ADAPTERS, AdapterIn, each_adapter_once
from packshot.contract.light import Reflection, Relight, RelightMode, Shadow, ShadowKind
from packshot.contract.product import ProductIn
from packshot.contract.request_base import Colour, Fraction
from packshot.contract.request_base import Request as Request
from packshot.contract.retry import RetryIn
from packshot.contract.shot_spec import CONDITION_KINDS, POINTS, Condition, ConditionKind, LayerSpec, Sampler
from packshot.contract.shot_style import ShotStyleIn
from packshot.contract.status import Priority, Review

MIN_WEIGHT, MAX_WEIGHT = 0.01, 100.0
MAX_SKU_CHARS = 100
MAX_META = 20
MAX_META_CHARS = 500
META_NAME = r"^[A-Za-z0-9_.-]{1,40}$"
MAX_SEED = 2**31 - 1
MAX_POINTS = 64
MAX_BOXES = 16
MAX_STROKES = 1_000
MAX_STROKE_POINTS = 2_000
MAX_RADIUS_PX = 2_000
MAX_PEOPLE = 8
MAX_MUST_READ = 20
MAX_WORDS_CHARS = 200
"""Longest words that name a product."""

MetaName = Annotated[str, Field(pattern=META_NAME)]
MetaValue = Annotated[str, Field(max_length=MAX_META_CHARS)]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
"""A coordinate in photo pixels. The bound is wide, because a point outside the photo has its own error code
(`point_outside`)."""


class HoldRequest(Request):
    """The body of `PUT /v1/tenants/{id}/hold`."""

    reason: str = Field(min_length=1, max_length=500, description="Why the data must be kept, such as a case number.")


class TenantChange(Request):
    """New values of a tenant's fields."""

    weight: float = Field(ge=MIN_WEIGHT, le=MAX_WEIGHT, description="Its share of the workers; a new tenant has 1.")


class PointIn(Request):
    """A click, in photo pixels."""

    x: Coordinate
    y: Coordinate
    label: Literal[0, 1] = Field(1, description="1 = product, 0 = background.")


class StrokeIn(Request):
    """A stroke of a round brush on a mask, in photo pixels. A whole number is the centre of a pixel."""

    mode: Literal["add", "erase"] = Field(description="add (what the brush covers is product) or erase.")
    radius_px: float = Field(ge=0.5, le=MAX_RADIUS_PX, description="Radius of the brush, pixels.")
    points: list[tuple[Coordinate, Coordinate]] = Field(
        min_length=1, max_length=MAX_STROKE_POINTS, description="The way of the brush, [x, y] each."
    )


class MaskRequest(Request):
    """What marks the product: words, clicks and boxes, or brush strokes on a mask.

    Without words, points, boxes and strokes, the product is found automatically.
    """

    text: str | None = Field(
        None,
        max_length=MAX_WORDS_CHARS,
        description="Words that name the product, such as `white mug`. Boxes then say where to look.",
    )
    not_text: str | None = Field(
        None, max_length=MAX_WORDS_CHARS, description="Words that name what it is not, such as `saucer`; with `text`."
    )

    points: list[PointIn] = Field(default_factory=list, max_length=MAX_POINTS, description="Clicks.")
    boxes: list[tuple[Coordinate, Coordinate, Coordinate, Coordinate]] = Field(
        default_factory=list, max_length=MAX_BOXES, description="Boxes [x0, y0, x1, y1], right and bottom exclusive."
    )
    multimask: bool = Field(True, description="Return several candidates, best first, instead of one.")
    base_mask_id: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="A mask of this photo that strokes change, or that further points and boxes improve.",
    )
    strokes: list[StrokeIn] = Field(
        default_factory=list,
        max_length=MAX_STROKES,
        description="Brush strokes, in order, on base_mask_id or on an empty mask; not with points or boxes.",
    )


class CanvasIn(Request):
    """The finished picture's size."""

    width: int = Field(1024, ge=64, le=4096, description="Width, 64 to 4096 pixels.")
    height: int = Field(1024, ge=64, le=4096, description="Height, 64 to 4096 pixels.")


class LayerIn(Request):
    """A cutout placed on the canvas."""

    mask_id: str = Field(min_length=1, max_length=64, description="The mask whose cutout is placed.")
    x: float = Field(LayerSpec.x, ge=-1.0, le=2.0, description="Centre, as a fraction of the canvas's width.")
    y: float = Field(LayerSpec.y, ge=-1.0, le=2.0, description="Centre, as a fraction of the canvas's height.")
    scale: float = Field(
        LayerSpec.scale,
        gt=0.0,
        le=4.0,
        description="The cutout's longer side divided by the canvas's longer side; above 1 the canvas crops it.",
    )
    rotation_deg: float = Field(LayerSpec.rotation_deg, ge=-360.0, le=360.0, description="Clockwise rotation, degrees.")
    flip: bool = Field(LayerSpec.flip, description="Mirror left to right, before the rotation.")
    height_mm: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="The product's true height, millimetres; the finding `scale` compares the layers that state it.",
    )


class ShadowIn(Request):
    """The product's shadow, in full."""

    mode: ShadowKind = Field(
        description="none, contact (under the product), cast (contact, and the shadow that a light casts) or floating "
        "(on the ground below a product that hovers)."
    )
    direction_deg: float | None = Field(
        None,
        ge=-360.0,
        le=360.0,
        description="Where a cast shadow falls, degrees, clockwise on the canvas: 0 = away from the viewer (up), "
        "90 = right, 180 = towards the viewer. null = as the light of the painted scene says.",
    )
    length: float = Field(Shadow.length, ge=0.0, le=3.0, description="Its length for each height of the product.")
    softness: Fraction = Field(Shadow.softness, description="How much it blurs with the distance, 0 to 1.")
    intensity: Fraction = Field(Shadow.intensity, description="How dark it is, 0 to 1.")
    tint: Colour = Field(Shadow.tint, description="Its colour, #rrggbb.")


class ReflectionIn(Request):
    """The product's reflection in a glossy ground."""

    strength: Fraction = Field(Reflection.strength, description="The reflection's share at the base, 0 to 1.")
    fade: Fraction = Field(Reflection.fade, description="Where it ends, as a share of the product's height, 0 to 1.")
    blur: Fraction = Field(Reflection.blur, description="How much it blurs with the distance, 0 to 1.")


PersonIn = Annotated[list[tuple[Fraction, Fraction] | None], Field(min_length=POINTS, max_length=POINTS)]
"""A person's points in OpenPose's order."""


class ConditionIn(Request):
    """A control image that guides the scene."""

    kind: ConditionKind = Field(
        description="canny (the product's edges), depth or normal (its shape), segmentation (its area) or pose. The "
        "engine's `capabilities.controls` lists those that it has."
    )
    scale: float | None = Field(None, ge=0.0, description="Its weight; null = the engine's default control scale.")
    start: Fraction = Field(Condition.start, description="Part of the schedule after which it guides, 0 to 1.")
    end: Fraction = Field(Condition.end, description="Part of the schedule after which it no longer guides, 0 to 1.")
    people: list[PersonIn] = Field(
        default_factory=list,
        max_length=MAX_PEOPLE,
        description="Of a pose: the people, each as OpenPose's 18 points [x, y] in fractions of the canvas; null = not "
        "seen. At least two points of each are seen.",
    )


class RelightIn(Request):
    """How the product takes the light of its painted scene."""

    mode: RelightMode = Field("match", description="match (the scene's light) or off.")
    amount: Fraction = Field(
        Relight.amount, description="How much the light's direction and colour change the product, 0 to 1."
    )


MustRead = Annotated[str, Field(min_length=1, max_length=100, pattern=r"\w")]
"""Words that a picture must show: 1 to 100 characters, one of them a letter or a digit."""


class ProofIn(Request):
    """What the verdict proves of the product's label."""

    text: bool = Field(
        True, description="Read the label in the photo and in the picture, and compare them; false = do not."
    )
    must_read: list[MustRead] = Field(
        default_factory=list,
        max_length=MAX_MUST_READ,
        description="Words that the picture must show as they are, such as `30 ml`.",
    )
    master: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="The artwork that the label is compared with instead of the photo, an id ph_…; null = the photo. "
        "In a catalogue also a path below the manifest.",
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> ProofIn:
        if not self.text and (self.must_read or self.master is not None):
            raise ValueError("proof must have text true with must_read or master; remove them, or text")
        return self


class ShotRequest(Request):
    """A request for one or more images."""

    canvas: CanvasIn = Field(default_factory=CanvasIn, description="Size of the images; default 1024 x 1024.")
    product: ProductIn | None = Field(
        None,
        description="Let the engine paint the product too, by one of `adapters` that knows it, such as from an angle "
        "that no photo has; null = the layers' own products. Such a picture is never locked.",
    )
    layers: list[LayerIn] = Field(
        default_factory=list,
        validate_default=True,
        description="Cutouts, painted in order; at least one, at most `max_layers` (16). None beside `product`.",
    )
    background: str = Field(
        "generate",
        pattern=r"^(generate|white|transparent|#[0-9a-fA-F]{6})$",
        description="generate (the engine paints a scene), white, transparent, or a colour #rrggbb.",
    )
    prompt: str = Field("", description="Description of the scene; at most `max_prompt_chars` (2,000) characters.")
    negative_prompt: str = Field("", description="Description of what the scene should not contain; same limit.")
    images: int = Field(1, ge=1, description="Number of images; at most `max_images` (8).")
    seed: int = Field(
        0, ge=0, le=MAX_SEED, description="Seed of the first image; each further image uses the next seed."
    )
    steps: int | None = Field(None, ge=1, description="Denoising steps; null = the engine's default.")
    guidance_scale: float | None = Field(None, ge=0.0, description="Weight of the prompt; null = the engine's default.")
    sampler: Sampler | None = Field(
        None,
        description="How noise becomes a picture: ddim, euler, unipc, dpmpp or lcm, where the engine's "
        "`capabilities.samplers` has it; null = the engine's own.",
    )
    control_scale: float | None = Field(None, ge=0.0, description="Weight of the edges; null = the engine's default.")
    control_start: Fraction = Field(
        0.0, description="Part of the schedule after which the edges guide the scene, 0 to 1."
    )
    control_end: Fraction = Field(
        1.0, description="Part of the schedule after which the edges no longer guide it, 0 to 1."
    )
    conditions: list[ConditionIn] = Field(
        default_factory=list,
        max_length=len(CONDITION_KINDS),
        description="Further control images, one of each kind; their effects add up. A canny here replaces control_*.",
    )
    shadow: ShadowKind | ShadowIn = Field(
        "contact",
        description="contact (a contact shadow under the product), none, cast or floating; or an object that says "
        "more. Left out, it is none for a transparent background.",
    )
    reflection: ReflectionIn | None = Field(
        None, description="The product's reflection in the ground; null = none. Not on a transparent background."
    )
    relight: RelightIn | None = Field(
        None,
        description="Lay the light of the painted scene over the product, as a smooth gain that the verdict proves; "
        "null = the product's colours are the photo's. Only with background generate.",
    )
    style: ShotStyleIn | None = Field(
        None,
        description="Take the colours, the light or the look of reference pictures, a palette or a stored style; null "
        "= none. Only with background generate.",
    )
    adapters: list[AdapterIn] = Field(
        default_factory=list,
        max_length=MAX_ADAPTERS,
        description="Up to 4 LoRAs and textual inversions that change the engine for this shot, where its "
        "`capabilities.adapters` allows it. Only with background generate.",
    )
    retry: RetryIn | None = Field(
        None,
        description="Paint a picture again by another seed while a named finding fails; null = never. Only with "
        "background generate. Usage and budgets count every painting.",
    )
    proof: ProofIn | None = Field(
        None,
        description="Prove that the product's text was not changed: a finding `text` for each line that differs; null "
        "= it is not read.",
    )
    engine: str | None = Field(
        None, max_length=64, description="Name of an engine of GET /v1/engines; null = the default engine."
    )
    priority: Priority = Field(
        "interactive", description="interactive, or catalogue for work that may wait behind interactive shots."
    )
    project_id: str | None = Field(None, min_length=1, max_length=64, description="The project that the shot joins.")
    sku: str | None = Field(
        None, min_length=1, max_length=MAX_SKU_CHARS, description="Your article's number, 1 to 100 characters."
    )
    meta: dict[MetaName, MetaValue] = Field(
        default_factory=dict,
        max_length=MAX_META,
        description="Your own notes on the shot: up to 20 names (1 to 40 of A-Z a-z 0-9 _ . -) with texts of up to 500 "
        "characters. They are stored and listed, and select shots; pictures do not depend on them.",
    )

    _adapters_once = field_validator("adapters")(each_adapter_once)

    @field_validator("layers")
    @classmethod
    def _layers_or_product(cls, layers: list[LayerIn], info: ValidationInfo) -> list[LayerIn]:
        generated = info.data.get("product") is not None
        if not layers and not generated:
            raise ValueError("a shot must have at least one layer, got none; send the mask of a product")
        if layers and generated:
            raise ValueError(f"a shot with product must have no layers, got {len(layers)}; leave one of the two out")
        return layers


class ReviewRequest(Request):
    """A reviewer's decision about an image."""

    review: Review | None = Field(description="The decision; null withdraws it.")
    note: str | None = Field(None, max_length=2_000, description="The reason for the decision.")


class SessionRequest(Request):
    """A request to exchange a key for a session cookie."""

    key: str = Field(min_length=1, max_length=256, description="A key that `packshot keys create` printed.")


class PhotoUpload(Request):
    """A photo, as multipart/form-data."""

    file: bytes = Field(
        description="A JPEG, PNG, WebP, AVIF, HEIC, TIFF or still GIF image. Its media type and name are ignored."
    )
    project_id: str = Field("", description="The project that the photo joins; empty = the one that it has, if any.")


class UploadRequest(Request):
    """A photo that the client will send to a URL of the answer."""

    bytes: int = Field(ge=1, description="Size of the file, bytes; at most `max_photo_bytes` (96 MiB).")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file, 64 characters of 0-9 and a-f.")
    content_type: str = Field(
        pattern=r"^[a-z]{1,40}/[A-Za-z0-9.+-]{1,59}$",
        description="The file's media type, sent along with it. The bytes decide the format.",
    )


class PhotoOfUpload(Request):
    """The upload of which a photo is made."""

    upload_id: str = Field(min_length=1, max_length=64, description="The `id` that POST /v1/uploads answered.")
    project_id: str | None = Field(
        None, min_length=1, max_length=64, description="The project that the photo joins; null = the one that it has."
    )


BODIES: tuple[type[Request], ...] = (
    PhotoUpload,
    PhotoOfUpload,
    UploadRequest,
    MaskRequest,
    ShotRequest,
    ReviewRequest,
    SessionRequest,
    HoldRequest,
    TenantChange,
)
"""Every request body, for the OpenAPI document."""
