"""The folder of a running training: what its worker writes for the child, reads of it, and keeps for a resume."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from packshot.errors import NotFound, StorageFull
from packshot.store.store import Store
from packshot.store.training_records import Progress, TrainingClaim
from packshot.training.jobs.names import ERROR, ORDER, OUT, PICTURES
from packshot.training.jobs.order import ChildOrder
from packshot.training.spec import TrainingSpec

__all__ = ["LOG", "Folder", "Trouble"]

LOG = "child.log"
NAME = "adapter"
"""The name of the result's files."""
KEPT = ("checkpoint.pt", "metrics.jsonl", "checks.jsonl", "training.json", "sheet.png", "loss.png")
"""What a resume needs, besides the folders below."""
KEPT_FOLDERS = ("samples", "prior", "kept")
MOST_LOG_CHARS = 2_000
LOGGED = 100
"""About how many lines of losses a training writes."""
LEARNED = "learned_embeds.safetensors"


@dataclass(frozen=True)
class Trouble:
    """An error on purpose of the child."""

    code: str
    detail: str


class Folder:
    """The folder of a claimed training. All methods block."""

    def __init__(self, root: Path, claim: TrainingClaim) -> None:
        self.root, self.claim = root, claim
        self.out = root / OUT
        self._seen: dict[str, tuple[int, int]] = {}

    def prepare(self, store: Store, *, device: str, threads: int) -> None:
        """Write the pictures and the order, and what an earlier worker left.

        Raises NotFound when pictures were deleted, StorageFull, and BadInput when the order cannot be trained.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            self._write_pictures(store)
            if self.claim.state_key is not None:
                with tarfile.open(fileobj=io.BytesIO(store.assets.get(self.claim.state_key))) as archive:
                    archive.extractall(self.root, filter="data")
            self._order(device, threads).write(self.root / ORDER)
        except OSError as error:
            rule = f"a training needs room on its worker's disk, and a write failed ({error.strerror})"
            raise StorageFull("storage_full", f"{rule}; it is tried again") from error
        self._seen = {
            name: stamp for name in ("checkpoint.pt", "sheet.png", "loss.png") if (stamp := self._stamp(name))
        }

    def _write_pictures(self, store: Store) -> None:
        pictures = self.claim.order.pictures
        keys = store.trainings.files_of(self.claim.tenant, [one.id for one in pictures])
        gone = [one.id for one in pictures if one.id not in keys]
        if gone:
            rule = f"{len(gone)} of the {len(pictures)} pictures of the dataset were deleted ({', '.join(gone[:3])})"
            raise NotFound("not_found", f"{rule}; begin a training of those that are left")
        folder = self.root / PICTURES
        folder.mkdir(exist_ok=True)
        for nth, one in enumerate(pictures):
            path = folder / f"{nth:05d}-{one.id}.png"
            path.write_bytes(store.assets.get(keys[one.id]))
            if one.caption:
                path.with_suffix(".txt").write_text(f"{one.caption}\n", "utf-8")

    def _order(self, device: str, threads: int) -> ChildOrder:
        order = self.claim.order
        steps_per_epoch = max(1, self.claim.steps // order.epochs)
        spec = TrainingSpec(
            kind=order.kind,
            name=NAME,
            pack=self.claim.engine,
            pictures=self.root / PICTURES,
            tag=order.tag,
            repeats=order.repeats,
            epochs=order.epochs,
            batch=order.batch,
            rank=order.rank,
            text_encoder=order.text_encoder,
            class_words=order.class_words,
            prior=order.prior,
            vectors=order.vectors,
            init_words=order.init_words,
            held_out=order.samples,
            check_every=max(1, order.epochs // 10),
            checkpointing=device != "cpu",
            licence=order.licence or TrainingSpec.licence,
        )
        return ChildOrder(
            spec=spec,
            device=device,
            lr=order.learning_rate,
            seed=order.seed,
            threads=threads,
            log_every=max(1, min(steps_per_epoch, self.claim.steps // LOGGED)),
            captions=order.kind == "lora" and any(not one.caption for one in order.pictures),
        )

    def stop(self) -> None:
        """Let the child end after the step that runs, and save."""
        (self.out / "stop").touch()

    def progress(self, spent_s: float, *, with_state: bool) -> Progress:
        """What changed since the last call, `spent_s` seconds ago. `with_state` packs a new checkpoint."""
        step, loss = self.latest()
        sheet, curves = (self._changed(name) for name in ("sheet.png", "loss.png"))
        state = self.packed() if with_state and self._moved("checkpoint.pt") else None
        return Progress(step=step, loss=loss, spent_s=spent_s, sheet=sheet, curves=curves, state=state)

    def latest(self) -> tuple[int, float | None]:
        """The last step whose losses were written, and its loss."""
        path = self.out / "metrics.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        for line in reversed(lines):
            try:
                row = json.loads(line)
            except ValueError:  # it is being written
                continue
            return int(row["step"]), float(row["loss"])
        return self.claim.step if self.claim.state_key is not None else 0, None

    def _stamp(self, name: str) -> tuple[int, int] | None:
        path = self.out / name
        if not path.exists():
            return None
        found = path.stat()
        return found.st_ino, found.st_mtime_ns

    def _moved(self, name: str) -> bool:
        stamp = self._stamp(name)
        if stamp is None or self._seen.get(name) == stamp:
            return False
        self._seen[name] = stamp
        return True

    def _changed(self, name: str) -> bytes | None:
        """A PNG that is new and whole, else None."""
        before = self._seen.get(name)
        if not self._moved(name):
            return None
        data = (self.out / name).read_bytes()
        if data[-8:-4] != b"IEND":  # it is being written
            if before is None:
                self._seen.pop(name, None)
            else:
                self._seen[name] = before
            return None
        return data

    def packed(self) -> bytes:
        """An archive of what a resume needs: the checkpoint, what was painted, captions, the last epoch's adapter."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for path in [*(self.out / name for name in KEPT), *self._kept_files()]:
                if path.is_file():
                    archive.add(path, path.relative_to(self.root).as_posix())
        return out.getvalue()

    def _kept_files(self) -> list[Path]:
        found = [path for name in KEPT_FOLDERS for path in sorted((self.out / name).glob("*.png"))]
        epochs = self._epochs()
        return [
            *found,
            *sorted((self.root / PICTURES).glob("*.txt")),
            *(sorted(epochs[-1].iterdir()) if epochs else ()),
        ]

    def _epochs(self) -> list[Path]:
        """The folders of the epochs that have an adapter, in order."""
        found = [path for path in (self.out / "epochs").glob("*") if _file_in(path) is not None]
        return sorted(found, key=lambda path: int(path.name))

    def result(self) -> bytes | None:
        """The adapter that the training ended with, whole or stopped; None = it did not end by itself."""
        path = _file_in(self.out) if (self.out / "result.json").exists() else None
        return None if path is None else path.read_bytes()

    def last_epoch(self) -> bytes | None:
        """The adapter of the last epoch; None = there was none."""
        epochs = self._epochs()
        path = _file_in(epochs[-1]) if epochs else None
        return None if path is None else path.read_bytes()

    def ended(self) -> str:
        """Why a training that ended by itself ended: `whole`, or a reason."""
        return str(json.loads((self.out / "result.json").read_text("utf-8"))["ended"])

    def trouble(self) -> Trouble | None:
        """The child's error on purpose, if there is one."""
        path = self.root / ERROR
        return Trouble(**json.loads(path.read_text("utf-8"))) if path.exists() else None

    def log_tail(self) -> str:
        """The end of what the child wrote to its standard error."""
        path = self.root / LOG
        return path.read_text("utf-8", "replace")[-MOST_LOG_CHARS:] if path.exists() else ""

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.root, ignore_errors=True)


def _file_in(folder: Path) -> Path | None:
    """The adapter's file in a folder: for engines with two text encoders, the one that has both their words."""
    return next((path for name in (f"{NAME}.safetensors", LEARNED) if (path := folder / name).is_file()), None)
