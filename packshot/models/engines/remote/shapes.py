"""The published forms of a vendor's call that edits a picture: what is sent, and where its answer has the picture.

`openai_images` is the multipart form of `POST /v1/images/edits`, which several servers speak. `imagen` is the JSON of
Vertex AI's `:predict` for editing models.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import httpx
import numpy as np

from packshot.imaging.codec import encode_png
from packshot.models.packs.endpoint import Endpoint, ShapeName
from packshot.types import U8

__all__ = ["SHAPES", "Call", "Edit", "NoPicture", "Shape", "json_of"]

Json = Mapping[str, object]


@dataclass(frozen=True)
class Edit:
    """What is to be painted. `picture` is uint8 HxWx3 RGB, and `repaint` uint8 HxW, 255 = paint here."""

    picture: U8
    repaint: U8
    prompt: str


@dataclass(frozen=True)
class Call:
    """The body of a call and its media type."""

    body: bytes
    content_type: str


class NoPicture(Exception):
    """Raised for an answer without a picture. `refused` says that the vendor's filter held it back."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refused = refused


class Shape(Protocol):
    """One published form."""

    def call(self, endpoint: Endpoint, edit: Edit) -> Call:
        """The call for one picture."""
        ...

    def picture(self, answer: Json) -> bytes:
        """The file of the picture in a 2xx answer. Raises NoPicture."""
        ...

    def refuses(self, answer: Json) -> bool:
        """Whether an error's answer says that the vendor refuses the words or the picture, and always will."""
        ...

    def message(self, answer: Json) -> str:
        """The vendor's words of an error; "" without any."""
        ...


class OpenAiImages:
    """A multipart form; the mask is a PNG that is transparent where the picture is painted anew."""

    _REFUSALS = ("content_policy_violation", "moderation_blocked", "content_filter")

    def call(self, endpoint: Endpoint, edit: Edit) -> Call:
        height, width = edit.repaint.shape
        rgba = np.dstack([edit.picture, 255 - edit.repaint])
        fields = {"model": endpoint.model, "prompt": edit.prompt, "n": "1", "size": f"{width}x{height}"}
        fields |= {name: _text(value) for name, value in endpoint.fields.items()}
        files = {
            "image": ("image.png", encode_png(edit.picture), "image/png"),
            "mask": ("mask.png", encode_png(rgba), "image/png"),
        }
        form = httpx.Request("POST", endpoint.url, data=fields, files=files)
        return Call(form.read(), form.headers["content-type"])

    def picture(self, answer: Json) -> bytes:
        found = _first(answer, "data")
        return _decoded(found.get("b64_json"), "data[0].b64_json")

    def refuses(self, answer: Json) -> bool:
        error = answer.get("error")
        return isinstance(error, dict) and any(error.get(key) in self._REFUSALS for key in ("code", "type"))

    def message(self, answer: Json) -> str:
        return _message(answer)


class Imagen:
    """JSON with the picture and the mask as reference images; the mask is white where the picture is painted anew."""

    def call(self, endpoint: Endpoint, edit: Edit) -> Call:
        references = [
            {
                "referenceType": "REFERENCE_TYPE_RAW",
                "referenceId": 1,
                "referenceImage": {"bytesBase64Encoded": _encoded(edit.picture)},
            },
            {
                "referenceType": "REFERENCE_TYPE_MASK",
                "referenceId": 2,
                "referenceImage": {"bytesBase64Encoded": _encoded(edit.repaint)},
                "maskImageConfig": {"maskMode": "MASK_MODE_USER_PROVIDED", "dilation": 0.0},
            },
        ]
        parameters = {"sampleCount": 1, "editMode": "EDIT_MODE_BGSWAP", "includeRaiReason": True, **endpoint.fields}
        content = {"instances": [{"prompt": edit.prompt, "referenceImages": references}], "parameters": parameters}
        return Call(json.dumps(content).encode(), "application/json")

    def picture(self, answer: Json) -> bytes:
        if not answer.get("predictions"):  # a picture that the filter holds back is left out
            raise NoPicture("predictions has no picture, which the vendor's filter holds back", refused=True)
        found = _first(answer, "predictions")
        if reason := found.get("raiFilteredReason"):
            raise NoPicture(str(reason), refused=True)
        return _decoded(found.get("bytesBase64Encoded"), "predictions[0].bytesBase64Encoded")

    def refuses(self, answer: Json) -> bool:
        words = _message(answer).lower()
        return "responsible ai" in words or "safety" in words or "usage guidelines" in words

    def message(self, answer: Json) -> str:
        return _message(answer)


SHAPES: Mapping[ShapeName, Shape] = {"openai_images": OpenAiImages(), "imagen": Imagen()}


def json_of(body: bytes) -> Json | None:
    """The JSON object in a body, or None when it is something else, such as a page of a proxy."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _first(answer: Json, name: str) -> Json:
    listed = answer.get(name)
    found = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(found, dict):
        raise NoPicture(f"{name} must be a list with an object, got {str(listed)[:60]!r}")
    return found


def _decoded(value: object, name: str) -> bytes:
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise NoPicture(f"{name} must be a picture in base64, got {str(value)[:20]!r}")
    return data


def _encoded(pixels: U8) -> str:
    return base64.b64encode(encode_png(pixels)).decode("ascii")


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _message(answer: Json) -> str:
    error = answer.get("error")
    found = error.get("message") if isinstance(error, dict) else error
    return found if isinstance(found, str) else ""
