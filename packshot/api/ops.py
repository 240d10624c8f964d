"""Is it up, what does it serve, how does it do: the routes of operators and tools, and the page at `/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from packshot.api.auth import Caller
from packshot.api.services import Wired
from packshot.errors import Unavailable

router = APIRouter(tags=["operations"])

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_PAGE = """Packshot: product photographs through an HTTP API.

GET /openapi.json   the whole contract (with a key)
GET /readyz         whether the graph answers
POST /v1/photos     where a photo begins
"""


@router.get("/healthz", summary="The process answers")
async def healthz() -> dict[str, str]:
    """Open to anyone."""
    return {"status": "ok"}


@router.get("/readyz", summary="The graph answers")
async def readyz(services: Wired) -> dict[str, str]:
    """503 `not_ready` until every stage answers. Open to anyone."""
    if not await services.studio.ready():
        raise Unavailable(
            "not_ready", "The graph is starting, or a stage is down; try again in a moment.", retry_after_s=2
        )
    return {"status": "ok"}


@router.get("/metrics", summary="The cluster's metrics", response_class=PlainTextResponse)
async def metrics(services: Wired, tenant: Caller) -> PlainTextResponse:
    """Prometheus text: `packshot_*`, summed over replicas."""
    return PlainTextResponse(await services.studio.metrics(), media_type=_PROMETHEUS)


@router.get("/v1/engines", summary="The packs and engines served")
async def engines(services: Wired, tenant: Caller) -> dict[str, Any]:
    """With their native sizes, limits and sampling defaults; the first is the default."""
    return {"engines": services.studio.engines()}


@router.get("/openapi.json", summary="The contract", include_in_schema=False)
async def openapi(request: Request, tenant: Caller) -> JSONResponse:
    app: FastAPI = request.app
    return JSONResponse(app.openapi())


def add_page(app: FastAPI, studio_dir: Path | None) -> None:
    """`/` and the studio's files, or a few lines of text where no studio is installed."""
    if studio_dir is None:

        @app.get("/", include_in_schema=False)
        async def text() -> PlainTextResponse:
            return PlainTextResponse(_PAGE)

        return

    index = studio_dir / "index.html"

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(index, headers={"cache-control": "no-cache"})

    app.mount("/studio", StaticFiles(directory=studio_dir), name="studio")
