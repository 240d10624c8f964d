"""Convert error responses to the errors that the server raised.

Client and server may be of different versions. An error that this can explain names both.
"""

from __future__ import annotations

import httpx
from pydantic import ValidationError

from packshot import __version__
from packshot.contract.answers import ShotAnswer
from packshot.contract.base import VERSION_HEADER
from packshot.contract.problem import Problem
from packshot.errors import KINDS, EngineFailed, FieldError, PackshotError, PreconditionFailed, Unavailable


def error_of(answer: httpx.Response) -> PackshotError:
    """The error that a problem document describes. Other responses go to `foreign_answer`."""
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        return foreign_answer(answer)
    retry_after = answer.headers.get("retry-after", "")
    errors: list[FieldError] = [{"loc": list(row.loc), "msg": row.msg} for row in problem.errors or ()]
    for kind in KINDS:
        if problem.code in kind.codes:
            # Another version may not know a field, or a path.
            explains = problem.code in ("invalid_request", "not_found", "method_not_allowed")
            error = kind(
                problem.code,
                problem.detail + (versions_of(answer) if explains else ""),
                errors=errors or None,
                retry_after_s=float(retry_after) if retry_after.isdigit() else None,
            )
            if isinstance(error, PreconditionFailed):
                error.state, error.etag = problem.state or "", answer.headers.get("etag", "")
            return error
    return EngineFailed("internal", f"{problem.code}: {problem.detail}{versions_of(answer)}")


def require_painted(shot: ShotAnswer) -> None:
    """Raise EngineFailed when the painting of a delivery's sides has not ended well."""
    if shot.status != "done":
        why = f"{shot.error.code}: {shot.error.detail}" if shot.error else shot.status
        code = shot.error.code if shot.error and shot.error.code in EngineFailed.codes else "engine_failed"
        raise EngineFailed(code, f"the sides must be painted before the delivery, and {shot.id} ended {why}; try again")


def foreign_answer(answer: httpx.Response) -> PackshotError:
    """The error for a response that is not Packshot's, such as a proxy's or another server's."""
    got = f"{answer.request.method} {answer.request.url.path} answered {answer.status_code} {answer.text[:200]!r}"
    got += versions_of(answer)
    if answer.status_code in (502, 503, 504):
        return Unavailable("not_ready", got)
    return EngineFailed("internal", got)


def versions_of(answer: httpx.Response) -> str:
    """A remark that names the versions of server and client, or "" when they are the same."""
    server = answer.headers.get(VERSION_HEADER)
    if server == __version__:
        return ""
    named = f"is packshot {server}" if server else "names no version, so it is packshot 0.1.0 or another program"
    return f" (The server {named}; this client is packshot {__version__}. Use one version on both sides.)"


def unreachable(error: httpx.TransportError) -> Unavailable:
    """The error for a server that does not answer."""
    return Unavailable(
        "not_ready",
        f"the server must be reachable, got {type(error).__name__}: {error}; check its address and that it runs",
    )
