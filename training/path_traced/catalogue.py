"""The objects: what five furniture catalogues hold, what each object is used for, and which are kept from training.

A catalogue (.sh3f) is a ZIP of OBJ models and `PluginFurnitureCatalog.properties`. The committed table `objects.csv`
is made of
them (`python -m training.path_traced catalogue`), so plans and credits need no catalogue at hand.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

TABLE = Path(__file__).with_name("objects.csv")
CURATION = Path(__file__).with_name("curation.yaml")
PRODUCT_CM, FURNITURE_CM = (2.0, 75.0), (75.0, 240.0)
HELD_OUT_SHARE = 0.2
HDRIS = ("city", "courtyard", "forest", "interior", "night", "studio", "sunrise", "sunset")
HELD_OUT_HDRIS = 2
_ENTRY = re.compile(r"^(\w+)#(\d+)=(.*)$", re.MULTILINE)
_HEADER = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Thing:
    """One object. Sizes in cm: width x, depth y, height z. rotation: nine numbers in the OBJ's frame, or none.

    role: `product` (on a table), `furniture` (on a floor). prop: may stand blurred in the background.
    family: a word of `training.scenes.words.FAMILIES`, or empty.
    """

    object_id: str
    name: str
    role: str
    prop: bool
    family: str
    width_cm: float
    depth_cm: float
    height_cm: float
    creator: str
    licence: str
    archive: str
    member: str
    rotation: tuple[float, ...] = ()

    @property
    def longest_cm(self) -> float:
        return max(self.width_cm, self.depth_cm, self.height_cm)

    @property
    def held_out(self) -> bool:
        """A fifth of the objects, by a stable hash of the id: no training picture shows them."""
        return share(self.object_id) < HELD_OUT_SHARE


@dataclass(frozen=True)
class Curation:
    """`curation.yaml`, typed."""

    left_out_categories: tuple[str, ...]
    left_out: tuple[str, ...]
    furniture_categories: tuple[str, ...]
    furniture: tuple[str, ...]
    props: tuple[str, ...]
    families: dict[str, str]

    @classmethod
    def read(cls, path: Path = CURATION) -> Curation:
        given = yaml.safe_load(path.read_text())
        lists = {field.name: tuple(given[field.name]) for field in dataclasses.fields(cls) if field.name != "families"}
        return cls(**lists, families=dict(given["families"]))


def share(name: str, salt: str = "path-traced") -> float:
    """A number in 0..1 that follows from a name alone."""
    return int.from_bytes(hashlib.sha256(f"{salt}/{name}".encode()).digest()[:6], "big") / 2**48


def held_out_hdris() -> tuple[str, ...]:
    """The two HDRIs with the smallest hash. The salt was chosen so that every backdrop keeps a photograph for
    training."""
    return tuple(sorted(HDRIS, key=lambda name: share(name, "sky-24"))[:HELD_OUT_HDRIS])


def parse(archive: Path, curation: Curation) -> list[Thing]:
    """The usable objects of one .sh3f file, in its order."""
    with zipfile.ZipFile(archive) as file:
        text = file.read("PluginFurnitureCatalog.properties").decode("latin-1")
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    header = dict(_HEADER.findall(text))
    entries: dict[int, dict[str, str]] = {}
    for key, number, value in _ENTRY.findall(text):
        entries.setdefault(int(number), {})[key] = value.strip()
    licence = header.get("license", "").split("Copyright")[0].split("©")[0].strip()
    things = []
    for entry in entries.values():
        if entry["category"] in curation.left_out_categories:
            continue
        thing = _thing(entry, archive, licence, curation)
        if thing is not None:
            things.append(thing)
    return things


def _thing(entry: dict[str, str], archive: Path, licence: str, curation: Curation) -> Thing | None:
    object_id = f"{archive.stem}/{entry['id'].split('#')[-1]}"
    width, depth, height = size = tuple(round(float(entry[key]), 2) for key in ("width", "depth", "height"))
    prop = _matches(object_id, curation.props)
    role = ""
    if not _matches(object_id, curation.left_out):
        if PRODUCT_CM[0] <= max(size) <= PRODUCT_CM[1]:
            role = "product"
        elif (
            FURNITURE_CM[0] < max(size) <= FURNITURE_CM[1]
            and entry["category"] in curation.furniture_categories
            and _matches(object_id, curation.furniture)
        ):
            role = "furniture"
    if not role and not prop:
        return None
    words = re.findall(r"[a-z]+", entry["name"].lower())
    family = next((curation.families[word] for word in words if word in curation.families), "")
    rotation = tuple(round(float(value), 5) for value in entry.get("modelRotation", "").split())
    return Thing(
        object_id, entry["name"], role, prop, family, width, depth, height, entry["creator"], licence, archive.name,
        entry["model"].lstrip("/"), rotation,
    )  # fmt: skip


def _matches(object_id: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(object_id, glob) for glob in globs)


def write_table(things: Sequence[Thing], path: Path = TABLE) -> None:
    names = [field.name for field in dataclasses.fields(Thing)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for thing in things:
            row = dataclasses.asdict(thing) | {
                "prop": int(thing.prop),
                "rotation": " ".join(f"{v:.10g}" for v in thing.rotation),
            }
            writer.writerow([f"{row[name]:.10g}" if isinstance(row[name], float) else row[name] for name in names])


def read_table(path: Path = TABLE) -> list[Thing]:
    with path.open(newline="") as file:
        return [
            Thing(
                row["object_id"], row["name"], row["role"], row["prop"] == "1", row["family"],
                float(row["width_cm"]), float(row["depth_cm"]), float(row["height_cm"]), row["creator"], row["licence"],
                row["archive"], row["member"], tuple(float(value) for value in row["rotation"].split()),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip
