"""Where the previews of a running shot are kept. They are temporary: retention deletes them after an hour."""

from __future__ import annotations


def preview_key(shot_id: str, image: int) -> str:
    """The asset key of the preview of a shot's picture number `image`, from 0."""
    return f"previews/{shot_id}.png" if image == 0 else f"previews/{shot_id}-{image}.png"
