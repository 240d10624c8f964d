"""What the table says of each figure: title, target, verdict. In the order of the table, by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `path` is the place of its figure in the figures. `at_least` or `at_most` is the target, if there is one.
    """

    title: str
    path: tuple[str, ...]
    at_least: float | None = None
    at_most: float | None = None
    group: str = ""

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


PROMPTS = {"click": "one click", "clicks3": "three clicks", "box": "box", "automatic": "no prompt"}


def _masks(title: str, *name: str, **targets: float) -> list[Row]:
    """IoU by prompt."""
    return [Row(f"{title}: {said}", (*name, prompt), targets.get(prompt)) for prompt, said in PROMPTS.items()]


def _borders(title: str, *name: str, **targets: float) -> list[Row]:
    """Border F by prompt."""
    return [
        Row(f"{title}, border F at 3 px: {PROMPTS[prompt]}", (*name, "border_f", prompt), targets.get(prompt))
        for prompt in ("click", "clicks3", "box")
    ]


def _photo(item: str, title: str, **targets: float) -> list[Row]:
    return [
        Row(f"{title}: {PROMPTS[prompt]}", ("masks", "photos", item, prompt), targets.get(prompt))
        for prompt in ("click", "clicks3", "box")
    ]


def _edge(title: str, key: str, at_most: float) -> list[Row]:
    return [
        Row(f"{title}, worst of masks 0, 2 and 4 px off", ("cutouts", "worst", key), at_most=at_most),
        Row("… with the mask found by box", ("cutouts", "by_box", key)),
    ]


GROUPS: dict[str, list[Row]] = {
    "Masks of real photos: mean of 15 objects, drawn by hand": [
        *_masks("IoU", "masks", "photos_mean", box=0.85, click=0.60, clicks3=0.75),
        *_borders("real photos", "masks", "photos_mean", box=0.75),
        Row("score's error: how far it is from the IoU", ("masks", "photos_mean", "score_error"), at_most=0.12),
        *_photo("coffee/cup_saucer_spoon", "coffee cup with saucer and spoon", clicks3=0.85, box=0.90),
        *_photo("coffee/cup", "the cup alone", box=0.85),
    ],
    "Masks of photographed things on real and plain backgrounds (stamps)": [
        *_masks("stamps", "stamps"),
        *_borders("stamps", "stamps"),
        Row("stamps: score's error", ("stamps", "score_error")),
    ],
    "Masks of path-traced products, held out": [
        *_masks("path-traced", "path_traced"),
        *_borders("path-traced", "path_traced"),
        Row("path-traced: score's error", ("path_traced", "score_error")),
        Row("path-traced: alpha error of the cutout by box", ("path_traced", "alpha_mae", "by_box")),
        Row("… with the true mask", ("path_traced", "alpha_mae", "true_mask")),
    ],
    "Masks of drawn scenes": [
        *_masks("held-out scenes, worn", "masks", "held_out", click=0.85, clicks3=0.92, box=0.93),
        *_borders("held-out scenes", "masks", "held_out"),
        Row("… one click, either meaning", ("masks", "held_out", "click_either")),
        Row("… one click, best of three answers", ("masks", "held_out", "click_best")),
        *_masks("unseen families", "masks", "unseen_families", click=0.80, clicks3=0.88, box=0.90),
        *_masks("unseen material", "masks", "unseen_materials"),
        *_masks("held-out collages", "masks", "collages"),
        Row("score's error over all sets", ("masks", "calibration", "mean_error")),
    ],
    "The cutout's edge: ten scenes with exact alpha and colour": [
        *_edge("alpha error near the border, 0..1", "alpha_mae", 0.012),
        *_edge("colour error of edge pixels on green, CIEDE2000", "edge_on_green", 3.5),
        *_edge("colour error of edge pixels on white, CIEDE2000", "edge_on_white", 4.5),
    ],
    "The border by box at the photo's resolution": [
        Row("0.5 megapixels: error in px", ("ladder", "0.5", "border_px")),
        Row("3 megapixels: error in px", ("ladder", "3", "border_px")),
        Row("12 megapixels: error in px", ("ladder", "12", "border_px"), at_most=1.2),
    ],
    "Geometry and names: path-traced groups of products, held out": [
        Row("normals: mean angle to the truth, degrees", ("heads", "geometry", "angle")),
        Row("… median of each product", ("heads", "geometry", "median_angle"), at_most=15),
        Row("… mean of inflation", ("heads", "inflation", "angle")),
        Row("depth: error, share of the product's depth", ("heads", "geometry", "depth_error")),
        Row("… of inflation", ("heads", "inflation", "depth_error")),
        Row("depth: pairs of points in the right order", ("heads", "geometry", "depth_order")),
        Row("… of inflation", ("heads", "inflation", "depth_order")),
        Row("named product found among others, known objects", ("heads", "known", "found"), 0.90),
        Row("absent name has no answer, known objects", ("heads", "known", "none"), 0.90),
        Row("named product found among others, unseen objects of known names", ("heads", "heldout", "found")),
        Row("absent name has no answer, unseen objects", ("heads", "heldout", "none")),
    ],
    "Painted scenes": [
        Row("surface read right", ("painter", "painted_surface"), 0.85),
        Row("… off drawn scenes", ("painter", "drawn_surface")),
        Row("backdrop read right", ("painter", "painted_backdrop"), 0.90),
        Row("… off drawn scenes", ("painter", "drawn_backdrop")),
        Row("light read right", ("painter", "painted_light"), 0.70),
        Row("… off drawn scenes", ("painter", "drawn_light")),
        Row("object expansion, share of the product's area, by box", ("painter", "expansion"), at_most=0.03),
        Row("… off drawn scenes: the segmenter's own error", ("painter", "drawn_expansion")),
        Row("… what the painter adds", ("painter", "expansion_added")),
        Row("… by three points", ("painter", "expansion_unbounded")),
        Row("… by three points, off drawn scenes", ("painter", "drawn_expansion_unbounded")),
        Row("share of shots with a contact shadow", ("painter", "shadow_painted", "share"), 0.90),
        Row("… of drawn scenes", ("painter", "shadow_drawn", "share")),
        Row("distance between seeds, perceptual", ("painter", "diversity", "perceptual"), 0.10),
        Row("… between prompts, for scale", ("painter", "diversity", "perceptual_prompts")),
    ],
    "The painter's controls": [
        Row("control scale 0 against 2: difference, of 255", ("controls", "control"), 5),
        Row("three neighbouring seeds: difference of the backgrounds, of 255", ("painter", "diversity", "levels"), 25),
        Row("sand read as sand", ("controls", "surfaces", "sand"), 0.75),
        Row("the surface word that is read worst", ("controls", "worst_surface"), 0.50),
        Row("light from the left against from the right: change of L*", ("controls", "side"), 5),
        Row("warm against cool light: change of b*", ("controls", "warmth"), 10),
    ],
    "Time and size": [
        Row("encode a photo, processor s", ("speed", "encode_s"), at_most=0.25),
        Row("a click, processor s", ("speed", "click_s"), at_most=0.060),
        Row("cut out of a photo of 2,000 px, processor s", ("speed", "cut_s"), at_most=0.6),
        Row("a picture of 16 guided steps, processor s (2.5 s on two cores)", ("speed", "picture_s"), at_most=5.0),
        Row("… its longer side, px", ("speed", "picture_px")),
        Row("whole pack, MB", ("size", "pack_mb"), at_most=80),
        Row("largest file, MB", ("size", "largest_mb"), at_most=16),
    ],
}
ROWS: tuple[Row, ...] = tuple(replace(row, group=group) for group, rows in GROUPS.items() for row in rows)
