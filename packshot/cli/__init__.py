"""The `packshot` command. Each command has its file; heavy modules are imported inside the commands."""

from __future__ import annotations

import typer

from packshot.cli import config, keys, loadtest, packs, plan, serve, shoot

app = typer.Typer(
    name="packshot",
    help="AI product photography: cut the product out, paint a new scene around it, prove that it was not altered.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help loads its Markdown and syntax parsers, which takes half a second
)
app.command("shoot")(shoot.shoot)
app.command("serve")(serve.serve)
app.command("config")(config.config)
app.command("plan")(plan.plan)
app.add_typer(packs.app, name="packs")
app.add_typer(keys.app, name="keys")
app.add_typer(loadtest.app, name="loadtest")

__all__ = ["app"]
