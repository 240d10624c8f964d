"""Trainings: a LoRA, a product (DreamBooth) or a word (inversion) that is learned from a tenant's own pictures."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pydantic import Field

from packshot.contract.answers import ErrorAnswer
from packshot.contract.base import Answer, Moment, Number, absent
from packshot.contract.request_base import Request
from packshot.contract.status import Status

__all__ = [
    "COUNTS",
    "LEAST_PICTURES",
    "MAX_PICTURES",
    "MAX_SAMPLES",
    "MAX_STEPS",
    "TRAINING_BODIES",
    "Counts",
    "TrainingAnswer",
    "TrainingKind",
    "TrainingPage",
    "TrainingPlan",
    "TrainingRequest",
]

TrainingKind = Literal["lora", "dreambooth", "inversion"]

MAX_PICTURES = 1_000
"""The most pictures of a training over the API. `packshot train` takes up to 10,000 from a folder."""
MAX_STEPS = 20_000
"""The most steps. The published fine-tuning fell apart at 15,000 to 20,000."""
MAX_SAMPLES = 4
"""The most prompts that are painted while a training runs."""
MAX_CAPTION_CHARS = 2_000

LEAST_PICTURES: dict[TrainingKind, int] = {"lora": 4, "dreambooth": 3, "inversion": 3}
"""With fewer pictures, a training learns the pictures themselves."""


class Counts(NamedTuple):
    """How a kind counts its steps when the request does not say: pictures x repeats / batch an epoch."""

    repeats: int
    epochs: int
    batch: int

    def steps_per_epoch(self, pictures: int) -> int:
        """The steps of one epoch over so many pictures."""
        return math.ceil(pictures * self.repeats / self.batch)


COUNTS: dict[TrainingKind, Counts] = {
    "lora": Counts(6, 10, 2),
    "dreambooth": Counts(100, 4, 1),
    "inversion": Counts(100, 5, 2),
}
"""The published recipes."""


class TrainingRequest(Request):
    """A training to run. Its pictures come from one of `catalogue_id`, `project_id`, or the two lists of ids."""

    name: str = Field(description="The name of the adapter that it makes, 1 to 120 characters.")
    kind: TrainingKind = Field("lora", description="lora learns a look, dreambooth a product, inversion a word.")
    tag: str = Field(
        "",
        max_length=32,
        description="The made-up word by which prompts ask for it: 2 to 32 of a-z and 0-9, a letter first. "
        "dreambooth and inversion need one. A word that the engine knows is refused.",
    )
    engine: str = Field("", max_length=200, description="The engine that is trained; empty = the first that can.")
    catalogue_id: str = Field("", max_length=64, description="Train on this catalogue's approved pictures.")
    project_id: str = Field("", max_length=64, description="Train on this project's approved pictures.")
    image_ids: list[str] = Field(
        [], max_length=MAX_PICTURES, description="Train on these pictures; a person must have approved each."
    )
    photo_ids: list[str] = Field([], max_length=MAX_PICTURES, description="Train on these uploaded photos.")
    captions: dict[str, str] = Field(
        {},
        max_length=MAX_PICTURES,
        description="Captions by the id of a picture or photo, up to 2,000 characters. A picture without one has its "
        "prompt; a photo without one is captioned by the engine's captioner.",
    )
    class_words: str = Field("", max_length=80, description="What kind of thing a dreambooth's product is, as 'mug'.")
    init_words: str = Field("", max_length=80, description="Words from whose meaning an inversion starts.")
    vectors: int = Field(1, ge=1, le=16, description="Vectors of an inversion.")
    prior: int = Field(
        0, ge=0, le=200, description="Pictures of its kind that the untrained engine paints for a dreambooth."
    )
    rank: int = Field(8, ge=1, le=128, description="Rank of a LoRA.")
    text_encoder: bool = Field(False, description="Train the text encoders of a LoRA too.")
    repeats: int | None = Field(
        None, ge=1, le=1000, description="How often an epoch reads each picture; null = 6, or 100 for a product."
    )
    epochs: int | None = Field(None, ge=1, le=100, description="Epochs; null = lora 10, dreambooth 4, inversion 5.")
    batch: int | None = Field(None, ge=1, le=16, description="Pictures of a step; null = 2, for dreambooth 1.")
    learning_rate: float | None = Field(
        None, gt=0, le=0.1, description="Peak learning rate; null = the kind's published one."
    )
    samples: list[str] = Field(
        [], max_length=MAX_SAMPLES, description="Up to 4 prompts that are painted before, while and after it learns."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the training.")
    max_seconds: float | None = Field(
        None, gt=0, description="It ends after so many seconds of its device; null = the tenant's budget alone."
    )
    licence: str = Field("", max_length=200, description="The adapter's licence, such as an SPDX name.")

    @property
    def counts(self) -> Counts:
        """Repeats, epochs and batch, with the kind's own where the request has none."""
        own = COUNTS[self.kind]
        return Counts(self.repeats or own.repeats, self.epochs or own.epochs, self.batch or own.batch)


class TrainingPlan(Answer):
    """What a training does. Its steps: pictures x repeats / batch an epoch, rounded up, x epochs."""

    pictures: int
    repeats: int
    epochs: int
    batch: int
    rank: int = Field(description="Rank of a LoRA, or the number of an inversion's vectors.")
    seed: int
    samples: tuple[str, ...] = ()
    max_seconds: Number | None = Field(None, exclude_if=absent)


class TrainingAnswer(Answer):
    """A training: where it is, and what it has made."""

    id: str
    name: str
    kind: TrainingKind
    engine: str
    tag: str = Field(description="The word of prompts for it; empty = none.")
    status: Status
    cancelling: bool = Field(False, description="It was cancelled, and ends after the step that runs.")
    step: int
    steps: int
    loss: Number | None = Field(None, description="The mean loss of the last steps; null before the first.")
    device_s: Number = Field(description="Seconds of its device so far. They count for the tenant's budgets.")
    plan: TrainingPlan
    ended: str | None = Field(
        None, exclude_if=absent, description="Why it ended before its last step; absent = it did not."
    )
    adapter_id: str | None = Field(
        None, exclude_if=absent, description="The adapter that it made, at /v1/adapters/{adapter_id}."
    )
    partial: bool = Field(False, description="The adapter has fewer steps than were planned. It can be used.")
    sheet_url: str | None = Field(
        None, exclude_if=absent, description="Path of a PNG: the samples before and after epochs; absent = none yet."
    )
    loss_url: str | None = Field(
        None, exclude_if=absent, description="Path of a PNG: the loss and the errors so far; absent = none yet."
    )
    error: ErrorAnswer | None = Field(None, description="Why it failed; null unless it did.")
    url: str = Field(description="Path of the training.")
    created_at: Moment
    started_at: Moment | None = None
    finished_at: Moment | None = None


class TrainingPage(Answer):
    """A page of trainings, newest first."""

    trainings: tuple[TrainingAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


TRAINING_BODIES: tuple[type[Request], ...] = (TrainingRequest,)
