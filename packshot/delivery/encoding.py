"""Encode a channel's file, sign it and read it back, in the best form that the channel takes.

pixels ──format, quality──> bytes ──sign──> file ──decode──> product compared ──> the first file that passes
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from packshot.contract.verdict import Finding
from packshot.delivery.delivered_lock import delivered_lock
from packshot.delivery.files import MEDIA, WrittenFile, read_file, write_file
from packshot.delivery.metadata import Origin, xmp_of
from packshot.delivery.presets import Format, Preset
from packshot.types import U8

__all__ = ["UNPROVEN", "Proof", "SignsFiles", "encode"]

QUALITIES = (95, 92, 88, 84, 80)
"""The qualities of a lossy file, tried until the file is small enough."""
BETTER: dict[Format, tuple[int | None, ...]] = {"jpeg": (98, 100), "png": (), "webp": (100, None)}
"""What is tried, if it is small enough, when the best of QUALITIES changes the product too much. None = lossless."""
MANIFEST_BYTES = 24_000
"""Room for the signed manifest. It has about 13 kB with a chain of two certificates."""


class SignsFiles(Protocol):
    """What signs a file (`packshot.delivery.signing.Signer`)."""

    @property
    def key_id(self) -> str: ...

    @property
    def finding(self) -> Finding: ...

    def sign(
        self, data: bytes, media_type: str, origin: Origin, *, generated: bool, source_type: str | None
    ) -> bytes: ...


@dataclass(frozen=True)
class Proof:
    """What a file says of itself, and who signs that. Without an origin it says its source type alone."""

    origin: Origin | None = None
    signer: SignsFiles | None = None
    generated: bool = False
    source_type: str | None = None

    def of(self, generated: bool, source_type: str | None, mark: int | None) -> Proof:
        """The same for a picture of this kind, with the watermark that it really has."""
        origin = self.origin and replace(self.origin, mark=mark)
        return replace(self, origin=origin, generated=generated, source_type=source_type)

    def sign(self, data: bytes, kind: Format) -> bytes:
        """The file with its signed manifest; as it is without a signer."""
        if self.signer is None or self.origin is None:
            return data
        return self.signer.sign(
            data, MEDIA[kind][0], self.origin, generated=self.generated, source_type=self.source_type
        )


UNPROVEN = Proof()
"""A file that says its source type alone."""


@dataclass(frozen=True)
class _Encoder:
    pixels: U8
    expected: U8 | None
    alpha: U8 | None
    proof: Proof
    xmp: bytes

    def write(self, kind: Format, quality: int | None) -> bytes:
        return write_file(self.pixels, kind, quality, self.xmp)

    def finish(self, data: bytes, kind: Format, quality: int | None) -> tuple[WrittenFile, Finding]:
        """Sign a file and read it back, with the finding on its product."""
        file = read_file(self.proof.sign(data, kind))
        return file, delivered_lock(file.pixels, self.expected, self.alpha, lossless=quality is None)


def encode(
    pixels: U8, preset: Preset, expected: U8 | None, alpha: U8 | None, proof: Proof
) -> tuple[WrittenFile, Finding]:
    """Write the first of the preset's formats that meets the size limit at the best quality, and read it back.

    `pixels` is uint8 HxWx3 RGB or HxWx4 RGBA. `expected` and `alpha` are those of `delivered_lock`, whose finding is
    returned beside the file. A file that changes the product too much gives way to a better quality, and then to the
    next format, as far as the limit allows. When no file meets the limit, it is the smallest one; the check on bytes
    then judges it.
    """
    encoder = _Encoder(pixels, expected, alpha, proof, xmp_of(proof.source_type, proof.origin))
    limit = preset.max_bytes - (MANIFEST_BYTES if proof.signer else 0)
    smallest: tuple[bytes, Format, int | None] | None = None
    failed: tuple[WrittenFile, Finding] | None = None
    for kind in preset.formats:
        if pixels.shape[2] == 4 and kind == "jpeg":
            continue
        for quality in _qualities(kind):
            data = encoder.write(kind, quality)
            if smallest is None or len(data) < len(smallest[0]):
                smallest = data, kind, quality
            if len(data) > limit:
                continue
            for better in (quality, *(BETTER[kind] if quality == QUALITIES[0] else ())):
                again = data if better == quality else encoder.write(kind, better)
                if len(again) > limit:
                    break
                file, lock = encoder.finish(again, kind, better)
                if lock.level != "failed":
                    return file, lock
                failed = failed or (file, lock)
            break  # a lower quality keeps less
    if failed is not None:
        return failed
    if smallest is None:
        raise RuntimeError(f"preset {preset.name} has no format for a picture with transparency")
    return encoder.finish(*smallest)


def _qualities(kind: Format) -> Iterator[int | None]:
    if kind == "png":
        yield None
    else:
        yield from QUALITIES
