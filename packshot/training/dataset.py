"""A dataset: a folder of pictures, each with its caption in a .txt file of the same name.

    mug.jpg  mug.txt  mug.mask.png     the mask is optional: 255 = the product

A picture with a mask trains the scene around its product; one without trains the whole picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from packshot.errors import BadInput, PackshotError, UnsupportedMedia
from packshot.imaging.codec import read_mask, read_photo
from packshot.imaging.decoding.photo_decoder import PhotoDecoder
from packshot.training.spec import Kind
from packshot.types import U8

__all__ = [
    "Item",
    "Picture",
    "fingerprint",
    "mask_of",
    "named_faults",
    "picture_files",
    "read_items",
    "read_pictures",
    "read_product",
    "square",
    "with_tag",
]

Read = TypeVar("Read")

SUFFIXES = (".avif", ".heic", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MASK_SUFFIX = ".mask.png"
LEAST: dict[Kind, int] = {"lora": 4, "dreambooth": 3, "inversion": 3, "finetune": 12, "controlnet": 12}
"""Fewer pictures teach the pictures themselves and no look."""
MOST = 10_000
"""More would not fit a training that is watched by its samples; their latents are held in memory."""
NAMED = 8
"""The largest number of files that an error lists."""
MOST_CAPTION = 2_000
DECODERS = 2


@dataclass(frozen=True)
class Item:
    """A picture of a dataset, its caption, and its product's mask, None = without."""

    path: Path
    caption: str
    mask: Path | None


@dataclass(frozen=True)
class Picture:
    """A picture at the training's size: uint8 SxSx3 RGB, and its product's mask, uint8 SxS, 255 = product."""

    pixels: U8
    mask: U8 | None


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder, by name. Raises BadInput (dataset_refused) when there is no such folder, or it has none
    or too many."""
    if not folder.is_dir():
        raise BadInput("dataset_refused", f"the dataset must be a folder of pictures, got {str(folder)!r}; name one")
    found = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.endswith(MASK_SUFFIX)
    )
    if not found:
        raise BadInput("dataset_refused", f"{folder} must hold pictures ({', '.join(SUFFIXES)}), got none; add some")
    if len(found) > MOST:
        rule = f"a dataset may have at most {MOST:,} pictures, got {len(found):,}"
        raise BadInput("dataset_refused", f"{rule}; choose the best ones")
    stems: dict[str, Path] = {}
    for path in found:
        if other := stems.get(path.stem):
            rule = f"each picture must have a name of its own, got {other.name} and {path.name} for one caption"
            raise BadInput("dataset_refused", f"{rule}; rename one")
        stems[path.stem] = path
    return found


def read_items(folder: Path, kind: Kind, default_caption: str = "") -> list[Item]:
    """The dataset of a folder. `default_caption` is for pictures without a caption; "" = each must have one.

    Raises BadInput (dataset_refused) when there are too few or too many pictures, or captions are missing.
    """
    found = picture_files(folder)
    if len(found) < LEAST[kind]:
        remedy = "add some" if kind in ("dreambooth", "inversion") else "add some; dreambooth learns one product of 3"
        rule = f"{kind} needs at least {LEAST[kind]} pictures, got {len(found)}"
        raise BadInput("dataset_refused", f"{rule} in {folder}; {remedy}")
    items, silent = list[Item](), list[Path]()
    for path in found:
        text = path.with_suffix(".txt")
        caption = (_caption(text) if text.is_file() else "") or default_caption
        if not caption:
            silent.append(path)
        items.append(Item(path, caption, mask_of(path)))
    if silent:
        rule = f"each picture needs a caption in a .txt file of its name; {len(silent)} of {len(found)} have none"
        remedy = f"write them, or run packshot train captions {folder}"
        raise BadInput("dataset_refused", f"{rule} ({_named(silent)}); {remedy}")
    return items


def mask_of(path: Path) -> Path | None:
    """The file with the mask of a picture's product, if there is one."""
    mask = path.with_name(path.stem + MASK_SUFFIX)
    return mask if mask.is_file() else None


def _caption(path: Path) -> str:
    try:
        text = " ".join(path.read_text("utf-8").split())
    except UnicodeDecodeError as error:
        raise BadInput("dataset_refused", f"{path} must be UTF-8 text, got {error.reason}; save it as such") from error
    if len(text) > MOST_CAPTION:
        rule = f"a caption may have at most {MOST_CAPTION} characters, {path.name} has {len(text)}"
        raise BadInput("dataset_refused", f"{rule}; shorten it")
    return text


def _named(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths[:NAMED]) + (" …" if len(paths) > NAMED else "")


def with_tag(caption: str, tag: str) -> str:
    """The caption, which begins with the tag unless it holds it already."""
    return caption if not tag or tag in caption.lower().split() else f"{tag}, {caption}"


def read_pictures(items: Sequence[Item], size_px: int) -> list[Picture]:
    """The pictures of a dataset, scaled and cropped around their middle to `size_px` squared.

    The uploads' decoder reads them, so what is no whole picture is refused as there. Raises BadInput (dataset_refused),
    which lists the files.
    """

    masks = {item.path: item.mask for item in items}

    def read(path: Path) -> Picture:
        photo, mask = read_product(path, masks[path], decoder)
        return Picture(square(photo, size_px), None if mask is None else square(mask, size_px))

    with PhotoDecoder(workers=DECODERS) as decoder:
        return named_faults([item.path for item in items], read, DECODERS)


def named_faults(paths: Sequence[Path], read: Callable[[Path], Read], threads: int = 1) -> list[Read]:
    """What `read` gives for each file. Raises BadInput (dataset_refused) at the end, which lists the files that it
    refused."""

    def tried(path: Path) -> Read | PackshotError:
        try:
            return read(path)
        except (BadInput, UnsupportedMedia) as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(tried, paths))
    faulty = {path: one for path, one in zip(paths, found, strict=True) if isinstance(one, PackshotError)}
    if faulty:
        shown = [f"{path.name} ({one.detail.partition(';')[0]})" for path, one in [*faulty.items()][:NAMED]]
        more = f" and {len(faulty) - NAMED} more" if len(faulty) > NAMED else ""
        rule = f"every file must be a whole picture; {len(faulty)} of {len(paths)} are not"
        raise BadInput("dataset_refused", f"{rule}: {'; '.join(shown)}{more}; replace or remove them")
    return [one for one in found if not isinstance(one, PackshotError)]


def read_product(path: Path, mask: Path | None, decoder: PhotoDecoder) -> tuple[U8, U8 | None]:
    """A picture (uint8 HxWx3 RGB) and its product's mask (uint8 HxW). Raises BadInput or UnsupportedMedia."""
    photo = read_photo(decoder.normalise(path.read_bytes()).png).pixels
    if mask is None:
        return photo, None
    height, width = photo.shape[:2]
    return photo, read_mask(decoder.read_mask(mask.read_bytes(), width, height).png).pixels


def square(pixels: U8, size_px: int) -> U8:
    """The picture's middle, SxS: its shorter side fills the square."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (size_px, size_px), interpolation=how), np.uint8)


def fingerprint(items: Sequence[Item]) -> str:
    """The sha256 of the dataset: names, bytes and captions."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item.path.name}\n{item.caption}\n".encode())
        digest.update(hashlib.sha256(item.path.read_bytes()).digest())
    return digest.hexdigest()
