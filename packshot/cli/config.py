"""`packshot config`: print the Serve config of a profile, for `serve deploy`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors

DEFAULT_PROFILE = "laptop"


@report_errors
def config(
    profile: Annotated[str, typer.Option(help="A profile's name, or the path of a YAML file.")] = DEFAULT_PROFILE,
    as_json: AsJson = False,
) -> None:
    """Print the Serve config of a profile to stdout, as YAML, with every deployment and its defaults."""
    import yaml

    from cluster.profiles import load_profile
    from cluster.render import whole_config

    rendered = whole_config(load_profile(profile))
    if as_json:
        put_json(rendered)
    else:
        sys.stdout.write(yaml.safe_dump(rendered, sort_keys=False))
