"""A catalogue on this machine: a manifest file, a sheet, or a folder with one of them or with photos alone."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packshot.catalogue.at_hand import missing_files
from packshot.catalogue.manifest import MediaType, Read, read_frame_bytes, read_manifest
from packshot.catalogue.places import Allowed
from packshot.errors import BadInput
from packshot.imaging.decoding.formats import FORMATS

MEDIA_TYPES: Mapping[str, MediaType] = {
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".json": "application/json",
    ".csv": "text/csv",
}
MANIFEST_NAMES = ("catalogue.yaml", "catalogue.yml", "catalogue.json", "catalogue.csv")
MAX_MANIFEST_BYTES = 32 * 1024 * 1024
_PHOTOS = frozenset(f".{suffix}" for form in FORMATS.values() for suffix in form.suffixes)


@dataclass(frozen=True)
class LocalCatalogue:
    """A manifest that was read, and the folder in which its paths begin.

    `data` are its bytes with their `media_type`, and `frame` is everything but the items, for a sheet.
    """

    folder: Path
    read: Read
    data: bytes
    media_type: MediaType
    frame: Mapping[str, Any]

    def has(self, place: str) -> bool:
        """Whether there is a file at a path of the manifest."""
        return (self.folder / posixpath.normpath(place)).is_file()

    def files_at_hand(self) -> dict[str, None]:
        """The paths that rows name and that lead to a file."""
        found: dict[str, None] = {}

        def has(place: str) -> bool:
            if there := self.has(place):
                found[place] = None
            return there

        for _ in missing_files(self.read, has):
            pass  # `read` has their problems
        return found


def read_local(path: Path, frame: Mapping[str, Any], allowed: Allowed | None = None) -> LocalCatalogue:
    """Read the catalogue at `path`: a manifest, a sheet, or a folder.

    A folder without a manifest or a sheet is a catalogue of its photos, each named by its file. `frame` has everything
    but the items, for a sheet and for photos; a manifest has its own. `allowed` has the prefixes of URLs; None leaves
    them to the server. Paths that lead to no file are problems. Raises BadInput when there is no catalogue at `path`.
    """
    if path.is_dir():
        found = [path / name for name in MANIFEST_NAMES if (path / name).is_file()]
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise BadInput("bad_usage", f"a folder must hold one manifest, got {names}; name the file instead")
        if not found:
            return _of_photos(path, frame)
        path = found[0]
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None or not path.is_file():
        known = ", ".join(MEDIA_TYPES)
        raise BadInput("bad_usage", f"MANIFEST must be a folder or a file ({known}), got {str(path)!r}; check the path")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        rule = f"a manifest may have at most {MAX_MANIFEST_BYTES >> 20} MiB"
        raise BadInput("manifest_unreadable", f"{rule}, got {path.stat().st_size >> 20}; split it")
    if frame and media_type != "text/csv":
        given = ", ".join(sorted(frame))
        raise BadInput("bad_usage", f"{path.name} has its own {given}; change them there, or use a CSV sheet")
    data, framed = path.read_bytes(), {"name": path.stem, **frame}
    read = read_manifest(data, media_type, frame=framed, allowed=allowed)
    local = LocalCatalogue(path.parent, read, data, media_type, framed)
    problems = [*read.problems, *missing_files(read, local.has)]
    return replace(local, read=replace(read, problems=sorted(problems, key=lambda one: one.row or 0)))


def read_frame(path: Path) -> dict[str, Any]:
    """The manifest at `path`, YAML or JSON, without items. Raises BadInput when it has items or cannot be read."""
    media_type = MEDIA_TYPES.get(path.suffix.lower(), "text/csv")
    if media_type == "text/csv" or not path.is_file():
        raise BadInput("bad_usage", f"--look must be a YAML or JSON file, got {str(path)!r}; check the path")
    return read_frame_bytes(path.read_bytes(), media_type)


def _of_photos(folder: Path, frame: Mapping[str, Any]) -> LocalCatalogue:
    inside = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.suffix.lower() in _PHOTOS)
    shown = [file for file in inside if not any(part.startswith(".") for part in file.parts)]
    if not shown:
        raise BadInput("bad_usage", f"a folder must hold a manifest or photos, got {str(folder)!r}; check the path")
    lines = ["sku,photo", *(f'"{_sku_of(file)}","{_quoted(file.as_posix())}"' for file in shown)]
    text = "\n".join(lines).encode()
    framed = {"name": folder.resolve().name, **frame}
    return LocalCatalogue(folder, read_manifest(text, "text/csv", frame=framed), text, "text/csv", framed)


def _sku_of(file: Path) -> str:
    return _quoted("-".join(file.with_suffix("").parts))


def _quoted(text: str) -> str:
    return text.replace('"', '""')
