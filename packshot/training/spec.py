"""What a training is asked to do, and the steps that follow from it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from packshot.errors import BadInput
from packshot.models.engines.word_tokenizer import ClipTokenizer, Tokenizer, WordTokenizer

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

__all__ = ["KINDS", "LEARNING_RATES", "TAG", "Kind", "Schedule", "TrainingSpec", "check_tag", "require_trainable"]

Kind = Literal["lora", "dreambooth", "inversion", "finetune", "controlnet"]
KINDS: tuple[Kind, ...] = ("lora", "dreambooth", "inversion", "finetune", "controlnet")
LEARNING_RATES: dict[Kind, float] = {
    "lora": 1e-4,
    "dreambooth": 1e-4,
    "inversion": 5e-3,
    "finetune": 1e-5,
    "controlnet": 1e-5,
}
"""The published recipes' rates. A pack as small as the embedded one learns with larger ones."""
SMALL_PACK_FACTOR = 10.0
"""How much larger, measured for a LoRA on the embedded pack (docs/measurements.md, 2026-11-27)."""
COMMON_TOKENS = 40_000
"""Ids of CLIP's vocabulary below this are words in common use; those above are rare, such as `sks`."""
TAG = re.compile(r"[a-z][a-z0-9]{1,31}")
"""An activation tag."""


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """A training of one kind for one pack. `pictures` is the folder of the dataset.

    `tag` is the word by which prompts ask for what was learned, "" = none. The dataset is read `repeats` times in each
    of `epochs` epochs. `batch` is the number of samples of a step over all workers. `rank` is a LoRA's; `convolutions`:
    it is in the convolutions too; `text_encoder`: in the text encoders too. `full` trains the UNet whole, for
    dreambooth. `class_words` name what kind of thing DreamBooth's product is, and `prior` is the number of pictures of
    that kind that the untrained pack paints. `vectors` and `init_words` are an inversion's. `held_out` are prompts that
    are painted after each `check_every` epochs. `size_px` 0 = the pack's native size. `min_snr` is the gamma of
    min-SNR weights, 0 = none. `licence` (SPDX) is written into the file.
    """

    kind: Kind
    name: str
    pack: str
    pictures: Path
    tag: str = ""
    repeats: int = 1
    epochs: int = 10
    batch: int = 2
    rank: int = 8
    convolutions: bool = True
    text_encoder: bool = False
    full: bool = False
    class_words: str = ""
    prior: int = 0
    prior_weight: float = 1.0
    vectors: int = 1
    init_words: str = ""
    held_out: tuple[str, ...] = ()
    check_every: int = 1
    size_px: int = 0
    min_snr: float = 0.0
    checkpointing: bool = False
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    eight_bit: bool = False
    licence: str = "LicenseRef-unknown"

    def __post_init__(self) -> None:
        rules = (
            (re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", self.name), "name", "1 to 64 of a-z, 0-9, - and _", self.name),
            (1 <= self.rank <= 128, "rank", "1 to 128", self.rank),
            (1 <= self.repeats <= 1000, "repeats", "1 to 1000", self.repeats),
            (1 <= self.epochs <= 1000, "epochs", "1 to 1000", self.epochs),
            (1 <= self.batch <= 1024, "batch", "1 to 1024", self.batch),
            (1 <= self.vectors <= 16, "vectors", "1 to 16", self.vectors),
            (0 <= self.prior <= 10_000, "prior", "0 to 10000", self.prior),
            (self.size_px % 8 == 0 and 0 <= self.size_px <= 2048, "size", "0 or 8 to 2048, in eights", self.size_px),
        )
        for holds, option, range_, value in rules:
            if not holds:
                raise BadInput("bad_usage", f"--{option} must be {range_}, got {value!r}")
        if self.tag and not TAG.fullmatch(self.tag):
            rule = "an activation tag must be one word of 2 to 32 of a-z and 0-9 that begins with a letter"
            raise BadInput("bad_usage", f"{rule}, got {self.tag!r}; use for example 'acmelook7'")
        if self.kind in ("dreambooth", "inversion") and not self.tag:
            raise BadInput("bad_usage", f"{self.kind} needs --tag, the word that will mean your product; give one")
        if self.kind == "dreambooth" and not self.class_words:
            raise BadInput("bad_usage", "dreambooth needs --class-words, what kind of thing it is; for example 'mug'")

    @property
    def whole_network(self) -> bool:
        """Whether a whole network is trained, so that the result is a pack and not an adapter."""
        return self.kind in ("finetune", "controlnet") or self.full


class Schedule(NamedTuple):
    """The steps of a training, counted as the published recipe counts: 65 pictures x 6 repeats / batch 2 = 195 an
    epoch, x 10 epochs = 1,950."""

    pictures: int
    repeats: int
    batch: int
    epochs: int
    seed: int = 0

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.pictures * self.repeats / self.batch)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    def pictures_of(self, step: int) -> list[int]:
        """The pictures of a step's whole batch, of all workers. Each epoch has an order of its own.

        A function of the step alone, so that a resumed training and one with more workers see the same pictures.
        """
        epoch, within = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.pictures * self.repeats)
        places = np.arange(within * self.batch, (within + 1) * self.batch) % len(order)
        return [int(index) % self.pictures for index in order[places]]


def check_tag(tag: str, tokenizer: Tokenizer) -> None:
    """Raise BadInput (tag_refused) when the tag is a word that the pack knows: training would change what it means."""
    known = False
    if isinstance(tokenizer, WordTokenizer):
        known = not tokenizer.blank(tag) or not tokenizer.unknown(tag)
    elif isinstance(tokenizer, ClipTokenizer):
        ids = [int(one) for one in tokenizer([tag])[0]]
        known = ids[2] == ids[-1] and ids[1] < COMMON_TOKENS and tokenizer.vocab_size > COMMON_TOKENS
    if tag and known:
        rule = "an activation tag must be no word of the pack's vocabulary, because training would change what it means"
        raise BadInput("tag_refused", f"{rule}; got {tag!r}, use a made-up word such as '{tag}7q'")


def require_trainable(pack: Pack) -> None:
    """Raise BadInput (engine_cannot) for a pack without a UNet, and PackRefused when its parts do not fit together."""
    if pack.manifest.recipe != "unet_controlnet":
        rule = "a training needs a pack with a UNet (mini, sd15, sd2, sdxl or one of their kind)"
        raise BadInput("engine_cannot", f"{rule}; {pack.name!r} has the recipe {pack.manifest.recipe}")
    pack.check()
