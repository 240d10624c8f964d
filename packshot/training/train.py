"""A training from its dataset to its files. One process runs this function, or each worker of Ray Train.

OUT/NAME.safetensors …    the result (docs/training.md lists the files of each kind)
OUT/epochs/               the result after each epoch, for adapters
OUT/checkpoint.pt         where a training resumes; OUT/metrics.jsonl  its losses
OUT/stop                  a file that ends the training after the step that runs
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

import packshot
from packshot.errors import BadInput
from packshot.models.device import pick_dtype
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings
from packshot.training.checks import CHECKS, Checks
from packshot.training.dataset import Item, fingerprint, read_items, read_pictures, with_tag
from packshot.training.fit import Loss, fit
from packshot.training.latents import Latents
from packshot.training.networks import Networks, require_trainable
from packshot.training.objective import Objective
from packshot.training.prior import prior_pictures
from packshot.training.progress import Plan, Run, TrainingOptions, named_disk_errors
from packshot.training.spec import LEARNING_RATES, SMALL_PACK_FACTOR, Schedule, TrainingSpec, check_tag
from packshot.training.trainables import trained_parts

__all__ = ["STOP", "captioned_items", "plan_of", "read_result", "train"]

STOP = "stop"
SPEC = "training.json"
RESULT = "result.json"
FIT_FIELDS = ("kind", "pack", "rank", "convolutions", "text_encoder", "full", "vectors", "batch", "repeats", "size_px")
"""What must be the same when a training resumes; its checkpoint would not fit otherwise."""
EPS = 1e-8

log = logging.getLogger(__name__)


def plan_of(spec: TrainingSpec, pack: Pack, items: Sequence[Item], options: TrainingOptions) -> tuple[Schedule, Plan]:
    """The steps of a training and the options of its run. `options.lr` None = the kind's published rate."""
    seed = options.seed or 0
    schedule = Schedule(len(items), spec.repeats, spec.batch, spec.epochs, seed)
    lr = LEARNING_RATES[spec.kind] * (SMALL_PACK_FACTOR if pack.manifest.family == "mini" else 1)
    plan = options.filled(batch=spec.batch, lr=lr, seed=seed)
    return schedule, Plan(**{**vars(plan), "samples": float(min(plan.samples, schedule.steps * spec.batch))})


def train(out: Path, plan: TrainingOptions, spec: TrainingSpec) -> dict[str, Any]:
    """Train what `spec` says into the folder `out`, or resume that. Returns what stands in result.json.

    Raises BadInput (dataset_refused, tag_refused, bad_usage, engine_cannot), PackRefused, and StorageFull
    (storage_full), after which the files of the last whole epoch and the last checkpoint are there.
    """
    items = captioned_items(spec)
    pack = find_pack(spec.pack, Settings())
    require_trainable(pack)
    check_tag(spec.tag, pack.tokenizer())
    schedule, options = plan_of(spec, pack, items, plan)
    run = Run(out, options)
    if run.ranks > spec.batch or spec.batch % run.ranks:
        raise BadInput("bad_usage", f"--batch must be a multiple of --workers {run.ranks}, got {spec.batch}")
    _remember(run, spec)
    device = options.device
    size_px = spec.size_px or min(pack.manifest.native_px)
    pictures = read_pictures(items, size_px)
    precision = pick_dtype(device, spec.precision)
    networks = Networks(pack, device, torch.float32 if device.type == "cpu" or spec.whole_network else precision)
    torch.manual_seed(options.seed)
    prior, kept = prior_pictures(networks, spec, out, size_px, leads=run.rank == 0)
    trained = trained_parts(networks, spec, pictures)
    if spec.checkpointing:
        _checkpoint_gradients(networks)
    captions = [with_tag(item.caption, spec.tag) for item in items]
    data = Latents(networks, pictures, captions)
    objective = Objective(networks, trained, spec, data, prior, options.seed)
    checks = Checks(out, objective, pictures, kept) if run.rank == 0 else None
    lineage = _lineage(spec, pack, items, schedule, options)
    return _run(run, schedule, objective, checks, lineage, precision)


def _run(
    run: Run,
    schedule: Schedule,
    objective: Objective,
    checks: Checks | None,
    metadata: Mapping[str, str],
    precision: torch.dtype,
) -> dict[str, Any]:
    """The steps, with a check after each epoch and the files at the end."""
    spec, trained, out = objective.spec, objective.trained, run.folder
    net = nn.ParameterList(trained.weights)
    optimizer = _optimizer(spec, run.plan, trained.weights)
    why: list[str] = []
    if checks is not None and run.step == 0:
        checks.check(0, 0)

    def loss() -> Loss:
        step = run.step
        found = objective.loss(step, schedule.pictures_of(step), run.rank, run.ranks)
        return Loss(found["loss"], spec.batch // run.ranks, found)

    def after_step() -> None:
        if checks is None:
            return
        if (out / STOP).exists():
            why.append("it was stopped; run the same command again to go on")
        epoch, within = divmod(run.step, schedule.steps_per_epoch)
        last = run.step >= schedule.steps
        if not within and (last or epoch % spec.check_every == 0):
            reason = checks.check(epoch, run.step)
            if not spec.whole_network:
                trained.save(out / "epochs" / f"{epoch:02d}", _stamped(metadata, run.step))
                run.save_soon()
            if reason and not last:
                why.append(reason)
        if why:
            run.stop()

    fit(run, net, optimizer, loss, on_step=after_step, precision=precision)
    if checks is None:
        return {}
    files = trained.save(out, _stamped(metadata, run.step))
    (out / STOP).unlink(missing_ok=True)
    rows = checks.rows
    result = {
        "name": spec.name,
        "kind": spec.kind,
        "steps": run.step,
        "of_steps": schedule.steps,
        "ended": why[0] if why else "whole",
        "seconds": round(run.elapsed_s, 1),
        "learned": rows[-1].get("learned") if rows else None,
        "kept": rows[-1].get("kept") if rows else None,
        "files": [str(path) for path in files],
    }
    with named_disk_errors(out):
        (out / RESULT).write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return result


def read_result(out: Path) -> dict[str, Any]:
    """What `train` returned in the worker that leads."""
    return dict(json.loads((out / RESULT).read_text("utf-8")))


def captioned_items(spec: TrainingSpec) -> list[Item]:
    """The dataset. DreamBooth and inversion have a caption for every picture: their product's name."""
    default = ""
    if spec.kind == "dreambooth":
        default = f"a {spec.tag} {spec.class_words}"
    elif spec.kind == "inversion":
        default = f"a photo of {spec.tag}"
    return read_items(spec.pictures, spec.kind, default)


def _remember(run: Run, spec: TrainingSpec) -> None:
    """Write what is trained into the folder. Raises BadInput (bad_usage) when something else was begun there."""
    path = run.folder / SPEC
    now = {name: getattr(spec, name) for name in FIT_FIELDS}
    if run.state and path.exists():
        before = json.loads(path.read_text())
        differing = [name for name in FIT_FIELDS if before.get(name) != now[name]]
        if differing:
            shown = ", ".join(f"{name} {before.get(name)!r}, now {now[name]!r}" for name in differing)
            rule = f"a training resumes with what it began with; {run.folder} has {shown}"
            raise BadInput("bad_usage", f"{rule}; name another --out, or delete that folder")
    elif run.rank == 0:
        with named_disk_errors(run.folder):
            path.write_text(json.dumps(now, indent=1) + "\n")
            (run.folder / CHECKS).unlink(missing_ok=True)
    if run.rank == 0:
        (run.folder / STOP).unlink(missing_ok=True)


def _optimizer(spec: TrainingSpec, plan: Plan, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW; in 8 bits by bitsandbytes, the extra `train-8bit`."""
    kind: Any = torch.optim.AdamW
    if spec.eight_bit:
        from bitsandbytes.optim import AdamW8bit

        kind = AdamW8bit
    decay = 0.0 if spec.kind == "inversion" else 0.01
    optimizer: torch.optim.Optimizer = kind(weights, lr=plan.lr, betas=(0.9, 0.999), weight_decay=decay, eps=EPS)
    return optimizer


def _checkpoint_gradients(networks: Networks) -> None:
    """Compute activations again in the backward pass instead of keeping them: less memory, a third more time."""
    networks.unet.enable_gradient_checkpointing()
    networks.unet.train()  # diffusers checkpoints in training mode alone; these UNets drop nothing out
    for encoder in networks.text_encoders:
        encoder.activation_checkpointing_enable()


def _lineage(spec: TrainingSpec, pack: Pack, items: Sequence[Item], schedule: Schedule, plan: Plan) -> dict[str, str]:
    """The metadata of the files: what the result fits to, and where it comes from."""
    role: Any = "text_encoder" if spec.kind == "inversion" else "unet"
    lineage = {
        "pictures": len(items),
        "dataset_sha256": fingerprint(items),
        "epochs": schedule.epochs,
        "batch": schedule.batch,
        "lr": plan.lr,
        "seed": plan.seed,
        "made": datetime.now(UTC).date().isoformat(),
        "version": packshot.__version__,
    }
    return {
        "packshot.kind": "inversion" if spec.kind == "inversion" else "lora" if not spec.whole_network else spec.kind,
        "packshot.base": pack.name,
        "packshot.family": pack.manifest.family,
        "packshot.base_sha256": pack.hashes((role,))[role],
        "packshot.rank": str(spec.rank),
        "packshot.tag": spec.tag,
        "packshot.licence": spec.licence,
        "packshot.lineage": json.dumps(lineage),
    }


def _stamped(metadata: Mapping[str, str], step: int) -> dict[str, str]:
    """The metadata with the number of steps that the file has."""
    lineage = json.loads(metadata["packshot.lineage"]) | {"steps": step}
    return {**metadata, "packshot.lineage": json.dumps(lineage)}
