"""Photos of 10 megapixels, as cameras make them, each another upload."""

import io

import numpy as np
from PIL import Image


def large_photo() -> bytes:
    """A JPEG of 10 megapixels."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (324, 484, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((3872, 2592), Image.Resampling.BICUBIC), np.int16)
    out = io.BytesIO()
    noisy = np.clip(smooth + random.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(out, "JPEG", quality=90)
    return out.getvalue()


def numbered(jpeg: bytes, number: int) -> bytes:
    """The JPEG with a comment, so that each is another upload."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + jpeg[2:]
