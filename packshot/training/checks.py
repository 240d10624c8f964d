"""What is looked at after each epoch: held-out prompts on a sheet, errors against the untrained pack, curves.

OUT/samples/epoch-00.png …   the held-out prompts, before the training and after each epoch
OUT/sheet.png                the first, some between and the last, one below the other
OUT/checks.jsonl             a line for each epoch: errors, and how they compare
OUT/loss.png                 the curves
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from packshot.imaging.codec import encode_png, read_png
from packshot.training.curves import plot
from packshot.training.latents import Latents
from packshot.training.objective import Objective
from packshot.training.progress import METRICS, named_disk_errors
from packshot.training.samples import paint, scene_around
from packshot.types import U8

__all__ = ["Checks", "Writer"]

LEARNED_LIMIT, LEARNED_TURNS = 1.1, 2
"""A training has diverged when its error on its own pictures is this many times the untrained pack's, in this many
checks in a row."""
KEPT_LIMIT = 2.0
"""A network has forgotten the pack when its error on the pack's own pictures is this many times the untrained pack's.

Of an adapter it only says how far the look is from the pack's: without the adapter, the pack is as it was."""
MOST_ROWS = 6
CHECKS = "checks.jsonl"
SAMPLE_SEED = 7

log = logging.getLogger(__name__)


class Writer(Protocol):
    """TensorBoard's SummaryWriter, of which two methods are used."""

    def add_scalar(self, tag: str, value: float, step: int) -> object: ...

    def add_image(self, tag: str, picture: U8, step: int, *, dataformats: str) -> object: ...


class Checks:
    """The checks of one training, on one worker. `kept` are pictures of the untrained pack, whose error says what is
    forgotten; None = not watched. The first check must happen before the training changes anything.
    """

    def __init__(self, folder: Path, objective: Objective, pictures: Sequence[Any], kept: Latents | None) -> None:
        self._folder, self._objective, self._kept = folder, objective, kept
        networks, spec = objective.networks, objective.spec
        size = spec.size_px or min(networks.pack.manifest.native_px)
        self._scenes = [scene_around(networks, pictures, index, size) for index in range(len(spec.held_out))]
        self._writer = _tensorboard(folder)

    @property
    def rows(self) -> list[dict[str, float]]:
        path = self._folder / CHECKS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def check(self, epoch: int, step: int) -> str | None:
        """Check after an epoch, 0 = before the training. Returns why the training should end, None = it goes on.

        Raises StorageFull (storage_full).
        """
        objective, rows = self._objective, [row for row in self.rows if row["epoch"] < epoch]
        row: dict[str, float] = {"epoch": epoch, "step": step, "error": objective.error(objective.data)}
        if self._kept is not None:
            row["kept_error"] = objective.error(self._kept)
        base = rows[0] if rows else row
        row |= {"learned": row["error"] / base["error"]}
        if "kept_error" in row:
            row |= {"kept": row["kept_error"] / base["kept_error"]}
        rows.append({name: round(value, 5) for name, value in row.items()})
        with named_disk_errors(self._folder):
            (self._folder / CHECKS).write_text("".join(json.dumps(one) + "\n" for one in rows))
            self._paint(epoch, step)
            self._draw_curves(rows)
        if self._writer is not None:
            for name in set(row) - {"epoch", "step"}:
                self._writer.add_scalar(f"check/{name}", row[name], step)
        return _diverged(rows, forgets=objective.spec.whole_network)

    def log(self, values: dict[str, float], step: int) -> None:
        """Show metrics of a step in TensorBoard, where that is installed."""
        for name, value in values.items() if self._writer is not None else ():
            assert self._writer is not None
            self._writer.add_scalar(f"train/{name}", value, step)

    def _paint(self, epoch: int, step: int) -> None:
        """Paint the held-out prompts, and write the sheet again."""
        if not self._scenes:
            return
        spec, folder = self._objective.spec, self._folder / "samples"
        guide = self._objective.trained.residuals
        painted = paint(self._objective.networks, spec.held_out, self._scenes, SAMPLE_SEED, guide)
        folder.mkdir(exist_ok=True)
        row = np.concatenate(painted, axis=1)
        (folder / f"epoch-{epoch:02d}.png").write_bytes(encode_png(row))
        if self._writer is not None:
            self._writer.add_image("samples", row, step, dataformats="HWC")
        found = sorted(path for path in folder.glob("epoch-*.png") if int(path.stem[6:]) <= epoch)
        at = sorted({round(i) for i in np.linspace(0, len(found) - 1, min(MOST_ROWS, len(found)))})
        rows = [_labelled(read_png(found[i].read_bytes()), _said(int(found[i].stem[6:]))) for i in at]
        (self._folder / "sheet.png").write_bytes(encode_png(np.concatenate(rows)))

    def _draw_curves(self, rows: Sequence[dict[str, float]]) -> None:
        """Draw the loss, and the errors as multiples of the untrained pack's."""
        metrics = self._folder / METRICS
        losses = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
        names = {"learned": "on the training's pictures", "kept": "on the pack's own pictures"}
        errors = {label: [(row["step"], row[name]) for row in rows] for name, label in names.items() if name in rows[0]}
        loss = plot("Training loss", {"": [(row["step"], row["loss"]) for row in losses]})
        both = (loss, plot("Error, as a multiple of the untrained pack's", errors))
        (self._folder / "loss.png").write_bytes(encode_png(np.concatenate(both, axis=1)))


def _diverged(rows: Sequence[dict[str, float]], *, forgets: bool) -> str | None:
    """Why a training should end; None = it goes on. `forgets`: it changes the networks themselves."""
    last = rows[-1]
    if not all(math.isfinite(value) for value in last.values()):
        return "the error is no finite number any more; use a lower --lr"
    latest = [row["learned"] for row in rows[1:]][-LEARNED_TURNS:]
    if len(latest) == LEARNED_TURNS and min(latest) > LEARNED_LIMIT:
        rule = f"the error on the training's own pictures rose to {latest[-1]:.2f} times the untrained pack's"
        return f"{rule}; use a lower --lr"
    if forgets and last.get("kept", 0) > KEPT_LIMIT:
        rule = f"the pack forgets: its error on its own pictures rose to {last['kept']:.2f} times what it was"
        return f"{rule}; use fewer epochs, a lower --lr, or for dreambooth more --prior"
    return None


def _said(epoch: int) -> str:
    return "before" if epoch == 0 else f"epoch {epoch}"


def _labelled(row: U8, text: str) -> U8:
    """The row of pictures below a line that names it."""
    height = max(28, row.shape[0] // 12)
    bar = np.full((height, row.shape[1], 3), 255, np.uint8)
    size = height / 48
    cv2.putText(bar, text, (8, round(height * 0.7)), cv2.FONT_HERSHEY_SIMPLEX, size, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate([bar, row])


def _tensorboard(folder: Path) -> Writer | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer: Writer = SummaryWriter(str(folder / "tensorboard"))
    return writer
