"""Who made the objects: a table of creators and licences for the model card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from training.path_traced.catalogue import Thing

HDRI_CREDIT = (
    "Eight HDRIs (city, courtyard, forest, interior, night, studio, sunrise, sunset) from Blender's studio lights, CC0."
)
CATALOGUES = {
    "BlendSwap-CC-0": "Blend Swap CC-0", "BlendSwap-CC-BY": "Blend Swap CC-BY", "KatorLegaz": "Kator Legaz",
    "Scopia": "Scopia",
}  # fmt: skip


def table(things: Sequence[Thing]) -> str:
    """Markdown: one row per catalogue and creator, with the number of objects used."""
    rows = Counter(
        (thing.archive.rsplit(".", 1)[0], thing.licence or "Public domain", thing.creator) for thing in things
    )
    lines = ["| catalogue | licence | creator | objects |", "|---|---|---|---|"]
    for (archive, licence, creator), count in sorted(rows.items(), key=lambda item: (item[0][0], -item[1], item[0][2])):
        lines.append(f"| {CATALOGUES.get(archive, archive)} | {licence} | {creator} | {count} |")
    return "\n".join(
        [*lines, "", "Converted to OBJ by Emmanuel Puybaret (Sweet Home 3D furniture libraries).", HDRI_CREDIT]
    )
