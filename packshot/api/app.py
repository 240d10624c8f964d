"""The HTTP API: one FastAPI app over a store, a graph and a decoder.

edge (limits.py) -> who asks (auth.py) -> the body (accept.py, schemas.py) -> a route -> answers.py | problems.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

import packshot
from packshot.api import events, images, masks, ops, photos, problems, session, shots
from packshot.api.decoding import Decoder
from packshot.api.graph import Graph
from packshot.api.limits import Edge
from packshot.api.schemas import BODIES, MaskRequest, Request, ReviewRequest, SessionRequest, ShotRequest
from packshot.api.services import Services
from packshot.api.watch import Watch
from packshot.meter import Meter, NoMeter
from packshot.settings import Settings
from packshot.store.store import Store

_JSON_BODIES: dict[tuple[str, str], type[Request]] = {
    ("/v1/photos/{photo_id}/masks", "post"): MaskRequest,
    ("/v1/shots", "post"): ShotRequest,
    ("/v1/images/{image_id}", "patch"): ReviewRequest,
    ("/v1/session", "post"): SessionRequest,
}
_UPLOAD = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary", "description": "A JPEG, PNG or WebP image."}},
    "required": ["file"],
}


def create_app(
    *,
    store: Store,
    graph: Graph,
    decoder: Decoder,
    settings: Settings,
    meter: Meter | None = None,
    studio_dir: Path | None = None,
) -> FastAPI:
    """The app. `studio_dir`: the page's files, served at `/`."""
    meter = meter or NoMeter()
    app = FastAPI(title="Packshot", version=packshot.__version__, openapi_url=None, docs_url=None, redoc_url=None)
    turns = anyio.CapacityLimiter(decoder.at_once)
    app.state.services = Services(store, graph, decoder, settings, meter, turns, Watch(store, graph))
    for part in (photos, masks, events, shots, images, session, ops):
        app.include_router(part.router)
    ops.add_page(app, studio_dir)
    problems.install(app, meter)
    app.add_middleware(Edge, max_body_bytes=settings.max_body_bytes, meter=meter)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document plus what it cannot see: bodies that we read ourselves, the one error shape, the schemes."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes, description=_PREFACE)
    _, bodies = models_json_schema(
        [(model, "validation") for model in BODIES], ref_template="#/components/schemas/{model}"
    )
    components = document.setdefault("components", {})
    components["schemas"] = {**bodies["$defs"], "Problem": _problem_schema()}
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "packshot_session"},
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {
                "description": "A problem (RFC 9457).",
                "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            if path not in ("/healthz", "/readyz", "/v1/session"):
                operation["security"] = [{"key": []}, {"session": []}]
            if (path, method) in _JSON_BODIES:
                name = _JSON_BODIES[path, method].__name__
                content: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
                operation["requestBody"] = {"required": True, "content": content}
    upload = document["paths"]["/v1/photos"]["post"]
    upload["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD}}}
    _shot_headers(document["paths"]["/v1/shots"]["post"])
    return document


def _shot_headers(operation: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "Repeats give the same shot.", "Prefer": "wait=SECONDS holds the answer."}
    operation["parameters"] = [
        {"name": name, "in": "header", "schema": {"type": "string"}, "description": text}
        for name, text in headers.items()
    ]


def _problem_schema() -> dict[str, Any]:
    rows = problems.code_rows()
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "The rule, the value received and the remedy."},
            "code": {
                "type": "string",
                "enum": [code for code, _, _ in rows],
                "description": "Stable. " + " ".join(f"`{code}`: {sentence}" for code, _, sentence in rows),
            },
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    }


_PREFACE = "Cut a product out of a photo, paint a new scene around it, prove that the product was not altered."
