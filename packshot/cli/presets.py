"""`packshot presets`: list the delivery presets of this version."""

from __future__ import annotations

from datetime import date

import typer

from packshot.cli.console import AsJson, put_json, report_errors, table


@report_errors
def presets(as_json: AsJson = False) -> None:
    """List the delivery presets: channel, size, background, and the date until which the rules are assumed to hold."""
    from packshot.delivery.presets import presets as find_all

    today = date.today()
    rows = [preset.on(today) for preset in find_all()]
    table(
        "Presets",
        ("preset", "channel", "formats", "advised px", "ratio", "background", "rules of", "check after"),
        (
            (
                row.name,
                row.title,
                " ".join(row.formats),
                row.advised_longest_px,
                None if row.aspect is None else ":".join(map(str, row.aspect)),
                row.background.replace("_", " "),
                row.dated,
                row.expires,
            )
            for row in rows
        ),
    )
    for row in rows:
        if row.warning:
            typer.echo(f"packshot: {row.warning}", err=True)
    if as_json:
        put_json({"presets": [row.model_dump(mode="json") for row in rows]})
