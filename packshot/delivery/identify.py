"""What was done to a file since it was made here: by its format, its size, its signature and where its pixels lie."""

from __future__ import annotations

from typing import NamedTuple

from packshot.delivery.provenance import C2paFound
from packshot.imaging.decoding.formats import FORMATS
from packshot.imaging.fingerprint import Likeness

__all__ = ["FRAMED", "Change", "Kept", "changes_since"]

WHOLE = 0.975
"""The share of a side from which a picture counts as not cropped: sketches do not show less."""

SAME_SIZE = 0.02
"""The relative difference of sizes up to which a picture counts as not resized: rounding, and the place's error."""


class Change(NamedTuple):
    """One thing that was done to a file. `code` is stable, `detail` is a sentence for a person."""

    code: str
    detail: str


class Kept(NamedTuple):
    """What is known of the file as it was made: its media type, its size in pixels, and whether it was signed."""

    media_type: str
    width: int
    height: int
    signed: bool


FRAMED = Change("framed", "A frame of one colour was put around it.")


def changes_since(
    kept: Kept, format: str, size: tuple[int, int], c2pa: C2paFound, likeness: Likeness | None, *, mirrored: bool
) -> tuple[Change, ...]:
    """What was done to a file whose bytes are others than those that were made here.

    `format` is a key of `FORMATS`, and `size` (width, height) in pixels. `likeness` says how its pixels lie on those of
    the file that was made; None = not at all, although it has its watermark.
    """
    now, then = FORMATS[format].label, kept.media_type.partition("/")[2].upper()
    changes = [Change("encoded", f"It was saved again as {now}; the file that was made is a {then}.")]
    if likeness is None:
        detail = "Its pixels look different, although its watermark can be read."
        return (*changes, Change("edited", detail), *_signature(kept, c2pa))
    left, top, right, bottom = (min(1.0, max(0.0, edge)) for edge in likeness.window)
    across, down = (right - left, bottom - top)
    across, down = (1.0 if share >= WHOLE else share for share in (across, down))
    if across < 1 or down < 1:
        percent = round(100 * across * down)
        changes.append(Change("cropped", f"It was cropped: about {percent} % of the picture is left."))
    factors = [size[0] / (across * kept.width), size[1] / (down * kept.height)]
    if any(abs(factor - 1) > (SAME_SIZE if across == down == 1 else 3 * SAME_SIZE) for factor in factors):
        by = (factors[0] * factors[1]) ** 0.5
        changes.append(Change("resized", f"It was resized to about {100 * by:.0f} %: it has {size[0]} x {size[1]} px."))
    if mirrored:
        changes.append(Change("mirrored", "It was mirrored."))
    if likeness.edited is not None:
        changes.append(Change("edited", f"A part looks different: {_where(likeness)}."))
    return (*changes, *_signature(kept, c2pa))


def _signature(kept: Kept, c2pa: C2paFound) -> list[Change]:
    if c2pa.expired:
        detail = "Its C2PA signature fits the file, but by this server's clock its certificate is not valid"
        return [Change("signature_expired", f"{detail}: it has expired, or the clock is wrong.")]
    if c2pa.present and not c2pa.valid:
        return [
            Change(
                "signature_broken",
                "Its C2PA signature does not hold: the file was changed after signing, or the signature was damaged.",
            )
        ]
    if kept.signed and not c2pa.present:
        return [Change("signature_removed", "Its C2PA signature was removed.")]
    return []


def _where(likeness: Likeness) -> str:
    """In words, the part of the file that looks different."""
    x, y = likeness.edited or (0.5, 0.5)
    down = "the top" if y < 1 / 3 else "the bottom" if y > 2 / 3 else "the middle"
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    return f"at {down} {across}".rstrip() if across or down != "the middle" else "in the middle"
