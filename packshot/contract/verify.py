"""Questions about a file: was it made here, by which shot, and what was done to it since?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from packshot.contract.answers import NoteAnswer
from packshot.contract.base import Answer, absent
from packshot.contract.recipe_answers import RecipeAnswer
from packshot.contract.requests import Request

Match = Literal["exact", "c2pa", "watermark", "fingerprint", "none"]


class VerifyRequest(Request):
    """A file in question, as multipart/form-data."""

    file: bytes = Field(description="A JPEG, PNG, WebP, AVIF, HEIC, TIFF or still GIF image of at most 32 MiB.")


class C2paAnswer(Answer):
    """What the file's C2PA manifest says (https://c2pa.org), whoever made it."""

    present: bool = Field(description="Whether the file has a manifest.")
    valid: bool = Field(description="Whether its signature holds, and the file was not changed since.")
    signer: str | None = Field(description="The organisation that its certificate names; null without one.")
    trusted: bool = Field(description="Whether this server knows the signer's certificate: it is its own.")


class VerifyAnswer(Answer):
    """Where a file comes from. Only the owner of the picture gets its ids and its recipe."""

    ours: bool = Field(description="Whether this server made the picture that the file shows.")
    match: Match = Field(
        description="By what it was recognised: exact (these very bytes), c2pa (a valid manifest of this server), "
        "watermark (in the scene), fingerprint (the pixels look alike), or none."
    )
    image_id: str | None = Field(None, exclude_if=absent, description="The picture; absent for others than the owner.")
    shot_id: str | None = Field(None, exclude_if=absent, description="Its shot; absent for others than the owner.")
    recipe: RecipeAnswer | None = Field(
        None, exclude_if=absent, description="How it was made; absent for others than the owner."
    )
    changed_since: tuple[NoteAnswer, ...] | None = Field(
        None,
        exclude_if=absent,
        description="What was done to the file since: encoded, resized, cropped, mirrored, edited, framed, "
        "signature_removed, signature_expired, signature_broken. Empty = nothing; absent without a match.",
    )
    c2pa: C2paAnswer


VERIFY_BODIES: tuple[type[Request], ...] = (VerifyRequest,)
