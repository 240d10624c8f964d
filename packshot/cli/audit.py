"""`packshot audit`: export and check a tenant's audit trail, in the settings' store, without the cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from packshot.cli.console import FAILED, AsJson, put_json, report_errors, stderr
from packshot.cli.stores import open_store
from packshot.cli.tenants import TenantId
from packshot.errors import BadInput

app = typer.Typer(help="Export and check audit trails.", no_args_is_help=True, rich_markup_mode=None)

SHOWN_EVERY = 500
"""Lines between two changes of the bar."""

After = Annotated[str | None, typer.Option(metavar="TIME", help="Only lines of this time or later, ISO 8601.")]
Before = Annotated[str | None, typer.Option(metavar="TIME", help="Only lines of before this time.")]


@app.command()
@report_errors
def export(
    tenant_id: TenantId,
    out: Annotated[Path | None, typer.Option(help="The file to write; left out, standard output.")] = None,
    after: After = None,
    before: Before = None,
    about: Annotated[str | None, typer.Option("--object", metavar="ID", help="Only lines about this object.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the trail as JSON lines, oldest first. Each line holds the sha256 of the line before."""
    from rich.progress import Progress

    from packshot.contract.audit import FIRST_SHA256, line_sha256
    from packshot.store.audit import EVERY_LINE, AuditFilter

    if as_json and out is None:
        raise BadInput("bad_usage", "--json and the lines cannot both go to standard output; name a file with --out")
    wanted = AuditFilter(_moment(after, "--after"), _moment(before, "--before"), about)
    lines, last = 0, FIRST_SHA256
    with ExitStack() as stack:
        store = stack.enter_context(open_store())
        total = store.audit.count(tenant_id)
        target = sys.stdout.buffer if out is None else stack.enter_context(_whole(out))
        bar = stack.enter_context(Progress(console=stderr(), transient=True))
        task = bar.add_task("Lines", total=total if wanted == EVERY_LINE else None)
        for line in store.audit.export(tenant_id, wanted):
            target.write(line)
            lines, last = lines + 1, line_sha256(line)
            if lines % SHOWN_EVERY == 0:
                bar.update(task, completed=lines)
        target.flush()
    where = "standard output" if out is None else str(out)
    stderr().print(f"Wrote {lines} lines to {where}. The last has the sha256 {last}.", markup=False, soft_wrap=True)
    if as_json:
        put_json({"tenant": tenant_id, "lines": lines, "sha256": last, "path": where})


@app.command()
@report_errors
def check(tenant_id: TenantId, as_json: AsJson = False) -> None:
    """Compute the trail's hashes anew, and compare them with what is stored. Exit code 1 when a line does not fit."""
    with open_store() as store:
        found = store.audit.check(tenant_id)
    if found.broken_at is None:
        summary = f"{found.lines} lines from number {found.first} on fit. The last has the sha256 {found.sha256}."
    else:
        summary = (
            f"Line {found.broken_at} is missing, or it or the line before was changed. The {found.lines} lines from "
            f"number {found.first} on fit. Compare the trail with an earlier export."
        )
    stderr().print(summary, markup=False, soft_wrap=True)
    if as_json:
        put_json({"tenant": tenant_id, **vars(found)})
    if found.broken_at is not None:
        raise typer.Exit(FAILED)


def _moment(text: str | None, option: str) -> datetime | None:
    """The moment of an option. One without a time zone is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        rule = f"{option} must be a time in ISO 8601, such as 2026-11-27T08:00:00Z, got {text[:60]!r}"
        raise BadInput("bad_usage", f"{rule}; correct it") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that appears at `path` when the block ends without an error."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise BadInput("bad_usage", f"--out must be a file that can be written, got {path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
