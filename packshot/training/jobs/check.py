"""What of a training can be refused before it is stored. It loads a tokenizer and no network."""

from __future__ import annotations

from packshot.models.packs.pack import Pack
from packshot.training.spec import check_tag, require_trainable

__all__ = ["check_training"]


def check_training(pack: Pack, tag: str) -> None:
    """Check that a pack can be trained, and that it does not know the tag.

    Where the pack's tokenizer is not on this machine, the training's own process checks the tag. Raises BadInput
    `engine_cannot` and `tag_refused`.
    """
    require_trainable(pack)
    if tag and not pack.missing("tokenizer"):
        check_tag(tag, pack.tokenizer())
