"""The bodies and answers of projects and styles."""

from __future__ import annotations

from pydantic import Field

from packshot.contract.base import Answer, Moment, absent
from packshot.contract.light import ShadowKind
from packshot.contract.requests import Request

MAX_NAME_CHARS = 120


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
    image_id: str | None = Field(
        None, min_length=1, max_length=64, description="A finished picture, of which a small copy is the thumbnail."
    )


class StyleChange(Request):
    """New values of a style's fields. A missing field keeps its value."""

    name: str | None = Field(None, min_length=1, max_length=MAX_NAME_CHARS, description="The new name.")
    prompt: str | None = Field(None, description="The new prompt.")
    negative_prompt: str | None = Field(None, description="The new negative prompt.")
    shadow: ShadowKind | None = Field(
        None, description="contact, none, cast or floating; a null that is sent leaves it to the shot."
    )
    image_id: str | None = Field(
        None, min_length=1, max_length=64, description="A finished picture, of which a small copy is the new thumbnail."
    )


class StyleAnswer(Answer):
    """A style: a scene that a tenant uses again."""

    id: str
    name: str
    prompt: str
    negative_prompt: str
    shadow: ShadowKind | None = Field(description="The shadow that belongs to it; null = as the shot says.")
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
