"""`packshot train`: teach a pack a brand's look or a product from a folder of pictures."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from packshot.cli.console import FAILED, AsJson, named_extra, put_json, report_errors, stderr
from packshot.cli.train_approved import approved
from packshot.errors import BadInput

if TYPE_CHECKING:
    from packshot.training.spec import Kind, TrainingSpec

app = typer.Typer(
    help="Train a LoRA, DreamBooth, a word, a UNet or a ControlNet on a folder of pictures, and write captions.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


MOST_SAMPLES = 8
LONG_STEPS = 15_000
"""The published fine-tuning fell apart at 15,000 to 20,000 steps."""
SHARED = ("pack", "repeats", "epochs", "batch", "check_every", "min_snr", "checkpointing", "eight_bit", "licence")
"""The options that have the name of their field."""


app.command("approved")(approved)


class Precision(StrEnum):
    """The number format of the kernels. `auto`: bf16 where the device has units for it."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


Pictures = Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures, each with its caption in a .txt file.")]
Out = Annotated[Path, typer.Option(help="The folder of the training: result, sheets, curves, checkpoint.")]
PackName = Annotated[str, typer.Option("--pack", help="The pack that is trained.")]
Name = Annotated[str, typer.Option(help="The result's name; by default that of --out.")]
Tag = Annotated[str, typer.Option(help="The made-up word by which prompts ask for what was learned.")]
Repeats = Annotated[int, typer.Option(help="How often each picture is seen in an epoch.")]
Epochs = Annotated[int, typer.Option(help="Epochs. Steps = pictures x repeats / batch x epochs.")]
Batch = Annotated[int, typer.Option(help="Samples of a step, over all workers.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate; by default the kind's published one.")]
Rank = Annotated[int, typer.Option(help="Rank of the LoRA.")]
TextEncoder = Annotated[bool, typer.Option("--text-encoder", help="Train the text encoders too.")]
HeldOut = Annotated[
    list[str] | None, typer.Option("--sample", help="A prompt to paint after each epoch; repeatable, up to 8.")
]
CheckEvery = Annotated[int, typer.Option(help="Epochs between two checks.")]
Size = Annotated[int, typer.Option(help="Side of the training's pictures, pixels; 0 = the pack's native size.")]
MinSnr = Annotated[float, typer.Option(help="Gamma of min-SNR weights; 0 = none, 5 is usual.")]
Seed = Annotated[int, typer.Option(help="Seed of the training.")]
Workers = Annotated[int, typer.Option(help="Processes of Ray Train; on GPUs each has one.", min=1)]
InProcess = Annotated[bool, typer.Option("--in-process", help="Train in this process, without Ray.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Kernels = Annotated[Precision, typer.Option("--precision", help="Number format of the kernels.")]
Checkpointing = Annotated[bool, typer.Option("--checkpointing", help="Less memory, a third more time.")]
EightBit = Annotated[bool, typer.Option("--8-bit", help="Optimiser states in 8 bits (the package bitsandbytes).")]
Licence = Annotated[str, typer.Option(help="The licence of the result, as SPDX.")]


def _shared(
    pictures: Pictures,
    out: Out,
    pack: PackName = "mini",
    name: Name = "",
    tag: Tag = "",
    repeats: Repeats = 1,
    epochs: Epochs = 10,
    batch: Batch = 4,
    lr: Rate = None,
    sample: HeldOut = None,
    check_every: CheckEvery = 1,
    size: Size = 0,
    min_snr: MinSnr = 0.0,
    seed: Seed = 0,
    workers: Workers = 1,
    in_process: InProcess = False,
    device: Device = "auto",
    precision: Kernels = Precision.auto,
    checkpointing: Checkpointing = False,
    eight_bit: EightBit = False,
    licence: Licence = "LicenseRef-unknown",
    as_json: AsJson = False,
) -> None:
    """The options that all kinds have."""


def _kind(kind: Kind, **defaults: int) -> Callable[[Callable[..., dict[str, Any]]], Callable[..., dict[str, Any]]]:
    """Make a command of a kind: the shared options, with its `defaults`, and the options of the decorated function.

    That function returns the fields of the training that only its kind has.
    """

    def register(own: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        first, further = (list(inspect.signature(one, eval_str=True).parameters.values()) for one in (_shared, own))
        shared = [one.replace(default=defaults.get(one.name, one.default)) for one in first]
        options = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*shared, *further)]

        @report_errors
        def run(**given: Any) -> None:
            _start(kind, given, own(**{one.name: given[one.name] for one in further}))

        command: Any = run
        command.__signature__ = inspect.Signature(options)
        command.__annotations__ = {one.name: one.annotation for one in options}
        app.command(kind, help=own.__doc__)(command)
        return own

    return register


@_kind("lora", repeats=6, batch=2)
def lora(
    rank: Rank = 8,
    convolutions: Annotated[
        bool, typer.Option(help="Put it into the residual blocks' convolutions too, which carry much of a look.")
    ] = True,
    text_encoder: TextEncoder = False,
) -> dict[str, Any]:
    """Train a LoRA: a look, from some dozen captioned pictures. Run the same command again to resume."""
    return {"rank": rank, "convolutions": convolutions, "text_encoder": text_encoder}


@_kind("dreambooth", repeats=100, epochs=4, batch=1)
def dreambooth(
    class_words: Annotated[str, typer.Option(help="What kind of thing the product is, such as 'mug'.")] = "",
    prior: Annotated[int, typer.Option(help="Pictures of that kind, which the untrained pack paints and keeps.")] = 100,
    prior_weight: Annotated[float, typer.Option(help="Weight of these pictures in the loss.")] = 1.0,
    full: Annotated[bool, typer.Option("--full", help="Train the UNet whole, into a pack; else a LoRA.")] = False,
    rank: Rank = 16,
    text_encoder: TextEncoder = False,
) -> dict[str, Any]:
    """Train one product from a few of its pictures, and keep what the pack knows of its kind."""
    fields = {"class_words": class_words, "prior": prior, "prior_weight": prior_weight, "full": full}
    return fields | {"rank": rank, "text_encoder": text_encoder}


@_kind("inversion", repeats=100, epochs=5, batch=2)
def inversion(
    init_words: Annotated[str, typer.Option(help="Words whose meaning the new word starts from.")] = "",
    vectors: Annotated[int, typer.Option(help="Tokens of the new word.")] = 1,
) -> dict[str, Any]:
    """Train a new word (textual inversion). The networks stay as they are."""
    return {"init_words": init_words, "vectors": vectors}


@_kind("finetune")
def finetune(text_encoder: TextEncoder = False) -> dict[str, Any]:
    """Train the whole UNet, into a pack of its own. Give --sample, so that what it forgets is seen."""
    return {"text_encoder": text_encoder}


@_kind("controlnet")
def controlnet() -> dict[str, Any]:
    """Train the pack's ControlNet of edges further, into a pack of its own."""
    return {}


@app.command()
@report_errors
def captions(
    pictures: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures.")],
    pack: Annotated[str, typer.Option("--pack", help="The pack whose captioner writes.")] = "mini",
    tag: Tag = "",
    replace: Annotated[bool, typer.Option("--replace", help="Write captions that are there again.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write a caption beside each picture that has none. Read them, and correct what is wrong."""
    from packshot.models.device import pick_device
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings
    from packshot.training.captions import load_captioner, write_captions

    online = Settings().model_copy(update={"offline": False})  # this command may fetch the captioner
    console = stderr()

    def report(line: str) -> None:
        console.print(f"packshot: {line}", markup=False, soft_wrap=True)

    captioner = load_captioner(find_pack(pack, online), pick_device(device), report)
    written = write_captions(pictures, captioner, tag=tag, replace=replace)
    for path in written:
        report(f"{path.name}: {path.read_text('utf-8').strip()}")
    report(f"{len(written)} captions written in {pictures}")
    if as_json:
        put_json({"written": [str(path) for path in written]})


def _start(kind: Kind, given: dict[str, Any], more: dict[str, Any]) -> None:
    """Train what a command's arguments say, and tell what was made.

    On a cluster, the workers have the GPUs that `--device cuda` asks for; this machine need not have one.
    """
    import torch

    from packshot.models.device import pick_device
    from packshot.training.progress import TrainingOptions
    from packshot.training.spec import TrainingSpec

    held_out = tuple(given["sample"] or ())
    if len(held_out) > MOST_SAMPLES:
        raise BadInput("bad_usage", f"--sample may be given at most {MOST_SAMPLES} times, got {len(held_out)}")
    out: Path = given["out"]
    fields = {name: given[name] for name in SHARED} | {"size_px": given["size"], "tag": given["tag"]}
    fields |= {"name": given["name"] or out.resolve().name.lower(), "held_out": held_out}
    fields |= {"pictures": given["pictures"].resolve(), "precision": given["precision"].value}
    spec = TrainingSpec(kind=kind, **fields, **more)
    on_cluster = "RAY_ADDRESS" in os.environ and not given["in_process"]
    device = torch.device("cuda") if on_cluster and given["device"] == "cuda" else pick_device(given["device"])
    options = TrainingOptions(device=device, lr=given["lr"], seed=given["seed"], log_every=5)
    _print_plan(spec, options)
    with _stopped_by_signal(out):
        result = _train(out.resolve(), options, spec, given["workers"], in_process=given["in_process"])
    console = stderr()
    console.print(f"{result['steps']} of {result['of_steps']} steps in {result['seconds']:.0f} s.", markup=False)
    for file in result["files"]:
        console.print(f"  {file}", markup=False, soft_wrap=True)
    if held_out:
        console.print(f"Look at {out / 'sheet.png'}", markup=False, soft_wrap=True)
    if given["as_json"]:
        put_json(result)
    if result["ended"] != "whole":
        console.print(f"packshot: the training ended early: {result['ended']}", markup=False, soft_wrap=True)
        raise typer.Exit(FAILED)


def _train(out: Path, options: Any, spec: TrainingSpec, workers: int, *, in_process: bool) -> dict[str, Any]:
    """Run the training, here or in Ray Train's workers, and return its result."""
    from packshot.training.train import read_result, train

    if in_process:
        if workers > 1:
            raise BadInput("bad_usage", f"--in-process has one worker, got --workers {workers}; leave one out")
        return train(out, options, spec)
    from cluster.distribute import distribute

    with named_extra("train"):
        distribute(train, {"out": out, "plan": options, "spec": spec}, workers)
    return read_result(out)


def _print_plan(spec: TrainingSpec, options: Any) -> None:
    """Check what can be checked before anything starts, and say how long the training is."""
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings
    from packshot.training.train import captioned_items, plan_of

    items = captioned_items(spec)
    schedule, plan = plan_of(spec, find_pack(spec.pack, Settings()), items, options)
    console = stderr()
    said = f"{spec.kind} on {spec.pack}: {len(items)} pictures x {spec.repeats} repeats / batch {spec.batch} = "
    said += f"{schedule.steps_per_epoch:,} steps an epoch, x {spec.epochs} epochs = {schedule.steps:,} steps, "
    console.print(f"{said}learning rate {plan.lr:g}.", markup=False, soft_wrap=True)
    if schedule.steps > LONG_STEPS:
        warned = f"More than {LONG_STEPS:,} steps: published trainings of this length forgot what they knew. "
        console.print(f"{warned}Watch the samples, or use fewer --repeats or --epochs.", markup=False, soft_wrap=True)


@contextlib.contextmanager
def _stopped_by_signal(out: Path) -> Iterator[None]:
    """Ctrl-C ends the training after its step, with a checkpoint; a second one ends it at once."""
    from packshot.training.train import STOP

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        out.mkdir(parents=True, exist_ok=True)
        (out / STOP).touch()
        line = "stopping after this step; Ctrl-C again ends at once, and the last checkpoint remains"
        stderr().print(f"packshot: {line}", markup=False)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
