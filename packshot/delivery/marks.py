"""The numbers by which a delivered file can be found again. They follow from the file's recipe and say nothing else."""

from __future__ import annotations

import hashlib
import uuid

from packshot.imaging.watermark import PAYLOAD_BITS

__all__ = ["instance_of", "mark_of", "photo_instance"]

_NAMES = uuid.UUID("6f1d3c52-9a0e-4a53-8f3e-2b7c1f1e0d58")
"""The namespace of instance ids. It never changes."""


def mark_of(image_id: str, recipe: str) -> int:
    """The watermark of the file that is made of a picture by `recipe`, a number of 40 bits.

    It is the same each time. Image ids are random, so nobody finds the id from the number.
    """
    digest = hashlib.sha256(f"mark\n{image_id}\n{recipe}".encode()).digest()
    return int.from_bytes(digest[: PAYLOAD_BITS // 8], "big")


def instance_of(image_id: str, recipe: str) -> str:
    """The instance id in the C2PA manifest of that file, `xmp:iid:` and a UUID."""
    return _instance(f"{image_id}\n{recipe}")


def photo_instance(asset_key: str) -> str:
    """The instance id of a photo as an ingredient. The key follows from the photo's pixels, which its owner has."""
    return _instance(f"photo\n{asset_key}")


def _instance(name: str) -> str:
    return f"xmp:iid:{uuid.uuid5(_NAMES, name)}"
