"""The OpenAPI document of `/openapi.json`, and the parts of it that FastAPI cannot derive.

FastAPI makes the document from each route's decorator. It cannot see the bodies, files, streams and problems that our
routes read and write themselves. The functions here describe those; each returns a part of OpenAPI's JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from packshot.api.problems import STATUSES, problem_of
from packshot.contract.adapters import ADAPTER_BODIES
from packshot.contract.audit import AuditLine
from packshot.contract.base import VERSION_HEADER, Answer
from packshot.contract.catalogue import Manifest
from packshot.contract.catalogue_examples import MANIFEST
from packshot.contract.clips import CLIP_BODIES
from packshot.contract.deliveries import DELIVERY_BODIES
from packshot.contract.enhancements import ENHANCEMENT_BODIES
from packshot.contract.events import EVENTS, STREAMED
from packshot.contract.examples import PROBLEMS
from packshot.contract.problem import MEDIA_TYPE, Problem
from packshot.contract.projects import PROJECT_BODIES
from packshot.contract.requests import BODIES, Request
from packshot.contract.reviews import REVIEW_BODIES
from packshot.contract.shot_style import STYLE_BODIES
from packshot.contract.touchups import TOUCHUP_BODIES
from packshot.contract.trainings import TRAINING_BODIES
from packshot.contract.usage import USAGE_BODIES
from packshot.contract.verify import VERIFY_BODIES
from packshot.contract.webhooks import WEBHOOK_BODIES
from packshot.errors import (
    BadInput,
    BudgetSpent,
    EngineFailed,
    Forbidden,
    Overloaded,
    PackshotError,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)

_PREFACE = "Cut a product out of a photo, paint a new scene around it, prove that the product was not altered."
_REF = "#/components/schemas/{model}"
_ALWAYS = {
    "x-request-id": "The id of this request, which the operator finds in the logs.",
    VERSION_HEADER: "The version of Packshot that the server runs.",
}

_BODIES: tuple[type[BaseModel], ...] = (
    *BODIES,
    *ADAPTER_BODIES,
    *TRAINING_BODIES,
    *PROJECT_BODIES,
    *DELIVERY_BODIES,
    *CLIP_BODIES,
    *REVIEW_BODIES,
    *TOUCHUP_BODIES,
    *ENHANCEMENT_BODIES,
    *WEBHOOK_BODIES,
    *USAGE_BODIES,
    *STYLE_BODIES,
    *VERIFY_BODIES,
    Manifest,
)

_LINES: tuple[type[BaseModel], ...] = (AuditLine,)

BODY_PROBLEMS = (BadInput, TooLarge, TooSlow, UnsupportedMedia, Overloaded)
"""What every route with a body may answer."""

TIMING = {"server-timing": "The milliseconds of each stage."}
LOCATION = {"location": "The path of the new resource."}


def answer_json(
    example: Answer, description: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> dict[int | str, dict[str, Any]]:
    """A JSON response with the model of `example`. `headers` maps header names to descriptions."""
    content = {"application/json": {"example": example.model_dump(mode="json")}}
    return {status: {"model": type(example), **_response_json(description, content, headers)}}


def redirect_json(description: str) -> dict[int | str, dict[str, Any]]:
    """A redirect to a URL outside this API."""
    headers = {"location": {"description": "The URL.", "schema": {"type": "string"}}}
    return {307: {"description": description, "headers": headers}}


def file_json(description: str, *media_types: str, **headers: str) -> dict[int | str, dict[str, Any]]:
    """A file of one of `media_types`. `headers` maps header names, with underscores, to descriptions."""
    schema = {"type": "string", "format": "binary"}
    content = {media_type: {"schema": schema} for media_type in media_types}
    etag = {"etag": "A hash of the bytes."}
    named = {"cache-control": "How long the client may cache the bytes."} | {
        name.replace("_", "-"): text for name, text in headers.items()
    }
    return {
        200: _response_json(description, content, etag | named),
        304: _response_json("The client already has these bytes (`If-None-Match`).", {}, etag),
    }


def text_json(description: str, media_type: str, example: str, **extra: Any) -> dict[int | str, dict[str, Any]]:
    """A text response. `extra` holds further members of its media type object."""
    content = {media_type: {"schema": {"type": "string"}, "example": example, **extra}}
    return {200: _response_json(description, content, None)}


def lines_json(
    description: str, media_type: str, line: type[Answer], example: Answer
) -> dict[int | str, dict[str, Any]]:
    """A text of JSON lines. `x-line` is the schema of each, which `_LINES` must name."""
    reference = {"$ref": _REF.format(model=line.__name__)}
    return text_json(description, media_type, example.model_dump_json() + "\n", **{"x-line": reference})


def stream_json(example: str, sent: Mapping[str, type[Answer]] = EVENTS) -> dict[int | str, dict[str, Any]]:
    """A stream of server-sent events. `x-events` maps each event's name to the schema of its data."""
    events = {name: {"$ref": _REF.format(model=event.__name__)} for name, event in sent.items()}
    return {
        **text_json("Events until the last one has ended.", "text/event-stream", example, **{"x-events": events}),
        204: _response_json("All have ended and the client has received every ending.", {}, None),
    }


def empty_json(description: str, *, status: int = 204) -> dict[int | str, dict[str, Any]]:
    """A response without a body."""
    return {status: _response_json(description, {}, None)}


def problems_json(*kinds: type[PackshotError]) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may return, by status, and `default` for an internal error.

    Each refers to an entry of `components/responses`, which is named after the error's class.
    """
    named: dict[int | str, type[PackshotError]] = {STATUSES[kind]: kind for kind in kinds}
    return {
        status: {"$ref": f"#/components/responses/{kind.__name__}", "description": _sentence(kind)}
        for status, kind in (named | {"default": EngineFailed}).items()
    }


def keyed_problems_json() -> dict[int | str, dict[str, Any]]:
    """The problems that every route with authentication may return. Each refuses unknown query parameters."""
    return problems_json(Unauthorized, Forbidden, BadInput)


def body_json(example: Request, *, required: bool = True) -> dict[str, Any]:
    """The JSON body, of the model of `example`, of a route that parses its body itself."""
    schema = {"$ref": _REF.format(model=type(example).__name__)}
    content = {"application/json": {"schema": schema, "example": example.model_dump(mode="json")}}
    return {"requestBody": {"required": required, "content": content}}


def manifest_body_json() -> dict[str, Any]:
    """The body of a new catalogue: a manifest, a sheet, or a form with a look or the photos at hand."""
    text = {"schema": {"type": "string", "format": "binary"}}
    parts = ("sheet", "look", "manifest", "photos")
    form = {"type": "object", "properties": {name: {"type": "string"} for name in parts}}
    content = {
        "application/json": {
            "schema": {"$ref": _REF.format(model="Manifest")},
            "example": MANIFEST.model_dump(mode="json", exclude_unset=True),
        },
        "application/yaml": text,
        "text/csv": text,
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}


def table_json(description: str, media_type: str, columns: Sequence[str]) -> dict[int | str, dict[str, Any]]:
    """A table that is a stream of text, with its header as the example."""
    headers = {"content-disposition": "The name under which to save the table."}
    content = {media_type: {"schema": {"type": "string", "format": "binary"}, "example": ",".join(columns)}}
    return {200: _response_json(description, content, headers)}


def streamed_json(description: str, media_type: str) -> dict[int | str, dict[str, Any]]:
    """A file that is made while it is sent, so that it has neither a length nor an ETag."""
    headers = {"content-disposition": "The name under which to save the file."}
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {200: _response_json(description, content, headers)}


def file_body_json(media_type: str, *, required: bool = True) -> dict[str, Any]:
    """A body that is a file itself."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": required, "content": content}}


def png_body_json() -> dict[str, Any]:
    """A body that is a PNG file."""
    return file_body_json("image/png")


def form_json(model: type[Request]) -> dict[str, Any]:
    """A multipart body with one part for each field of `model`."""
    content = {"multipart/form-data": {"schema": {"$ref": _REF.format(model=model.__name__)}}}
    return {"requestBody": {"required": True, "content": content}}


def upload_json(model: type[Request], instead: Request) -> dict[str, Any]:
    """A multipart body with one part for each field of `model`, or a JSON body of the model of `instead`."""
    body = form_json(model)
    body["requestBody"]["content"] |= body_json(instead)["requestBody"]["content"]
    return body


def headers_json(**headers: str) -> dict[str, Any]:
    """Optional request headers that a route reads itself. Maps names, with underscores, to descriptions."""
    return {
        "parameters": [
            {
                "name": name.replace("_", "-"),
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": text,
            }
            for name, text in headers.items()
        ]
    }


def openapi_json(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document plus the schemas that only our own descriptions refer to. It is built once for each app."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(title=app.title, version=app.version, routes=app.routes, description=_PREFACE)
    written: list[type[BaseModel]] = [Problem, *STREAMED.values(), *_LINES]
    _, schemas = models_json_schema(
        [(body, "validation") for body in _BODIES] + [(model, "serialization") for model in written],
        ref_template=_REF,
    )
    document["components"]["schemas"] |= schemas["$defs"]
    document["components"]["responses"] = {type(error).__name__: _problem_json(error) for error in PROBLEMS}
    app.openapi_schema = document
    return document


def _response_json(description: str, content: Mapping[str, Any], headers: Mapping[str, str] | None) -> dict[str, Any]:
    named = {**_ALWAYS, **(headers or {})}
    response: dict[str, Any] = {
        "description": description,
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in named.items()},
    }
    return response | ({"content": content} if content else {})


def _problem_json(example: PackshotError) -> dict[str, Any]:
    shown = problem_of(example, "4f1c2b7a9d3e").model_dump(mode="json")
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}, "example": shown}}
    headers: dict[str, str] = {}
    if isinstance(example, (BudgetSpent, Overloaded, Unavailable)):
        headers = {"retry-after": "The seconds to wait before a retry."}
    elif isinstance(example, Unauthorized):
        headers = {"www-authenticate": "The authentication scheme that the route accepts."}
    return _response_json(_sentence(type(example)), content, headers)


def _sentence(kind: type[PackshotError]) -> str:
    codes = ", ".join(f"`{code}`" for code in kind.codes)
    return f"Internal error: {codes}." if kind is EngineFailed else f"Refused: {codes}."
