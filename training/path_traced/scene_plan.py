"""What a shard shows, as frozen dataclasses that travel to Blender as JSON. Standard library only: Blender's Python
reads it too.

Lengths are in product sizes: the longest side of a view's main product is 1. Angles are in degrees.
The frame: x right, y away from the camera, z up; the main product stands on z = 0 at the origin.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import dataclass
from typing import Any, TypeVar

Rgb = tuple[float, float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Label:
    """A printed label of a made package.

    title, subtitle, small: what is printed, top to bottom. paper, ink: RGB 0..1. style: index of a layout.
    """

    title: str
    subtitle: str
    small: str
    paper: Rgb
    ink: Rgb
    style: int
    font: int


@dataclass(frozen=True)
class ProductPlan:
    """One object of a view.

    object_id: id of the catalogue, or `made/<kind>/<design>`. archive, member: the .sh3f file and the OBJ in it;
    empty when made.
    rotation: nine numbers of the catalogue's model rotation, row by row; empty = none.
    size_xyz: width, depth and height in product sizes. at_xy: where it stands. turn_deg: about z, counter-clockwise.
    restyle: seed of new materials for plain parts; -1 keeps the model's own.
    """

    object_id: str
    name: str
    family: str
    archive: str
    member: str
    rotation: tuple[float, ...]
    size_xyz: tuple[float, float, float]
    at_xy: tuple[float, float]
    turn_deg: float
    restyle: int
    label: Label | None = None


@dataclass(frozen=True)
class CameraPlan:
    """elevation_deg: above the horizon. distance: to the look-at point. look_at: x, y, z. aperture: lens radius, 0 =
    all sharp."""

    elevation_deg: float
    distance: float
    fov_deg: float
    look_at: tuple[float, float, float]
    aperture: float
    roll_deg: float


@dataclass(frozen=True)
class LightPlan:
    """One key lamp and an HDRI that fills.

    azimuth_deg: where the key stands, 0 = at the camera, 90 = right, 180 = behind the product, 270 = left.
    angular_size_deg: how large the key looks from the product. key_share: of the light on a level white card.
    """

    side: str
    quality: str
    tint: str
    azimuth_deg: float
    elevation_deg: float
    angular_size_deg: float
    key_share: float
    hdri: str
    hdri_turn_deg: float


@dataclass(frozen=True)
class SetPlan:
    """What the product stands on and before.

    support: plane, sweep, table, shelf or plinth. texture_scale: metres a product size. wall_distance: behind the
    product. ground_end: where
    the ground ends behind it. hdri, hdri_turn_deg: the photograph seen behind; an empty name = a built backdrop.
    horizon_drop_deg: how far its horizon is lowered, so that it shows above the edge of the ground. props: furniture
    or plants far behind.
    """

    surface: str
    surface_seed: int
    paper_rgb: Rgb
    support: str
    backdrop: str
    backdrop_seed: int
    wall_rgb: Rgb
    wall_distance: float
    ground_end: float
    texture_scale: float
    hdri: str
    hdri_turn_deg: float
    horizon_drop_deg: float
    props: tuple[ProductPlan, ...]


@dataclass(frozen=True)
class TakePlan:
    """One picture: a set in a light. captions: several ways to say it; the first says all. attributes:
    `training.scenes.words.FIELDS`."""

    set: SetPlan
    light: LightPlan
    captions: tuple[str, ...]
    attributes: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class ViewPlan:
    """A product, seen by one camera in several takes. `pair`: views of a shard with the same number share set, light
    and camera."""

    main: ProductPlan
    neighbours: tuple[ProductPlan, ...]
    unit_cm: float
    camera: CameraPlan
    takes: tuple[TakePlan, ...]
    pair: int


@dataclass(frozen=True)
class ShardPlan:
    """A file of pictures. split: `train` or `heldout`. Everything that is rendered follows from this plan and the
    asset packages."""

    version: int
    split: str
    number: int
    size_px: int
    samples: int
    views: tuple[ViewPlan, ...]

    @property
    def stem(self) -> str:
        return f"{self.split}-{self.number:05d}"

    @property
    def pictures(self) -> int:
        return sum(len(view.takes) for view in self.views)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """Changes when anything about the shard does."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @classmethod
    def from_json(cls, text: str) -> ShardPlan:
        return _build(cls, json.loads(text))


def _build(kind: type[T], value: Any) -> T:
    """A dataclass of this module from what `dataclasses.asdict` made of it; lists become tuples."""
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: _value(hints[name], value[name]) for name in names})


def _value(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value)
    if isinstance(hint, types.UnionType):
        return None if value is None else _value(typing.get_args(hint)[0], value)
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_value(item, part) for part in value)
    return value
