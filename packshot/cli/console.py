"""Shared by the commands: tables on stderr, JSON on the last line of stdout, and errors as exit codes.

Exit codes: 0 = done, 1 = failed, 2 = bad usage or refused input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from packshot.errors import BadInput, NotFound, PackshotError, TooLarge, UnsupportedMedia

if TYPE_CHECKING:
    from rich.console import Console

P = ParamSpec("P")

_OWN = ("packshot", "deployments", "graphs", "cluster", "loadtest")
_EXTRAS = {
    "psycopg": "postgres",
    "s3fs": "s3",
    "bitsandbytes": "train-8bit",
    **dict.fromkeys(("pandas", "pyarrow"), "train"),
    **dict.fromkeys(("gevent", "geventhttpclient", "hdrh", "jinja2", "locust", "matplotlib", "psutil"), "loadtest"),
}
"""The extra that installs a module, for modules that only one extra installs."""

AsJson = Annotated[bool, typer.Option("--json", help="Put one JSON object on the last line of stdout.")]

FAILED = 1
REFUSED = 2
_REFUSALS = (BadInput, TooLarge, UnsupportedMedia, NotFound)
_REFUSAL_CODES = ("pack_unknown",)


PIPED_WIDTH = 140
"""Columns of a table in a pipe or a file, where no terminal says how wide it is."""


def stderr() -> Console:
    """The console for people. stdout is for machines."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table to stderr. None is printed as an empty cell."""
    from rich.table import Table

    drawn = Table(title=title, title_justify="left")
    for column in columns:
        drawn.add_column(column)
    for row in rows:
        drawn.add_row(*("" if value is None else _plain(str(value)) for value in row))
    stderr().print(drawn)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def put_json(answer: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Print one JSON object, or a list of them, to stdout on one line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


@contextmanager
def named_extra(default: str = "serve") -> Iterator[None]:
    """Convert ModuleNotFoundError to BadInput `bad_usage`, which names the extra that installs the missing package.

    `default` is the extra to name for packages that several extras install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "packshot").partition(".")[0]
        if module in _OWN:
            raise
        extra = _EXTRAS.get(module, default)
        raise BadInput(
            "bad_usage",
            f"this command needs the package {module}, which is not installed; pip install 'packshot[{extra}]'",
        ) from error


def exit_code_of(error: PackshotError) -> int:
    """The exit code of an error: 2 when the caller can correct the call, otherwise 1."""
    refused = isinstance(error, _REFUSALS) or error.code in _REFUSAL_CODES
    return REFUSED if refused else FAILED


def report_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command so that a PackshotError becomes a line on stderr (and JSON with --json) and an exit code."""

    @wraps(command)
    def run(*args: P.args, **named: P.kwargs) -> None:
        try:
            with named_extra():
                command(*args, **named)
        except PackshotError as error:
            typer.echo(f"packshot: {error.detail} [{error.code}]", err=True)
            if named.get("as_json"):
                put_json({"error": {"code": error.code, "detail": error.detail}})
            raise typer.Exit(exit_code_of(error)) from None

    return run
