"""The `packshot` command. Each command has its file; heavy modules are imported inside the commands."""

from __future__ import annotations

from typing import Annotated

import typer

import packshot
from packshot.cli import (
    adapters,
    angle,
    audit,
    catalogue,
    clip,
    config,
    deliver,
    enhance,
    keys,
    loadtest,
    packs,
    plan,
    presets,
    serve,
    shoot,
    tenants,
    touchup,
    train,
    trainings,
    up,
    verify,
    words,
)
from packshot.telemetry.context import bound

app = typer.Typer(
    name="packshot",
    help="AI product photography: cut the product out, paint a new scene around it, prove that it was not altered.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help loads its Markdown and syntax parsers, which takes half a second
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"packshot {packshot.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.with_resource(bound(actor="command line"))  # in the audit trail and in log lines


app.command("shoot")(shoot.shoot)
app.command("clip")(clip.clip)
app.command("touchup")(touchup.touchup)
app.command("deliver")(deliver.deliver)
app.command("enhance")(enhance.enhance)
app.command("angle")(angle.angle)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("serve")(serve.serve)
app.command("config")(config.config)
app.command("plan")(plan.plan)
app.command("verify")(verify.verify)
app.command("words")(words.words)
app.command("presets")(presets.presets)
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(packs.app, name="packs")
app.add_typer(adapters.app, name="adapters")
app.add_typer(trainings.app, name="trainings")
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.add_typer(train.app, name="train")
app.add_typer(audit.app, name="audit")
app.add_typer(loadtest.app, name="loadtest")

__all__ = ["app"]
