"""A catalogue's manifest, the answer of its dry run, and the names of what a row can go through.

A *row* is one SKU. A *shot* is a row x axis values x canvas. A *delivery* is one finished picture made into one
channel's file; it paints nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from packshot.contract.adapters import MAX_ADAPTERS, AdapterIn, each_adapter_once
from packshot.contract.base import Answer, Moment, absent
from packshot.contract.requests import (
    MAX_META,
    MAX_SEED,
    MAX_SKU_CHARS,
    MAX_WORDS_CHARS,
    ConditionIn,
    MetaName,
    MetaValue,
    ProofIn,
    ReflectionIn,
    RelightIn,
    Request,
    ShadowIn,
)
from packshot.contract.retry import RetryIn
from packshot.contract.shot_spec import CONDITION_KINDS, Sampler
from packshot.contract.shot_style import LightIn, ShotStyleIn

MAX_ROWS = 50_000
MAX_AXES = 8
MAX_COMBINATIONS = 200
"""Most combinations of axis values, so most scenes of one row and canvas."""
MAX_DELIVERIES = 40
MAX_VIEWS = 12
MAX_BEST_OF = 8
PLAIN = r"^(white|transparent|#[0-9a-fA-F]{6})$"

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
"""A short name that may stand in a file's name: 1 to 40 of a-z 0-9 _ -."""
CanvasPx = Annotated[int, Field(ge=64, le=4096)]
Find = Annotated[str, Field(max_length=MAX_WORDS_CHARS, pattern=r"\S")]
"""Words that name a product: 1 to 200 characters, not all of them spaces."""
Share = Annotated[float, Field(gt=0.0, le=1.0)]
View = Literal["front", "back", "side", "detail"]
FeedKind = Literal["google-merchant", "meta", "shopify", "amazon"]
Category = Literal["cosmetics", "supplements", "alcohol", "medical"]


class Budget(Request):
    """What the catalogue may spend. Without a field there is no limit of its kind."""

    images: int | None = Field(None, ge=1, description="Most pictures that may be painted.")
    device_s: float | None = Field(None, gt=0, description="Most seconds of a device.")
    on_exceed: Literal["pause", "refuse"] = Field(
        "pause", description="pause (stop there, until somebody resumes) or refuse (a plan that is larger is refused)."
    )


class Look(Request):
    """Where products stand, and what all scenes share."""

    find: Find | None = Field(None, description="Words that name the product of every row that has no words or mask.")
    canvas: tuple[CanvasPx, CanvasPx] = Field((1600, 1600), description="Width and height, 64 to 4096 pixels.")
    fill: Share = Field(0.7, description="Share of the canvas's longer side that the largest product spans.")
    ground: Share | None = Field(
        0.82, description="Height of the line on which products stand, 0 = top, 1 = bottom; null centres them."
    )
    shadow: ShadowIn = Field(ShadowIn(mode="contact"), description="The products' shadow.")
    light: LightIn | None = Field(None, description="The light that turns cast shadows; null = each scene's own.")
    reflection: ReflectionIn | None = Field(None, description="The products' reflection in the ground; null = none.")
    relight: RelightIn | None = Field(
        None, description="Lay each scene's light over its product; null = off. Plain backgrounds stay without it."
    )
    style: ShotStyleIn | None = Field(
        None, description="The style of all painted scenes, as a shot's; null = none. It is found once, for all rows."
    )
    adapters: list[AdapterIn] = Field(
        default_factory=list,
        max_length=MAX_ADAPTERS,
        description="LoRAs and textual inversions for all painted scenes, as a shot's `adapters`.",
    )
    retry: RetryIn | None = Field(
        None,
        description="Paint a scene again by another seed while a named finding fails, as a shot's `retry`; null = "
        "never. Each of `best_of` pictures may be painted again.",
    )
    proof: ProofIn | None = Field(
        None, description="Prove the text of every product, as a shot's `proof`; null = only of items with a category."
    )
    prompt: str = Field("", description="Words that every scene's prompt begins with, such as the camera's.")
    negative_prompt: str = Field("", description="What no scene should contain.")
    steps: int | None = Field(None, ge=1, description="Denoising steps; null = the engine's default.")
    guidance_scale: float | None = Field(None, ge=0.0, description="Weight of the prompt; null = the engine's default.")
    sampler: Sampler | None = Field(
        None,
        description="How noise becomes a picture: ddim, euler, unipc, dpmpp or lcm, where the engine's "
        "`capabilities.samplers` has it; null = the engine's own.",
    )
    conditions: list[ConditionIn] = Field(
        default_factory=list,
        max_length=len(CONDITION_KINDS),
        description="Control images that guide the scenes, as a shot's `conditions`; without any the edges do.",
    )
    engine: str | None = Field(None, max_length=64, description="Name of an engine; null = the default engine.")

    _adapters_once = field_validator("adapters")(each_adapter_once)


class Axis(Request):
    """Words that vary: each value is a name and the words that it adds to the prompt."""

    name: Slug = Field(description="Name of the axis: 1 to 40 of a-z 0-9 _ -. The items' `scenes` choose from `scene`.")
    values: dict[Slug, str] = Field(min_length=1, max_length=MAX_COMBINATIONS, description="Name -> words.")
    combine: Literal["product", "zip"] = Field(
        "product", description="product (every combination) or zip (side by side with the other zip axes)."
    )
    adapters: dict[Slug, list[AdapterIn]] = Field(
        default_factory=dict,
        description="Value -> the adapters of its scenes, in place of the defaults'. Those of several axes add up.",
    )
    styles: dict[Slug, ShotStyleIn] = Field(
        default_factory=dict,
        description="Value -> the style of its scenes, in place of the defaults'. Of several axes the last one counts.",
    )

    @model_validator(mode="after")
    def _of_its_values(self) -> Axis:
        for field, named in (("adapters", self.adapters), ("styles", self.styles)):
            for value in named:
                if value not in self.values:
                    known = ", ".join(self.values)
                    raise ValueError(f"{field} must be of a value of the axis ({known}), got {value}; correct the name")
        for adapters in self.adapters.values():
            each_adapter_once(adapters)
        return self


class Seeds(Request):
    """Which seeds the scenes have."""

    policy: Literal["per_set", "per_sku", "per_image"] = Field(
        "per_set", description="per_set (one seed a scene, over all SKUs), per_sku, or per_image."
    )
    base: int = Field(0, ge=0, le=MAX_SEED, description="The first seed.")


class Choose(Request):
    """How many pictures are painted for one that is kept."""

    best_of: int = Field(1, ge=1, le=MAX_BEST_OF, description="Pictures that are painted; the best one is kept.")


class Deliver(Request):
    """Files for one channel. `canvas`, `shadow` and `fill` add a shot only where they differ from the defaults."""

    preset: str = Field(min_length=1, max_length=64, description="A preset of GET /v1/presets.")
    scene: str | None = Field(
        None, pattern=PLAIN, description="white, transparent or #rrggbb: one plain picture a SKU instead of the scenes."
    )
    name: str = Field(
        "{sku}-{n:02}.{ext}", min_length=1, max_length=200, description="Template of the files' names, with {fields}."
    )
    to: str | None = Field(None, min_length=1, max_length=1000, description="Where the files go besides the archive.")
    canvas: tuple[CanvasPx, CanvasPx] | None = Field(None, description="Another canvas than the defaults'.")
    shadow: ShadowIn | None = Field(None, description="Another shadow than the defaults'.")
    fill: Share | None = Field(None, description="Another share of the canvas than the defaults'.")


class SizeMm(Request):
    """A product's true size, from which the relative sizes of a set follow."""

    height: float | None = Field(None, gt=0, le=100_000, description="Height, millimetres.")
    width: float | None = Field(None, gt=0, le=100_000, description="Width, millimetres.")


class ViewOf(Request):
    """One of several photos of a product."""

    view: View = Field(description="front, back, side or detail.")
    photo: str = Field(min_length=1, max_length=1000, description="As `photo` of the item.")


class Item(Request):
    """One SKU. Its mask is the one that is sent, or comes from words, the box, the points, or the whole photo."""

    sku: str = Field(min_length=1, max_length=MAX_SKU_CHARS, description="Your article's number; unique.")
    photo: str | None = Field(
        None, min_length=1, max_length=1000, description="ph_…, a path below the manifest, or an allowed URL."
    )
    photos: list[ViewOf] = Field(default_factory=list, max_length=MAX_VIEWS, description="Several views, not `photo`.")
    mask: str | None = Field(None, min_length=1, max_length=1000, description="mk_…, or a path of a PNG.")
    box: tuple[float, float, float, float] | None = Field(None, description="Box [x0, y0, x1, y1], photo pixels.")
    points: list[tuple[float, float]] = Field(default_factory=list, max_length=64, description="Clicks [x, y].")
    find: Find | None = Field(
        None, description="Words that name it, in place of the defaults'. A photo without it is skipped: `no_product`."
    )
    scenes: list[Slug] = Field(default_factory=list, description="Only these values of the axis `scene`.")
    size_mm: SizeMm | None = Field(None, description="The product's true size.")
    category: Category | None = Field(
        None, description="A category whose pictures a person must approve, and whose text must be proven."
    )
    proof: ProofIn | None = Field(
        None, description="Prove the text of this product; what it names comes before the defaults' proof."
    )
    adapters: list[AdapterIn] | None = Field(
        None,
        max_length=MAX_ADAPTERS,
        description="The adapters of its painted scenes, in place of the axes' and the defaults'; [] = none.",
    )
    style: ShotStyleIn | None = Field(
        None, description="The style of its painted scenes, in place of the axes' and the defaults'."
    )
    meta: dict[MetaName, MetaValue] = Field(default_factory=dict, max_length=MAX_META, description="Your own notes.")

    _adapters_once = field_validator("adapters")(each_adapter_once)

    @model_validator(mode="after")
    def _one_kind_of_photo(self) -> Item:
        if (self.photo is None) == (not self.photos):
            raise ValueError("an item must have either photo or photos; give one of them")
        return self

    @model_validator(mode="after")
    def _category_is_proven(self) -> Item:
        if self.category is not None and self.proof is not None and not self.proof.text:
            raise ValueError("an item with a category must have proof.text true, because its text must be proven")
        return self

    def views(self) -> list[tuple[View, str]]:
        """(view, photo) of every photo. The view of a single photo is `front`."""
        return [("front", self.photo)] if self.photo else [(one.view, one.photo) for one in self.photos]


class Manifest(Request):
    """A catalogue: one look, and the SKUs that get it."""

    name: str = Field(min_length=1, max_length=120, description="Display name.")
    budget: Budget = Field(default_factory=Budget, description="What the catalogue may spend.")
    defaults: Look = Field(default_factory=Look, description="Where products stand, and what all scenes share.")
    axes: list[Axis] = Field(default_factory=list, max_length=MAX_AXES, description="Words that vary.")
    seeds: Seeds = Field(default_factory=Seeds, description="Which seeds the scenes have.")
    choose: Choose = Field(default_factory=Choose, description="How many pictures are painted for one that is kept.")
    deliver: list[Deliver] = Field(default_factory=list, max_length=MAX_DELIVERIES, description="Files for channels.")
    items: list[Item] = Field(min_length=1, max_length=MAX_ROWS, description="1 to 50,000 SKUs.")

    @property
    def paintings(self) -> int:
        """How many pictures are painted at most for one that is kept: `best_of`, and the retries of each."""
        retry = self.defaults.retry
        return self.choose.best_of * (1 + (retry.max if retry else 0))


class RowProblem(Answer):
    """One rule that the manifest breaks."""

    row: int | None = Field(None, exclude_if=absent, description="The row as a spreadsheet numbers it, or the item's.")
    sku: str | None = Field(None, exclude_if=absent, description="The row's SKU, if it can be read.")
    column: str = Field(description="The column, or the path of the field.")
    value: str = Field(description="The value received, at most 80 characters.")
    code: str = Field(description="A stable code.")
    rule: str = Field(description="The rule that the value breaks.")
    remedy: str = Field(description="What to do.")


class BudgetCheck(Answer):
    """The plan against the budget."""

    images: int | None = Field(description="Most pictures; null = no limit.")
    device_s: float | None = Field(description="Most seconds of a device; null = no limit.")
    exceeded: bool


class DryRunAnswer(Answer):
    """What a catalogue would do and cost. Nothing is stored."""

    ok: bool = Field(description="Whether the manifest has no problem.")
    rows: int
    searched: int = Field(
        0,
        description="Rows whose product is found by words (`find`). Such a row is skipped when they find nothing, so "
        "there may be fewer shots, pictures and deliveries.",
    )
    shots: int
    pictures: int = Field(
        description="Pictures that are painted or composed at most: dropped ones of `best_of` and all retries included."
    )
    deliveries: int
    device_s: float = Field(description="Seconds of a device.")
    ends_at: Moment | None = Field(description="When it would end, if it were alone; null when that is not known.")
    basis: Literal["measured", "assumed"] = Field(description="Where the seconds come from.")
    budget: BudgetCheck
    problems: tuple[RowProblem, ...] = Field(description="The first 1,000 problems, in the order of the manifest.")
    problems_total: int
    warnings: tuple[RowProblem, ...] = Field(
        (),
        description="What a channel will probably refuse or warn of, such as photos that are too small, words of "
        "`find` that the detector ignores, and words of prompts that the engine leaves out. They refuse nothing, so "
        "`ok` may be true.",
    )
