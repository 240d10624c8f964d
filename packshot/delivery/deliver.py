"""Convert a finished picture to the file that a channel accepts, and check it against the channel's rules.

    pixels ──flatten, pad──> aspect ──resize──> advised size ──encode──> file ──> rules: size, fill, background, bytes

`notes` lists every change. A delivery that cannot meet a rule is refused.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import NoReturn

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from packshot.contract.verdict import MAX_ENLARGEMENT
from packshot.delivery.presets import Format, Preset, preset_named, presets
from packshot.errors import BadInput
from packshot.types import U8, BoxXYXY, Mask

__all__ = ["Delivered", "Preset", "deliver", "preset_named", "presets"]

JPEG_QUALITIES = (95, 92, 88, 84, 80)
MEDIA = {"jpeg": ("image/jpeg", "jpg"), "png": ("image/png", "png"), "webp": ("image/webp", "webp")}
JPEG_BLOCK_PX = 16  # the distance to which an edge may ring in a JPEG file
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType="{value}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


@dataclass(frozen=True)
class Delivered:
    """A file for a channel.

    `data` is the file, `width` and `height` its size in pixels, and `extension` its suffix without a dot. `notes` lists
    the changes that were made and the recommendations of the channel that the picture does not follow.
    """

    data: bytes
    media_type: str
    width: int
    height: int
    extension: str
    notes: tuple[str, ...]


@dataclass
class _Draft:
    """The picture while it is converted.

    `pixels` is uint8 HxWx3 RGB or HxWx4 RGBA. `alpha` is the product's alpha, uint8 HxW, or None.
    """

    preset: Preset
    pixels: U8
    alpha: U8 | None
    notes: list[str]

    @property
    def size(self) -> tuple[int, int]:
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])

    def refuse(self, rule: str, got: str, remedy: str) -> NoReturn:
        raise BadInput("preset_unmet", f"{self.preset.title}: {rule}, got {got}; {remedy}")


def deliver(
    pixels: U8, preset: Preset, *, product_alpha: U8 | None = None, generated: bool, today: date | None = None
) -> Delivered:
    """Convert `pixels` (uint8 HxWx3 RGB or HxWx4 straight RGBA) to a file that meets `preset`.

    `product_alpha` is the layout's alpha, uint8 HxW. The rules on fill and background use it; without it they use the
    picture's own pixels. `generated` says that an engine painted the scene; the file is then labelled. `today` is the
    date for the expiry warning. Raises BadInput (preset_unmet) with the rule, the value found and the remedy.
    """
    if product_alpha is None and pixels.shape[2] == 4:
        product_alpha = pixels[..., 3]
    draft = _Draft(preset, pixels, product_alpha, [])
    expired = preset.expiry_note(today or date.today())
    if expired:
        draft.notes.append(expired)
    _flatten_background(draft, generated)
    _pad_to_aspect(draft)
    _resize(draft)
    _check_fill(draft)
    label = preset.digital_source_type if generated else None
    data, kind = _encode(draft, label)
    media_type, extension = MEDIA[kind]
    return Delivered(data, media_type, *draft.size, extension, tuple(draft.notes))


def _flatten_background(draft: _Draft, generated: bool) -> None:
    """Composite a transparent picture over white if the channel needs it, and check a background that must be white."""
    rule = draft.preset.background
    transparent = draft.pixels.shape[2] == 4
    if transparent and not (rule == "white_or_transparent_advised" and set(draft.preset.formats) & {"png", "webp"}):
        share = draft.pixels[..., 3:].astype(np.float32) / 255
        draft.pixels = np.rint(draft.pixels[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
        draft.notes.append("the transparent picture was composited over white")
        transparent = False
    if rule == "free" or transparent:
        return
    white = "the background must be exactly 255,255,255"
    if rule == "white" and generated:
        remedy = "make the packshot with background `white`, and use the scene in a secondary slot"
        draft.refuse(white, "a generated scene", remedy)
    outside = _outside(draft)
    off = int(np.count_nonzero((draft.pixels[outside] != 255).any(axis=-1)))
    if off and rule == "white":
        draft.refuse(white, f"{off} pixels of another colour", "use background `white` and shadow `none`")
    if off:
        draft.notes.append(f"advised: a white background; {off} background pixels are of another colour")


def _outside(draft: _Draft) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The pixels that hold no product, bool HxW: alpha = 0, or without alpha the outermost pixels of the frame."""
    if draft.alpha is not None:
        return np.asarray(draft.alpha == 0)
    rim = np.ones(draft.pixels.shape[:2], bool)
    rim[1:-1, 1:-1] = False
    return rim


def _pad_to_aspect(draft: _Draft) -> None:
    """Pad a picture with white or transparent edges to the channel's aspect ratio; refuse any other picture."""
    if draft.preset.aspect is None:
        return
    across, down = draft.preset.aspect
    width, height = draft.size
    want_width, want_height = max(width, round(height * across / down)), max(height, round(width * down / across))
    if abs(width * down / (height * across) - 1) < 0.002:  # differs only by rounding
        return
    edge = draft.pixels[..., :3][[0, -1]].reshape(-1, 3), draft.pixels[..., :3][:, [0, -1]].reshape(-1, 3)
    if not all((side == 255).all() for side in edge):
        remedy = f"make the picture again on a canvas of {across}:{down}"
        draft.refuse(
            f"width to height must be {across}:{down}", f"{width}x{height} with edges that are not white", remedy
        )
    left, top = (want_width - width) // 2, (want_height - height) // 2
    padding = ((top, want_height - height - top), (left, want_width - width - left))
    draft.pixels = np.pad(draft.pixels, (*padding, (0, 0)), constant_values=255)
    if draft.alpha is not None:
        draft.alpha = np.pad(draft.alpha, padding)
    draft.notes.append(f"padded with white from {width}x{height} to {want_width}x{want_height} for {across}:{down}")


def _resize(draft: _Draft) -> None:
    """Resample to the recommended size, enlarging at most 2x, and check the channel's limits."""
    preset, (width, height) = draft.preset, draft.size
    wanted = preset.advised_longest_px / max(width, height)
    if wanted < 1 and preset.larger_is_fine:
        wanted = min(1.0, (preset.max_longest_px or max(width, height)) / max(width, height))
    if preset.max_pixels:
        wanted = min(wanted, (preset.max_pixels / (width * height)) ** 0.5)
    scale = min(wanted, MAX_ENLARGEMENT)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    if preset.aspect and max(new_width, new_height) == preset.advised_longest_px:  # give exactly the channel's numbers
        across, down = preset.aspect
        new_width = round(new_height * across / down) if down >= across else new_width
        new_height = round(new_width * down / across) if across > down else new_height
    if (new_width, new_height) != (width, height):
        _resample(draft, new_width, new_height)
    if scale > 1:
        draft.notes.append(f"enlarged {scale:.2f}x from {width}x{height} by Lanczos; a larger canvas would be sharper")
    if wanted > scale:
        draft.notes.append(f"advised: {preset.advised_longest_px} px on the longer side; Packshot enlarges at most 2x")
    limits = (
        ("the longer side", max(draft.size), preset.min_longest_px),
        ("the width", draft.size[0], preset.min_width_px),
        ("the height", draft.size[1], preset.min_height_px),
    )
    for side, got, least in limits:
        if least and got < least:
            remedy = f"make the picture on a canvas whose longer side is {preset.advised_longest_px} px"
            draft.refuse(f"{side} must be at least {least} px", f"{got} px at 2x enlargement", remedy)


def _resample(draft: _Draft, width: int, height: int) -> None:
    image = Image.fromarray(np.ascontiguousarray(draft.pixels))
    white = draft.preset.background != "free" and draft.pixels.shape[2] == 3 and _is_white(draft)
    pixels = np.array(image.resize((width, height), Image.Resampling.LANCZOS))
    if draft.alpha is not None:
        alpha = Image.fromarray(np.ascontiguousarray(draft.alpha)).resize((width, height), Image.Resampling.LANCZOS)
        draft.alpha = np.asarray(alpha)
        if white:
            pixels[draft.alpha == 0] = 255  # remove Lanczos ringing beside a dark product
    draft.pixels = pixels


def _is_white(draft: _Draft) -> bool:
    return bool((draft.pixels[_outside(draft)] == 255).all())


def _product_box(draft: _Draft) -> BoxXYXY | None:
    """The product's bounding box: from its alpha, or from the pixels that are not white on a white background.

    None if the picture has neither.
    """
    if draft.alpha is not None:
        return Mask(draft.alpha).bbox_xyxy
    if draft.pixels.shape[2] == 3 and _is_white(draft):
        return Mask(np.where((draft.pixels < 250).any(axis=2), np.uint8(255), np.uint8(0))).bbox_xyxy
    return None


def _check_fill(draft: _Draft) -> None:
    """Check how much of the frame the product spans: the larger of its shares of width and height, 0..1."""
    preset = draft.preset
    if preset.fill_min is None and preset.fill_advised is None:
        return
    box = _product_box(draft)
    if box is None:
        draft.notes.append("the product's share of the frame was not checked, because its mask is not available")
        return
    fill = max((box[2] - box[0]) / draft.size[0], (box[3] - box[1]) / draft.size[1])
    if preset.fill_min is not None and fill < preset.fill_min:
        remedy = f"multiply the layer's scale by {preset.fill_min / max(fill, 0.01):.2f}"
        draft.refuse(f"the product must fill at least {preset.fill_min:.0%} of the frame", f"{fill:.1%}", remedy)
    if preset.fill_advised is not None and not preset.fill_advised[0] <= fill <= preset.fill_advised[1]:
        low, high = preset.fill_advised
        draft.notes.append(f"advised: the product fills {low:.0%} to {high:.0%} of the frame; it fills {fill:.0%}")


def _encode(draft: _Draft, label: str | None) -> tuple[bytes, Format]:
    """(file, format) in the first of the preset's formats, and at the best quality, that meets the size limit."""
    smallest = 0
    for kind in draft.preset.formats:
        if draft.pixels.shape[2] == 4 and kind == "jpeg":
            continue
        for quality in JPEG_QUALITIES if kind != "png" else (100,):
            data = _write(draft.pixels, kind, quality, label)
            smallest = min(smallest or len(data), len(data))
            if len(data) <= draft.preset.max_bytes:
                _check_written(draft, data, kind)
                return data, kind
    size = f"{smallest / 1e6:.1f} MB at {draft.size[0]}x{draft.size[1]}"
    return draft.refuse(
        f"a file may have at most {draft.preset.max_bytes / 1e6:g} MB", size, "make the picture on a smaller canvas"
    )


def _write(pixels: U8, kind: Format, quality: int, label: str | None) -> bytes:
    out, image = io.BytesIO(), Image.fromarray(np.ascontiguousarray(pixels))
    xmp = XMP.format(value=label).encode() if label else b""
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        if xmp:
            info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(out, "PNG", icc_profile=_srgb(), pnginfo=info, compress_level=6)
    elif kind == "jpeg":
        image.save(out, "JPEG", quality=quality, subsampling=0, icc_profile=_srgb(), xmp=xmp)
    else:
        image.save(out, "WEBP", quality=quality, method=4, icc_profile=_srgb(), xmp=xmp)
    return out.getvalue()


@cache
def _srgb() -> bytes:
    """An sRGB profile with a fixed creation date, so that the same picture always gives the same file."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # 2000-01-01
    return bytes(profile)


def _check_written(draft: _Draft, data: bytes, kind: Format) -> None:
    """Decode the file and check that a white background is still white.

    JPEG may ring within JPEG_BLOCK_PX of the product's edge; such pixels only add a note.
    """
    if draft.preset.background != "white":
        return
    written = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    outside = _outside(draft)
    off = outside & (written != 255).any(axis=2)
    if not off.any():
        return
    worst = 255 - int(written[off].min())
    reach = _grow(~outside, JPEG_BLOCK_PX) if draft.alpha is not None else np.zeros_like(off)
    if kind == "png" or (off & ~reach).any():
        others = f"{int(off.sum())} pixels of another colour"
        draft.refuse("the background must be exactly 255,255,255", others, "use background `white`")
    draft.notes.append(
        f"the PNG was too large; in the JPEG, white differs by up to {worst} within 16 px of the product"
    )


def _grow(
    where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], by_px: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """`where` dilated by `by_px` pixels."""
    import cv2

    side = 2 * by_px + 1
    return np.asarray(cv2.dilate(where.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)
