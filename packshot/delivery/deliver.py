"""Convert a finished picture to the file that a channel accepts, and check that file against the channel's rules.

    pixels ──flatten, extend to aspect, resize──> ──mark──> ──encode, sign──> file ──read back──> check ──> findings

`changes` lists what was done to the picture. A file that breaks a rule is refused, or carries a warning where the rule
only warns. Nothing is cropped and nothing is painted. The picture that the product must show goes the same way up to
the mark, so that the product in the file can be compared with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import NoReturn

import numpy as np
from PIL import Image

from packshot.contract.verdict import MAX_ENLARGEMENT, Finding
from packshot.delivery.check import (
    Shown,
    check,
    outside_of,
    product_box,
    refuse_failed,
    require_locked,
    touched_sides,
)
from packshot.delivery.encoding import UNPROVEN, Proof, encode
from packshot.delivery.files import MEDIA
from packshot.delivery.presets import Preset, preset_named, presets
from packshot.delivery.provenance import GENERATED, WHOLLY_GENERATED
from packshot.delivery.reframe import NO_MARGINS, extend, fits_aspect, frame_around, inside, plain_colour
from packshot.errors import BadInput
from packshot.imaging.fingerprint import Fingerprint, fingerprint_of
from packshot.imaging.watermark import embed, read_mark
from packshot.types import U8

__all__ = ["Delivered", "Preset", "deliver", "preset_named", "presets"]


NOT_LOCKED = Finding("delivered_lock", "warning", "not applicable: an engine painted the product")


@dataclass(frozen=True)
class Delivered:
    """A file for a channel.

    `data` is the file, `width` and `height` its size in pixels, and `extension` its suffix without a dot. `changes`
    lists what was done to the picture, and `findings` has a result for each rule of the channel. `source_type` is the
    IPTC digital source type in the file's metadata. `mark` is the watermark that was read back from the file, and
    `signed_by` the id of the key that signed it; None = none.
    `fingerprint` is what the file is found by; None for a plain picture.
    """

    data: bytes
    media_type: str
    width: int
    height: int
    extension: str
    changes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    source_type: str | None = None
    mark: int | None = None
    signed_by: str | None = None
    fingerprint: Fingerprint | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The changes, and the rules and recommendations of the channel that the file does not follow."""
        return (*self.changes, *(finding.detail for finding in self.findings if finding.level != "ok"))


@dataclass
class _Draft:
    """The picture while it is converted.

    `pixels` is uint8 HxWx3 RGB or HxWx4 RGBA, and `expected` the same with the layout's product; None = unknown.
    `alpha` is the product's alpha, uint8 HxW, or None. `scale` is the factor of the delivery's own resampling.
    """

    preset: Preset
    pixels: U8
    expected: U8 | None
    alpha: U8 | None
    generated: bool
    changes: list[str]
    scale: float = 1.0
    locked: bool = True

    @property
    def size(self) -> tuple[int, int]:
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])

    def apply(self, step: Callable[[U8], U8]) -> None:
        """Change the pixels by a step, and what is expected of them by the same one."""
        same = self.expected is self.pixels  # the same array gives the same result
        self.pixels = step(self.pixels)
        if self.expected is not None:
            self.expected = self.pixels if same else step(self.expected)


def deliver(
    pixels: U8,
    preset: Preset,
    *,
    product_alpha: U8 | None = None,
    enlarged_by: float | None = None,
    cut: bool | None = None,
    generated: bool,
    relit_lock: Finding | None = None,
    locked: bool = True,
    expected: U8 | None = None,
    proof: Proof = UNPROVEN,
    today: date | None = None,
) -> Delivered:
    """Convert `pixels` (uint8 HxWx3 RGB or HxWx4 straight RGBA) to a file that meets `preset`.

    `product_alpha` is the layout's alpha, uint8 HxW. The rules on the product's place and the background use it;
    without it they use the picture's own pixels where they can. `enlarged_by` is the factor by which the layout
    enlarged the product. `cut` is whether the picture's frame cuts it; `product_alpha` overrules it. None = not known.
    `generated` says that an engine painted the scene; the file's metadata says so too. `relit_lock` is the proof of a
    relit product (`packshot.verdict.inspect`): it is one of the file's findings, and a failed one refuses the delivery.
    `locked` says that the product is the photo's own; one that an engine painted is compared with nothing.
    `expected` is the picture with its layout's product (`packshot.delivery.delivered_lock`), with which the file's is
    compared. `proof` is what the file says of itself, its watermark, and its signer. `today` is the date on which
    announced changes are judged.

    Raises BadInput: `product_generated` when the channel takes only a locked product, `preset_unmet` with the rule, the
    value found and the remedy, and `not_served` when the picture would have to be repainted for the channel's aspect
    ratio.
    """
    require_locked(preset, locked=locked)
    if product_alpha is None and pixels.shape[2] == 4:
        product_alpha = pixels[..., 3]
    draft = _Draft(preset, pixels, expected if locked else None, product_alpha, generated, [], locked=locked)
    sides = _cut_sides(draft)
    if sides is None and cut is not None:
        sides = ("edge",) if cut else ()
    _flatten_transparency(draft)
    _reframe(draft)
    _resize(draft, max(1.0, enlarged_by or 1.0))
    source_type = _source_type(preset, generated=generated, whole=proof.origin is not None and proof.origin.whole)
    known = enlarged_by is not None
    product_by = draft.scale * (enlarged_by or 1.0)
    marked, mark = _marked(draft, proof)
    file, compared = encode(marked, preset, draft.expected, draft.alpha, proof.of(generated, source_type, mark))
    read_back = mark if mark is not None and read_mark(file.pixels) == mark else None
    shown = Shown(draft.alpha, sides, product_by, known, draft.scale, generated, relit_lock is not None)
    findings = (
        *(() if relit_lock is None else (relit_lock,)),
        *check(file, preset, shown, today or date.today()),
        compared if locked else NOT_LOCKED,
        *_mark_findings(draft, proof, read_back),
        *(() if proof.signer is None else (proof.signer.finding,)),
    )
    refuse_failed(preset, findings)
    kind = next(kind for kind in MEDIA if kind == file.format)
    media_type, extension = MEDIA[kind]
    return Delivered(
        file.data,
        media_type,
        *file.size,
        extension,
        tuple(draft.changes),
        findings,
        source_type=file.source_type,
        mark=read_back,
        signed_by=proof.signer.key_id if proof.signer else None,
        fingerprint=fingerprint_of(file.pixels),
    )


def _source_type(preset: Preset, *, generated: bool, whole: bool) -> str | None:
    """The source type in the file. A channel may ask for a word of its own, or for none."""
    source_type = preset.digital_source_type if generated else preset.plain_source_type
    return WHOLLY_GENERATED if whole and source_type == GENERATED else source_type


def _marked(draft: _Draft, proof: Proof) -> tuple[U8, int | None]:
    """The pixels with the watermark in their painted scene, and its number; None where it has no place.

    A plain background is never marked. Without the layout, nobody knows which pixels are the product's. A repainted
    product is marked too. A mark that cannot be read is not left in the picture.
    """
    mark = proof.origin.mark if proof.origin else None
    unknown = draft.locked and draft.alpha is None
    if mark is None or not draft.generated or unknown or draft.pixels.shape[2] == 4:
        return draft.pixels, None
    marked = embed(draft.pixels, mark, draft.alpha if draft.locked else None)
    return (marked, mark) if read_mark(marked) == mark else (draft.pixels, None)


def _mark_findings(draft: _Draft, proof: Proof, read_back: int | None) -> tuple[Finding, ...]:
    """What became of the watermark that was wanted."""
    if proof.origin is None or proof.origin.mark is None or not draft.generated:
        return ()
    if draft.locked and draft.alpha is None:
        detail = "the scene has no watermark, because the product's mask is not available"
        return (Finding("watermark", "warning", detail),)
    if read_back is None:
        detail = "the scene has no watermark that can be read, because too little of it shows or it is too plain"
        return (Finding("watermark", "warning", detail),)
    return (Finding("watermark", "ok", "the scene has an invisible watermark, which was read from the file"),)


def _cut_sides(draft: _Draft) -> tuple[str, ...] | None:
    """The sides at which the picture's frame cuts the product: by its alpha, or else by a plain background's edge."""
    if draft.alpha is not None:
        return touched_sides(draft.alpha)
    return () if not draft.generated and plain_colour(draft.pixels) is not None else None


def _flatten_transparency(draft: _Draft) -> None:
    """Composite a transparent picture over white if the channel needs it."""
    keeps = draft.preset.background == "white_or_transparent_advised" and set(draft.preset.formats) & {"png", "webp"}
    if draft.pixels.shape[2] == 3 or keeps:
        return

    def over_white(pixels: U8) -> U8:
        share = pixels[..., 3:].astype(np.float32) / 255
        return np.asarray(np.rint(pixels[..., :3] * share + 255 * (1 - share)), np.uint8)

    draft.apply(over_white)
    draft.changes.append("the transparent picture was composited over white")


def _reframe(draft: _Draft) -> None:
    """Extend a plain background to the channel's aspect ratio and around its safe zone.

    A scene cannot be extended. It is refused, unless the channel only advises the ratio.
    """
    if draft.preset.aspect is None:
        return
    across, down = draft.preset.aspect
    (width, height), zone = draft.size, draft.preset.safe_zone or NO_MARGINS
    fits = fits_aspect(draft.size, draft.preset.aspect)
    box = product_box(draft.pixels, draft.alpha)
    if fits and (box is None or inside(draft.size, box, zone)):
        return
    colour = None if draft.generated else plain_colour(draft.pixels)
    if colour is None:
        if not fits and draft.preset.severity_of("aspect") == "refuse":
            _refuse_reframing(draft)
        return
    frame = frame_around(draft.size, draft.preset.aspect, box, zone)
    if draft.alpha is not None:
        draft.alpha = extend(draft.alpha, frame, 0)
    draft.apply(lambda pixels: extend(pixels, frame, colour))
    named = "white" if (colour == 255).all() else "transparency" if len(colour) == 4 else f"its colour {_hex(colour)}"
    because = f"{across}:{down}" + (" and its safe zone" if draft.preset.safe_zone else "")
    draft.changes.append(
        f"padded with {named} from {width}x{height} to {frame.width}x{frame.height} for {because}; nothing was cropped"
    )


def _hex(colour: U8) -> str:
    return "#" + bytes(colour).hex()


def _refuse_reframing(draft: _Draft) -> NoReturn:
    across, down = draft.preset.aspect or (1, 1)
    (width, height), title = draft.size, draft.preset.title
    must = f"{title}: width to height must be {across}:{down}, got {width}x{height} with edges of several colours"
    if draft.generated:
        remedy = "let the engine paint the missing sides (`reframe: paint` of POST /v1/images/{id}/deliveries)"
        raise BadInput("not_served", f"{must}; {remedy}, or make the picture again on a canvas of {across}:{down}")
    why = "the product or its shadow touches the frame"
    remedy = f"{why}: use a smaller scale, shadow `none`, or a canvas of {across}:{down}"
    raise BadInput("preset_unmet", f"{must}; {remedy}")


def _resize(draft: _Draft, layout_by: float) -> None:
    """Resample to the recommended size. The layout's enlargement and this one together are at most 2x."""
    preset, (width, height) = draft.preset, draft.size
    wanted = preset.advised_longest_px / max(width, height)
    if wanted < 1 and preset.larger_is_fine:
        wanted = min(1.0, (preset.max_longest_px or max(width, height)) / max(width, height))
    if preset.max_pixels:
        wanted = min(wanted, (preset.max_pixels / (width * height)) ** 0.5)
    if preset.max_sum_px:
        wanted = min(wanted, preset.max_sum_px / (width + height))
    scale = min(wanted, max(1.0, MAX_ENLARGEMENT / layout_by))
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    if preset.aspect and max(new_width, new_height) == preset.advised_longest_px:  # give exactly the channel's numbers
        across, down = preset.aspect
        if abs(width * down / (height * across) - 1) < 0.01:
            new_width = round(new_height * across / down) if down >= across else new_width
            new_height = round(new_width * down / across) if across > down else new_height
    if (new_width, new_height) != (width, height):
        _resample(draft, new_width, new_height)
    draft.scale = scale
    if scale > 1:
        draft.changes.append(
            f"enlarged {scale:.2f}x from {width}x{height} by Lanczos; a larger canvas would be sharper"
        )


def _resample(draft: _Draft, width: int, height: int) -> None:
    white = draft.preset.background != "free" and draft.pixels.shape[2] == 3 and _is_white(draft)

    def resized(pixels: U8) -> U8:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.array(image.resize((width, height), Image.Resampling.LANCZOS))

    draft.apply(resized)
    if draft.alpha is not None:
        draft.alpha = resized(draft.alpha)
        if white:
            for pixels in (draft.pixels, draft.expected):
                if pixels is not None:
                    pixels[draft.alpha == 0] = 255  # remove Lanczos ringing beside a dark product


def _is_white(draft: _Draft) -> bool:
    return bool((draft.pixels[outside_of(draft.alpha, draft.size)] == 255).all())
