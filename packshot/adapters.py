"""Adapters as an engine sees them: a loaded file, and how much a scene takes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from packshot.contract.adapters import AdapterKind

__all__ = ["AdapterAsset", "SceneAdapter"]


@dataclass(frozen=True)
class AdapterAsset:
    """An adapter's file for an engine, and its scale -2..2.

    `asset_key` is the file's. `trigger` is the word of the prompt that an inversion replaces, and a LoRA's activation
    word; it may be empty for a LoRA.
    """

    asset_key: str
    scale: float
    kind: AdapterKind
    trigger: str = ""


@dataclass(frozen=True)
class SceneAdapter:
    """A loaded adapter of a scene. `loaded` is what the engine's `load_adapter` returned, and `asset` its file."""

    loaded: Any
    asset: AdapterAsset
