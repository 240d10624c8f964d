"""The process of one training: `python -m packshot.training.jobs.child FOLDER`.

It reads FOLDER/order.json, and trains into FOLDER/out. An error on purpose is written to FOLDER/error.json. It ends
when its standard input closes, because then its worker has died and another one may resume the training.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
from pathlib import Path

from packshot.errors import PackshotError
from packshot.settings import Settings
from packshot.training.captions import load_captioner, write_captions
from packshot.training.jobs.names import ERROR, ORDER, OUT
from packshot.training.jobs.order import ChildOrder
from packshot.training.progress import TrainingOptions
from packshot.training.train import train

REFUSED, ORPHANED = 3, 4
"""Exit statuses: an error on purpose, and a worker that died."""
KINDNESS = 5
"""Shots go first where the processor is short."""


def main(folder: Path) -> int:
    """Run the training of a folder. Returns the exit status."""
    threading.Thread(target=_end_with_worker, args=(folder,), daemon=True).start()
    try:
        _train(folder, ChildOrder.read(folder / ORDER))
    except PackshotError as error:
        with contextlib.suppress(OSError):  # a full disk: the status says the rest
            (folder / ERROR).write_text(json.dumps({"code": error.code, "detail": error.detail}), "utf-8")
        return REFUSED
    return 0


def _train(folder: Path, order: ChildOrder) -> None:
    import torch

    from packshot.models.device import pick_device
    from packshot.models.packs.pack import find_pack

    settings = Settings()
    device = pick_device(order.device)
    if device.type == "cpu":
        os.nice(KINDNESS)
    if order.threads:
        torch.set_num_threads(order.threads)
    if order.captions:
        captioner = load_captioner(find_pack(order.spec.pack, settings), device)
        write_captions(order.spec.pictures, captioner)
        del captioner
    options = TrainingOptions(device=device, lr=order.lr, seed=order.seed, log_every=order.log_every)
    train(folder / OUT, options, order.spec)


def _end_with_worker(folder: Path) -> None:
    """Delete the folder and end this process when its standard input closes. Nothing else is written to it."""
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
