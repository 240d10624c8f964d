"""The gains over relit products: their files, and the approval that a relit metal product needs in a catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, update

from packshot.store.records import NewImage
from packshot.store.references import AssetReferences, WrittenFile
from packshot.store.schema import shot

__all__ = ["RELIT_MATERIAL", "hold_relit_materials", "write_gains"]

RELIT_MATERIAL = "relit material"
"""The category of catalogue shots whose pictures a person must approve for their material."""


def write_gains(references: AssetReferences, images: Sequence[NewImage]) -> dict[int, WrittenFile]:
    """Write the gain files of the pictures that have one, before their transaction. Returns them by index."""
    lit = {new.index: new.gain_png for new in images if new.gain_png is not None}
    return dict(zip(lit, references.write_files(lit.values()), strict=True))


def hold_relit_materials(connection: Connection, row: Row[Any], images: Sequence[NewImage]) -> None:
    """Let a catalogue's pictures wait for a person's approval where a relit product is of metal, glass or liquid.

    Such a surface mirrors or passes on its surroundings, which a gain cannot show. `row` is the shot's, and a category
    that it has already stays.
    """
    held = any(
        new.gain_png is not None
        and any(finding.check == "material" and finding.level != "ok" for finding in new.verdict.findings)
        for new in images
    )
    if held and row.priority == "catalogue" and row.category is None:
        connection.execute(update(shot).where(shot.c.id == row.id).values(category=RELIT_MATERIAL))
