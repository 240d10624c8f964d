"""The bodies and answers of projects and styles."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from packshot.contract.adapters import MAX_ADAPTERS, AdapterIn, AdapterUseAnswer, each_adapter_once
from packshot.contract.base import Answer, Moment, absent
from packshot.contract.light import ShadowKind
from packshot.contract.request_base import Colour, Request
from packshot.contract.shot_style import LightAnswer, LightIn, ReferenceAnswer, ReferenceIn, each_once
from packshot.contract.style import MAX_PALETTE, MAX_REFERENCES

MAX_NAME_CHARS = 120
MAX_FORBIDDEN_WORDS = 100

ForbiddenWord = Annotated[str, Field(min_length=1, max_length=60)]


class ProjectRequest(Request):
    """A project to create, or its new name."""

    name: str = Field(
        min_length=1, max_length=MAX_NAME_CHARS, description="1 to 120 characters; no two projects share one."
    )


class ProjectAnswer(Answer):
    """A project: a name under which photos and shots are kept together."""

    id: str
    name: str
    url: str = Field(description="Path of the project.")
    created_at: Moment


class ProjectPage(Answer):
    """A page of projects, newest first."""

    projects: tuple[ProjectAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


class StyleRequest(Request):
    """A style to create."""

    name: str = Field(
        min_length=1, max_length=MAX_NAME_CHARS, description="1 to 120 characters; no two styles share one."
    )
    prompt: str = Field("", description="Description of the scene; the limits of a shot's prompt.")
    negative_prompt: str = Field("", description="Description of what the scene should not contain; same limits.")
    shadow: ShadowKind | None = Field(
        None, description="contact, none, cast or floating; null leaves the shadow to the shot."
    )
    forbidden_words: list[ForbiddenWord] = Field(
        default_factory=list,
        max_length=MAX_FORBIDDEN_WORDS,
        description="Words that no prompt of a shot in this style may hold, up to 100 of 1 to 60 characters.",
    )
    palette: list[Colour] = Field(
        default_factory=list,
        max_length=MAX_PALETTE,
        description="Up to 8 colours #rrggbb; empty = those that are found in the references.",
    )
    references: list[ReferenceIn] = Field(
        default_factory=list, max_length=MAX_REFERENCES, description="Up to 8 pictures whose style it is."
    )
    light: LightIn | None = Field(
        None, description="Where its light comes from; null = as the references show it, if they do."
    )
    adapters: list[AdapterIn] = Field(
        default_factory=list,
        max_length=MAX_ADAPTERS,
        description="Up to 4 LoRAs and textual inversions that its shots get.",
    )
    image_id: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="A finished picture, of which a small copy is the thumbnail; null = the first reference.",
    )

    _once_each = field_validator("references")(each_once)
    _adapters_once = field_validator("adapters")(each_adapter_once)


class StyleChange(Request):
    """New values of a style's fields. A missing field keeps its value."""

    name: str | None = Field(None, min_length=1, max_length=MAX_NAME_CHARS, description="The new name.")
    prompt: str | None = Field(None, description="The new prompt.")
    negative_prompt: str | None = Field(None, description="The new negative prompt.")
    shadow: ShadowKind | None = Field(
        None, description="contact, none, cast or floating; a null that is sent leaves it to the shot."
    )
    forbidden_words: list[ForbiddenWord] | None = Field(
        None, max_length=MAX_FORBIDDEN_WORDS, description="The new forbidden words."
    )
    palette: list[Colour] | None = Field(None, max_length=MAX_PALETTE, description="The new palette.")
    references: list[ReferenceIn] | None = Field(
        None, max_length=MAX_REFERENCES, description="The new references, instead of all that it had."
    )
    light: LightIn | None = Field(
        None, description="Where its light comes from; a null that is sent = as the references show it."
    )
    adapters: list[AdapterIn] | None = Field(
        None, max_length=MAX_ADAPTERS, description="The new adapters, instead of all that it had."
    )
    image_id: str | None = Field(
        None, min_length=1, max_length=64, description="A finished picture, of which a small copy is the new thumbnail."
    )

    _once_each = field_validator("references")(each_once)
    _adapters_once = field_validator("adapters")(each_adapter_once)


class StyleAnswer(Answer):
    """A style: a scene that a tenant uses again."""

    id: str
    name: str
    prompt: str
    negative_prompt: str
    shadow: ShadowKind | None = Field(description="The shadow that belongs to it; null = as the shot says.")
    forbidden_words: tuple[str, ...] = Field((), description="Words that no prompt of its shots may hold.")
    palette: tuple[str, ...] = Field((), description="Its colours; empty = those that are found in the references.")
    references: tuple[ReferenceAnswer, ...] = Field((), description="The pictures whose style it is.")
    light: LightAnswer | None = Field(
        None, description="Where its light comes from; null = as the references show it, if they do."
    )
    adapters: tuple[AdapterUseAnswer, ...] | None = Field(
        None, exclude_if=absent, description="What its shots get of adapters; absent if it has none."
    )
    url: str = Field(description="Path of the style.")
    thumbnail_url: str | None = Field(
        None, exclude_if=absent, description="Path of its thumbnail; absent if it has none."
    )
    created_at: Moment


class StylePage(Answer):
    """A page of styles, newest first."""

    styles: tuple[StyleAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


PROJECT_BODIES: tuple[type[Request], ...] = (ProjectRequest, StyleRequest, StyleChange)
"""The request bodies of this module, for the OpenAPI document."""
