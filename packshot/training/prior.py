"""Pictures that the untrained pack paints: DreamBooth's prior, and those whose error says what is forgotten."""

from __future__ import annotations

import time
from pathlib import Path

from packshot.imaging.codec import encode_png, read_png
from packshot.training.dataset import Picture, square
from packshot.training.latents import Latents
from packshot.training.networks import Networks
from packshot.training.progress import named_disk_errors
from packshot.training.samples import Scene, paint
from packshot.training.spec import TrainingSpec

__all__ = ["prior_pictures"]

KEPT = 4
"""The number of pictures by whose error the checks see what the pack forgets."""
AT_ONCE = 4
WAIT_S, PATIENCE_S = 0.5, 1800.0


def prior_pictures(
    networks: Networks, spec: TrainingSpec, out: Path, size_px: int, *, leads: bool
) -> tuple[Latents | None, Latents | None]:
    """The prior pictures of DreamBooth, None without; and those that the checks watch, None without held-out prompts.

    They are painted once, before anything is trained, into OUT/prior and OUT/kept, by the worker that leads; the
    others wait for them.
    """
    prior = None
    if spec.prior:
        caption = f"a {spec.class_words}" if spec.class_words else ""
        prior = _painted(networks, [caption] * spec.prior, out / "prior", size_px, leads=leads)
    prompts = [text.replace(spec.tag, spec.class_words).strip(" ,") if spec.tag else text for text in spec.held_out]
    kept = None
    if prompts and spec.kind != "controlnet" and leads:
        wanted = [prompts[index % len(prompts)] for index in range(KEPT)]
        kept = _painted(networks, wanted, out / "kept", size_px, leads=leads)
    return prior, kept


def _painted(networks: Networks, prompts: list[str], folder: Path, size_px: int, *, leads: bool) -> Latents:
    """The pictures of a folder, of which those that are not there yet are painted."""
    paths = [folder / f"{index:04d}.png" for index in range(len(prompts))]
    if leads:
        with named_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            missing = [index for index, path in enumerate(paths) if not path.exists()]
            for start in range(0, len(missing), AT_ONCE):
                chosen = missing[start : start + AT_ONCE]
                scenes = [Scene(networks, None, size_px) for _ in chosen]
                made = paint(networks, [prompts[index] for index in chosen], scenes, seed=1000 + chosen[0])
                for index, pixels in zip(chosen, made, strict=True):
                    partial = paths[index].with_suffix(".part")
                    partial.write_bytes(encode_png(pixels))
                    partial.replace(paths[index])
    else:
        _wait_for(paths)
    pictures = [Picture(square(read_png(path.read_bytes()), size_px), None) for path in paths]
    return Latents(networks, pictures, prompts)


def _wait_for(paths: list[Path]) -> None:
    """Wait until another worker has painted these pictures."""
    until = time.monotonic() + PATIENCE_S
    while not all(path.exists() for path in paths):
        if time.monotonic() > until:
            raise RuntimeError(f"the leading worker must paint {paths[-1].parent} within {PATIENCE_S:.0f} s")
        time.sleep(WAIT_S)
