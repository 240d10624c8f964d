"""Errors as HTTP responses: one table of statuses, one JSON shape (RFC 9457 `application/problem+json`)."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Mount

from packshot.contract.problem import MEDIA_TYPE, SENTENCES, FieldProblem, Problem
from packshot.errors import (
    KINDS,
    BadInput,
    BudgetSpent,
    Conflict,
    EngineFailed,
    FieldError,
    Forbidden,
    LeaseLost,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PackRefused,
    PackshotError,
    PreconditionFailed,
    StorageFull,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)
from packshot.meter import Meter

logger = logging.getLogger(__name__)

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

STATUSES: dict[type[PackshotError], int] = {
    BadInput: 422,
    TooLarge: 413,
    TooSlow: 408,
    UnsupportedMedia: 415,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    Conflict: 409,
    BudgetSpent: 402,
    PreconditionFailed: 412,
    Overloaded: 429,
    Unavailable: 503,
    StorageFull: 507,
    PackRefused: 500,
    LeaseLost: 500,
    EngineFailed: 500,
}


def status_of(error: PackshotError) -> int:
    """The HTTP status of an error's class."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def code_rows() -> list[tuple[str, int, str]]:
    """The rows (code, status, sentence) of all error codes, in the order of the error tree."""
    return [(code, STATUSES[kind], sentence) for kind in KINDS for code, sentence in kind.codes.items()]


def problem_of(error: PackshotError, request_id: str) -> Problem:
    """The problem document of an error. An internal error's detail is replaced by the request id."""
    detail = error.detail
    if error.code == "internal":
        detail = f"An internal error occurred; report the request id {request_id} to the operator."
    return Problem(
        type=f"urn:packshot:problem:{error.code}",
        title=SENTENCES[error.code],
        status=status_of(error),
        detail=detail,
        code=error.code,
        errors=tuple(FieldProblem(loc=tuple(row["loc"]), msg=row["msg"]) for row in error.errors or ()) or None,
        state=error.state if isinstance(error, PreconditionFailed) else None,
    )


def answer(error: PackshotError, request_id: str) -> JSONResponse:
    """The response to an error, with its `Retry-After`, `WWW-Authenticate` or `ETag` header."""
    headers = {}
    if error.retry_after_s is not None or isinstance(error, (Overloaded, Unavailable)):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or 1)))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="packshot"'
    if isinstance(error, PreconditionFailed):
        headers["ETag"] = error.etag
    problem = problem_of(error, request_id)
    return JSONResponse(
        problem.model_dump(mode="json"), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE
    )


_BRANCH = re.compile(r"literal\[|[A-Z][A-Za-z]*In$")
"""What pydantic adds to a place for the form of a field that takes several: it is no part of the request."""


def refused_fields(problems: Iterable[Any]) -> BadInput:
    """Pydantic's errors as a BadInput. A value that the client sent is quoted, cut to 60 characters."""
    found = _meant(list(problems))
    unreadable = any(problem["type"] in ("json_invalid", "finite_number") for problem in found)
    errors: list[FieldError] = [
        {"loc": [_short(part) for part in problem["loc"] if not _BRANCH.match(str(part))], "msg": _sentence(problem)}
        for problem in found[:20]
    ]
    first = errors[0]
    path = ".".join(str(part) for part in first["loc"]) or "body"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return BadInput("invalid_json" if unreadable else "invalid_request", f"{path}: {first['msg']}{more}", errors=errors)


def _meant(found: list[Any]) -> list[Any]:
    """The errors without those of a field's other form, which an object, or a word, cannot have meant.

    A field such as `shadow` takes a word or an object, and pydantic reports both.
    """

    def other(problem: Any) -> bool:
        place, branch = problem["loc"][:-1], str(problem["loc"][-1]) if problem["loc"] else ""
        word = branch.startswith("literal[") and isinstance(problem.get("input"), dict)
        model = problem["type"] in ("model_type", "model_attributes_type") and _BRANCH.match(branch) is not None
        beside = (one for one in found if one is not problem and one["loc"][: len(place)] == place)
        return (word or model) and any(beside)

    return [problem for problem in found if not other(problem)] or found


def _sentence(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "is not a field of this request; remove it"
    if problem["type"] in ("missing", "json_invalid"):
        return str(problem["msg"])
    rule = str(problem["msg"]).removeprefix("Value error, ").replace("Input should be ", "must be ")
    if problem["type"] == "value_error" and ", got " in rule:
        return rule  # one of our own, which names the value itself
    received = problem.get("input")
    if isinstance(received, (dict, list)):
        received = type(received).__name__
    return f"{rule}, got {_short(repr(received))}"


def _short(part: int | str) -> int | str:
    return part if isinstance(part, int) or len(part) <= 60 else part[:59] + "…"


def as_problem(error: Exception) -> PackshotError:
    """Any exception as a PackshotError. An unexpected one becomes EngineFailed `internal`."""
    if isinstance(error, PackshotError):
        return error
    if isinstance(error, (RequestValidationError, ValidationError)):
        return refused_fields(error.errors())
    if isinstance(error, HTTPException):
        if error.status_code == HTTPStatus.NOT_FOUND:
            return NotFound("not_found", "No route has this path; see /openapi.json.")
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return MethodNotAllowed("method_not_allowed", "This path does not accept this method.")
        if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return BadInput("invalid_request", str(error.detail))
    return EngineFailed("internal", f"{type(error).__name__}: {error}")


def allowed_methods(request: Request) -> list[str]:
    """The methods of all routes that have the request's path."""
    app: FastAPI = request.app
    routes = [route for route in app.routes if not isinstance(route, Mount)]
    found = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return found or ["GET", "HEAD"]  # the files of the studio, which a mounted app serves


def request_id_of(request: Request) -> str:
    """The id that `Edge` gave this request."""
    return str(request.scope.get("packshot_request_id", "-"))


def install(app: FastAPI, meter: Meter) -> None:
    """Register the exception handlers of `app`. They answer with problems and count them by code in `meter`."""

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, ClientDisconnect):
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # no client is left to read it
        problem = as_problem(error)
        allowed = ""
        if isinstance(problem, MethodNotAllowed):
            allowed = ", ".join(allowed_methods(request))
            problem = MethodNotAllowed(problem.code, f"This path accepts {allowed}, got {request.method}; use one.")
        request_id = request_id_of(request)
        if status_of(problem) >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(
            problem, (Unavailable, StorageFull)
        ):
            logger.error("%s %s failed, request %s", request.method, request.url.path, request_id, exc_info=error)
        meter.count("packshot_errors_total", code=problem.code)
        response = answer(problem, request_id)
        if allowed:
            response.headers["Allow"] = allowed
        return response

    for kind in (PackshotError, RequestValidationError, ValidationError, HTTPException, ClientDisconnect):
        app.add_exception_handler(kind, handle)
