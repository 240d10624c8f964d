"""Routes for operators and tools: health, metrics, engines, the OpenAPI document. Also the pages at `/` and `/docs`."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from packshot.api.auth import Caller
from packshot.api.openapi import answer_json, keyed_problems_json, problems_json, text_json
from packshot.api.queries import StrictQuery
from packshot.api.services import Wired
from packshot.contract import examples
from packshot.contract.answers import HealthAnswer
from packshot.contract.engines import EnginesAnswer
from packshot.errors import Unavailable

router = APIRouter(tags=["operations"])

PAGE_HEADERS = {
    # Scripts, styles and all else come from this origin only, none of it inline; no other page may frame this one.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # the browser revalidates, so that an upgraded server's page is shown at once
}

REFERENCE_HEADERS = PAGE_HEADERS | {
    # Swagger UI assigns its HTML, which DOMPurify cleans, without Trusted Types; its style sheet has pictures as data.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

_REFERENCE_DIR = Path(__file__).with_name("reference")
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_PAGE = """Packshot: product photographs through an HTTP API.

GET /docs           the API's description, as a page
GET /openapi.json   the same for tools (needs a key)
GET /readyz         whether every stage answers
POST /v1/photos     upload a photo
"""


@router.get(
    "/healthz",
    operation_id="check_health",
    summary="Check that the process answers",
    responses=answer_json(examples.HEALTH, "The process answers.") | problems_json(),
)
async def healthz() -> HealthAnswer:
    """Needs no key."""
    return HealthAnswer(status="ok")


@router.get(
    "/readyz",
    operation_id="check_ready",
    summary="Check that every stage answers",
    responses=answer_json(examples.HEALTH, "Every stage answers.") | problems_json(Unavailable),
)
async def readyz(services: Wired) -> HealthAnswer:
    """503 `not_ready` until every stage answers. Needs no key."""
    if not await services.graph.ready():
        raise Unavailable(
            "not_ready", "The graph is starting, or a stage is down; try again in a moment.", retry_after_s=2
        )
    return HealthAnswer(status="ok")


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Get a node's metrics",
    response_class=PlainTextResponse,
    responses=text_json("The metrics.", "text/plain", examples.METRICS) | keyed_problems_json(),
)
async def metrics(services: Wired, tenant: Caller) -> PlainTextResponse:
    """Returns the `packshot_*` metrics of one node as Prometheus text, summed over the node's replicas.

    The gauges of the queue come from the store and are the same at every node.
    """
    return PlainTextResponse(await services.graph.metrics(), media_type=_PROMETHEUS)


@router.get(
    "/v1/engines",
    operation_id="list_engines",
    summary="List the engines",
    dependencies=[StrictQuery],
    responses=answer_json(examples.ENGINES, "The engines.") | keyed_problems_json(),
)
async def engines(services: Wired, tenant: Caller) -> EnginesAnswer:
    """Each engine has its native sizes, limits and sampling defaults. The first one is the default."""
    return EnginesAnswer(engines=services.graph.engines(), finds_words=services.graph.finds_words)


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request, tenant: Caller) -> JSONResponse:
    app: FastAPI = request.app
    return JSONResponse(app.openapi())


def add_page(app: FastAPI, studio_dir: Path | None, bucket: str = "") -> None:
    """Serve the studio at `/`, its files under `/studio`, and its other pages, such as `/review`.

    Without `studio_dir`, `/` is a few lines of text. `bucket` is the origin to which downloads redirect; the page may
    load pictures from there too.
    """
    if studio_dir is None:

        @app.get("/", include_in_schema=False)
        async def text() -> PlainTextResponse:
            return PlainTextResponse(_PAGE)

        return

    pages = {"/": "index.html", "/review": "review.html", "/share": "share.html", "/catalogues": "catalogues.html"}
    pages |= {"/verify": "verify.html", "/trainings": "trainings.html"}
    _add_files(app, pages, "/studio", StaticFiles(directory=studio_dir), _admitting(bucket))


def _admitting(bucket: str) -> dict[str, str]:
    policy = PAGE_HEADERS["content-security-policy"]
    for kind in ("img-src", "connect-src") if bucket else ():
        policy = policy.replace(f"{kind} 'self'", f"{kind} 'self' {bucket}")
    return PAGE_HEADERS | {"content-security-policy": policy}


def add_reference(app: FastAPI) -> None:
    """Serve `/docs`: Swagger UI with `/openapi.json`. It needs no key; the document that it shows does.

    Nothing comes from another server. The package fastapi-swagger (MIT) carries the files of Swagger UI (Apache-2.0).
    """
    files = StaticFiles(directory=_REFERENCE_DIR, packages=[("fastapi_swagger", "resources")])
    _add_files(app, {"/docs": "index.html"}, "/docs", files, REFERENCE_HEADERS)


def _add_files(app: FastAPI, pages: dict[str, str], folder: str, files: StaticFiles, headers: dict[str, str]) -> None:
    """Serve `files` under the path `folder`, and some of them as pages: `pages` maps paths to names of files."""
    packed = GZipMiddleware(files)
    for path, name in pages.items():

        async def page(scope: Scope, receive: Receive, send: Send, name: str = name) -> None:
            await packed({**scope, "path": f"{scope['root_path']}/{name}"}, receive, send)

        shown = Route(path, _PageHeaders(page, headers), methods=["GET", "HEAD"], include_in_schema=False)
        app.router.routes.append(shown)
    app.mount(folder, _PageHeaders(packed, headers), name=folder.strip("/"))


class _PageHeaders:
    """ASGI middleware that adds `headers` to every response."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_out(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        await self.app(scope, receive, send_out)
