"""A manifest as a request sends it: JSON, YAML, a CSV sheet, or a form that also has a look or the photos at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from fastapi import Request
from pydantic import Field, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile

from packshot.api.limits import json_bytes
from packshot.catalogue.manifest import Frame, MediaType, frame_of, read_frame_bytes
from packshot.catalogue.small_photos import Size
from packshot.errors import BadInput, UnsupportedMedia
from packshot.store.catalogue_photos import clean_path

__all__ = ["MAX_MANIFEST_BYTES", "AskedLook", "SentManifest", "sent_manifest"]

MAX_MANIFEST_BYTES = 32 * 1024 * 1024

_TYPES: dict[str, MediaType] = {
    "application/json": "application/json",
    "application/yaml": "application/yaml",
    "application/x-yaml": "application/yaml",
    "text/yaml": "application/yaml",
    "text/csv": "text/csv",
}
_FORMS = (
    {"sheet", "look"},
    {"sheet", "look", "photos"},
    {"sheet", "photos"},
    {"manifest", "photos"},
)
_FORM_RULE = "the parts `sheet` and `look`, or `photos` with a `sheet` or a `manifest`"
_Side = Annotated[int, Field(gt=0, le=1_000_000)]
_PHOTOS = TypeAdapter(dict[str, tuple[_Side, _Side] | None])


@dataclass(frozen=True)
class SentManifest:
    """A manifest as it was sent. `frame` is everything but the rows, for a sheet.

    `photos` are the files that the client has, by their clean paths, with the sizes in pixels of those that it could
    read; None = it said nothing of them.
    """

    data: bytes
    media_type: MediaType
    frame: Frame
    photos: Mapping[str, Size | None] | None = None

    def has(self, place: str) -> bool:
        """Whether the client has a file at a path."""
        return clean_path(place) in (self.photos or {})

    def size_of(self, place: str) -> Size | None:
        """The size of the client's photo at a path; None = not known."""
        return (self.photos or {}).get(clean_path(place))


@dataclass(frozen=True)
class AskedLook:
    """What the query of a request says of a sheet's look: a name, scenes, presets, a style's id and adapters."""

    name: str = ""
    scenes: Sequence[str] = ()
    presets: Sequence[str] = ()
    style: str = ""
    adapters: Sequence[str] = ()

    @property
    def any(self) -> bool:
        return bool(self.name or self.scenes or self.presets or self.style or self.adapters)

    def added_to(self, frame: Frame) -> Frame:
        """The frame with what the query says. Raises BadInput as `frame_of`."""
        named = frame | ({"name": self.name} if self.name else {})
        return frame_of(self.scenes, self.presets, self.style, self.adapters, named)


async def sent_manifest(request: Request, asked: AskedLook) -> SentManifest:
    """The manifest in the request's body: JSON, YAML, a CSV sheet, or a form.

    A form has the parts `sheet` and `look`; or `photos`, the files at hand, with a `sheet` or a `manifest`. `asked` is
    the query's, which a sheet without a look needs. Raises UnsupportedMedia for another type, BadInput for parts or
    parameters that do not fit, and TooLarge above MAX_MANIFEST_BYTES.
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent == "multipart/form-data":
        return _of_form(await _parts(request), asked)
    media_type = _TYPES.get(sent)
    if media_type is None:
        rule = f"a manifest must be one of {', '.join(_TYPES)}, or multipart/form-data with {_FORM_RULE}"
        raise UnsupportedMedia("body_type", f"{rule}, got {sent[:60] or 'no type'!r}; send its content-type")
    return _sent(await json_bytes(request, MAX_MANIFEST_BYTES), media_type, asked)


def _sent(
    data: bytes, media_type: MediaType, asked: AskedLook, photos: Mapping[str, Size | None] | None = None
) -> SentManifest:
    if media_type != "text/csv" and asked.any:
        rule = "name, scene, preset, style and adapter are for a CSV sheet, because a manifest has its own"
        raise BadInput("invalid_request", f"{rule}; set them in the manifest")
    return SentManifest(data, media_type, asked.added_to({}), photos)


def _of_form(parts: Mapping[str, _Part], asked: AskedLook) -> SentManifest:
    photos = _photos(parts["photos"].data) if "photos" in parts else None
    if "manifest" in parts:
        return _sent(parts["manifest"].data, parts["manifest"].text_type, asked, photos)
    frame = read_frame_bytes(parts["look"].data, parts["look"].text_type) if "look" in parts else {}
    return SentManifest(parts["sheet"].data, "text/csv", asked.added_to(frame), photos)


class _Part(NamedTuple):
    """A part of a form: its bytes, and the type that the client says it has."""

    data: bytes
    content_type: str

    @property
    def text_type(self) -> MediaType:
        """JSON or YAML, of which JSON is a part. Without a type of them, an object is JSON."""
        stated = _TYPES.get(self.content_type.partition(";")[0].strip().lower())
        if stated in ("application/json", "application/yaml"):
            return stated
        return "application/json" if self.data.lstrip()[:1] == b"{" else "application/yaml"


async def _parts(request: Request) -> dict[str, _Part]:
    async with request.form(max_files=3, max_fields=3, max_part_size=MAX_MANIFEST_BYTES) as form:
        if set(form.keys()) not in _FORMS:
            raise BadInput("invalid_request", f"a form must have {_FORM_RULE}, got {sorted(form.keys())}; send them")
        found = {}
        for name in form:
            part = form[name]
            if isinstance(part, UploadFile):
                found[name] = _Part(await part.read(), part.content_type or "")
            else:
                found[name] = _Part(part.encode(), "")
        return found


def _photos(data: bytes) -> dict[str, Size | None]:
    try:
        given = _PHOTOS.validate_json(data)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        rule = "photos must be a JSON object of paths with [width, height] in pixels, or null"
        raise BadInput("invalid_request", f"{rule}; {'.'.join(map(str, found['loc']))[:80]}: {found['msg']}") from None
    return {clean_path(path): size for path, size in given.items()}
