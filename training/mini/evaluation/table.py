"""The table of figures and their targets, as JSON and Markdown, with the hashes of the measured files."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packshot.models.packs.pack import Pack

# The model card contains the table between these marks.
OPENS, CLOSES = "<!-- table: eval-mini --commit writes it -->", "<!-- /table -->"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `path` is the place of its figure in the figures. `at_least` or `at_most` is the target, if there is one.
    """

    title: str
    path: tuple[str, ...]
    at_least: float | None = None
    at_most: float | None = None

    def of(self, figures: Mapping[str, Any]) -> float | None:
        """The figure, or None when it was not measured."""
        found: Any = figures
        for key in self.path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return None if found is None else float(found)

    def verdict(self, value: float | None) -> str:
        """The verdict: "holds", "MISS", "not measured", or empty without a target."""
        if self.at_least is None and self.at_most is None:
            return ""
        if value is None:
            return "not measured"
        high = self.at_least is None or value >= self.at_least
        low = self.at_most is None or value <= self.at_most
        return "holds" if high and low else "MISS"

    @property
    def target(self) -> str:
        """The target in words, such as "≥ 0.85"; empty without one."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"


def _masks(title: str, name: str, **targets: float) -> list[Row]:
    prompts = {"click": "one click", "clicks3": "three clicks", "box": "box", "automatic": "no prompt"}
    return [Row(f"{title}: {said}", ("masks", name, prompt), targets.get(prompt)) for prompt, said in prompts.items()]


def _photo(item: str, title: str, **targets: float) -> list[Row]:
    prompts = {"click": "one click", "clicks3": "three clicks", "box": "box"}
    return [
        Row(f"{title}: {said}", ("masks", "photos", item, prompt), targets.get(prompt))
        for prompt, said in prompts.items()
    ]


ROWS: tuple[Row, ...] = (
    *_masks("held-out scenes, worn", "held_out", click=0.85, clicks3=0.92, box=0.93),
    Row("… one click, either meaning", ("masks", "held_out", "click_either")),
    Row("… one click, best of three answers", ("masks", "held_out", "click_best")),
    *_masks("unseen families", "unseen_families", click=0.80, clicks3=0.88, box=0.90),
    *_masks("unseen material", "unseen_materials"),
    *_masks("held-out collages", "collages"),
    *_photo("coffee/cup_saucer_spoon", "coffee cup with saucer and spoon", clicks3=0.85, box=0.90),
    *_photo("coffee/cup", "the cup alone", box=0.85),
    *_masks("real photos, mean of all objects", "photos_mean"),
    Row("score's mean error, |score - IoU|", ("masks", "calibration", "mean_error")),
    Row("surface read right", ("painter", "painted_surface"), 0.85),
    Row("… off drawn scenes", ("painter", "drawn_surface")),
    Row("backdrop read right", ("painter", "painted_backdrop"), 0.85),
    Row("… off drawn scenes", ("painter", "drawn_backdrop")),
    Row("light read right", ("painter", "painted_light"), 0.75),
    Row("… off drawn scenes", ("painter", "drawn_light")),
    Row("object expansion, share of the product's area, by box", ("painter", "expansion"), at_most=0.03),
    Row("… off drawn scenes", ("painter", "drawn_expansion")),
    Row("… by three points", ("painter", "expansion_unbounded")),
    Row("… by three points, off drawn scenes", ("painter", "drawn_expansion_unbounded")),
    Row("share of shots with a contact shadow", ("painter", "shadow_painted", "share"), 0.90),
    Row("… of drawn scenes", ("painter", "shadow_drawn", "share")),
    Row("distance between seeds, perceptual", ("painter", "diversity", "perceptual"), 0.10),
    Row("… between prompts, for scale", ("painter", "diversity", "perceptual_prompts")),
    Row("distance between seeds, background pixels, 0..1", ("painter", "diversity", "pixels")),
    Row("encode a photo, s", ("speed", "encode_s"), at_most=0.25),
    Row("a click, s", ("speed", "click_s"), at_most=0.030),
    Row("a picture at native size, 12 guided steps, s", ("speed", "picture_s"), at_most=2.0),
    Row("whole pack, MB", ("size", "pack_mb"), at_most=45),
    Row("largest file, MB", ("size", "largest_mb"), at_most=16),
)


def hashes(pack: Pack) -> dict[str, str | None]:
    """The sha256 of every file in the pack's manifest; None for a file that is pinned by a revision instead."""
    return {name: spec.sha256 for role in pack.manifest.roles.values() for name, spec in role.files.items()}


def sizes(pack: Pack) -> dict[str, float]:
    """The size of the weights in megabytes (10^6 bytes): all files, and the largest one."""
    lengths = [path.stat().st_size / 1e6 for path in (pack.folder / name for name in hashes(pack))]
    return {"pack_mb": round(sum(lengths), 1), "largest_mb": round(max(lengths), 2)}


def table(pack: Pack, figures: dict[str, Any], made: dict[str, Any], slice_: dict[str, float]) -> dict[str, Any]:
    """The whole table, ready for JSON.

    `figures` are all measured figures, `made` describes the measurement, and `slice_` holds the figures that a test
    repeats.
    """
    rows = []
    for row in ROWS:
        value = row.of(figures)
        rows.append({"title": row.title, "figure": value, "target": row.target, "verdict": row.verdict(value)})
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    return {
        "pack": {"name": pack.name, "native_px": list(pack.manifest.native_px), "files": hashes(pack)},
        "made": {"machine": machine} | made,
        "rows": rows,
        "figures": figures,
        "slice": slice_,
    }


def markdown(found: Mapping[str, Any]) -> str:
    """The table as Markdown: the rows, the objects of each photo, and the calibration of the scores."""
    made = found["made"]
    said = ", ".join(f"{name} {value}" for name, value in made.items())
    lines = [
        f"# Packshot {found['pack']['name']}, measured",
        "",
        said,
        "",
        "| what | figure | target | |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['title']} | {_shown(row['figure'])} | {row['target']} | {row['verdict']} |" for row in found["rows"]
    ]
    masks = found["figures"].get("masks", {})
    if photos := masks.get("photos"):
        prompts = ("box", "click", "clicks3", "spread3", "automatic", "click_best")
        lines += ["", f"| real photo | {' | '.join(prompts)} |", "|---" * (len(prompts) + 1) + "|"]
        lines += [f"| {name} | " + " | ".join(_shown(row[p]) for p in prompts) + " |" for name, row in photos.items()]
    if calibration := masks.get("calibration"):
        lines += ["", "| score | answers | mean score | mean IoU |", "|---|---|---|---|"]
        lines += [f"| {r['scores']} | {r['answers']} | {r['score']} | {r['iou']} |" for r in calibration["reliability"]]
    return "\n".join(lines) + "\n"


def in_card(card: str, shown: str) -> str:
    """The model card with `shown` (from `markdown`) between its table's marks. Raises ValueError without the marks."""
    before, _, rest = card.partition(f"{OPENS}\n")
    _, closes, after = rest.partition(CLOSES)
    if not closes:
        raise ValueError(f"the model card has no place for the table: write {OPENS} and {CLOSES} on lines of their own")
    table = shown.partition("\n\n")[2].strip()  # without the heading: the card has its own
    return f"{before}{OPENS}\n{table}\n{CLOSES}{after}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
