"""Deliveries: the request for channels' files of one picture, and the answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from packshot.contract.answers import FindingAnswer
from packshot.contract.base import Answer, Moment
from packshot.contract.light import ShadowKind
from packshot.contract.requests import Request
from packshot.contract.status import Status

MAX_DELIVERIES = 16
"""Entries of one request."""


class DeliverIn(Request):
    """One file to make of the picture."""

    preset: str = Field(min_length=1, max_length=80, description="A name of `GET /v1/presets`.")
    name: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Template of the name, such as `{sku}-{n:02}.{ext}`; null is `{image_id}-{preset}.{ext}`.",
    )
    shadow: ShadowKind | None = Field(
        None,
        description="contact, none, cast or floating, for a picture on a plain background; null keeps the picture's.",
    )
    reframe: Literal["paint"] | None = Field(
        None,
        description="paint: where the preset's aspect ratio or safe zone needs a larger frame than a painted scene "
        "has, the engine paints the missing sides. null refuses such a picture.",
    )


class DeliveriesRequest(Request):
    """The files to make of one picture."""

    deliver: list[DeliverIn] = Field(
        min_length=1, max_length=MAX_DELIVERIES, description=f"1 to {MAX_DELIVERIES} files."
    )


class DeliveryAnswer(Answer):
    """A stored file of a channel. It is made once, and served again byte for byte."""

    id: str
    image_id: str = Field(description="The picture that it was made of.")
    preset: str = Field(description="The preset that it meets.")
    name: str = Field(description="The file's name.")
    url: str = Field(description="Path of the file. It ends in the name, and never has other bytes.")
    media_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    digital_source_type: str | None = Field(None, description="The IPTC digital source type in the file's metadata.")
    changes: tuple[str, ...] = Field(description="What was done to the picture for the channel.")
    findings: tuple[FindingAnswer, ...] = Field(description="One result or more for each rule of the preset.")
    warning: str | None = Field(None, description="Set when the preset's rules have expired.")
    created_at: Moment


class PaintingAnswer(Answer):
    """The painting of the sides that an entry needs. Repeat the request when its shot has ended."""

    entry: int = Field(description="The number of the entry in `deliver`, from 0.")
    preset: str
    shot_id: str = Field(description="The touch-up that paints; its picture is one of its own, in review.")
    status: Status
    url: str = Field(description="Path of the shot.")
    events_url: str = Field(description="Path of the shot's event stream.")


def none(found: tuple[object, ...]) -> bool:
    """Whether a list is empty, and is left out of an answer."""
    return not found


class DeliveriesAnswer(Answer):
    """The files of one picture, in the order of the request."""

    deliveries: tuple[DeliveryAnswer, ...]
    painting: tuple[PaintingAnswer, ...] = Field(
        (), exclude_if=none, description="The entries whose sides are being painted; absent if there are none."
    )


DELIVERY_BODIES: tuple[type[Request], ...] = (DeliveriesRequest,)
