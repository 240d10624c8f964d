"""The HTTP API: one FastAPI app that uses a store, a graph and a decoder.

A request passes: request_log.py -> edge (limits.py) -> caller (auth.py) -> body (accept.py) -> route -> conversions.py
and answers.py. problems.py turns exceptions into responses. openapi.py describes what FastAPI cannot see of the routes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fastapi import FastAPI

import packshot
from packshot.api import (
    adapters,
    audit,
    budgets,
    catalogue_files,
    catalogue_photos,
    catalogue_report,
    catalogues,
    clips,
    deliveries,
    enhancements,
    events,
    images,
    masks,
    ops,
    palettes,
    photo_masks,
    photos,
    problems,
    projects,
    reviews,
    session,
    shares,
    shots,
    styles,
    tenants,
    touchups,
    trainings,
    uploads,
    verify,
    webhooks,
    words,
)
from packshot.api.concurrency_limit import ConcurrencyLimit
from packshot.api.decoding import Decoder
from packshot.api.downloads import bucket_origin
from packshot.api.fair_queue import FairQueue
from packshot.api.graph import Graph
from packshot.api.limits import Edge
from packshot.api.openapi import openapi_json
from packshot.api.queries import StrictQuery
from packshot.api.rate_limit import RateLimit
from packshot.api.request_log import RequestLog
from packshot.api.services import (
    ARCHIVES_EACH,
    ARCHIVES_IN_ALL,
    LARGE_AT_ONCE,
    MAX_WAITING,
    MAX_WAITING_EACH,
    STREAMS_IN_ALL,
    Services,
)
from packshot.api.watch import Watch
from packshot.meter import Meter, NoMeter
from packshot.settings import Settings
from packshot.store.notifications import CHANGED, listen
from packshot.store.store import Store


def create_app(
    *,
    store: Store,
    graph: Graph,
    decoder: Decoder,
    settings: Settings,
    meter: Meter | None = None,
    studio_dir: Path | None = None,
    proxy_adds_request_id: bool = False,
) -> FastAPI:
    """Build the app.

    `store` keeps the rows and files. `graph` runs the models. `decoder` decodes uploads. `meter` counts errors; None
    counts nothing. `studio_dir` holds the web page's files, served at `/`; None serves a few lines of text instead.
    `proxy_adds_request_id` leaves the `x-request-id` of answers to the proxy in front, as Ray Serve's does.
    """
    meter = meter or NoMeter()
    app = FastAPI(title="Packshot", version=packshot.__version__, openapi_url=None, docs_url=None, redoc_url=None)
    decoding, large = (
        FairQueue(at_once, MAX_WAITING, MAX_WAITING_EACH) for at_once in (decoder.at_once, LARGE_AT_ONCE)
    )
    watch = Watch(store.shots, graph, partial(listen, settings, CHANGED))
    training_watch = Watch(store.trainings, graph)
    streams = ConcurrencyLimit(settings.max_streams, STREAMS_IN_ALL, "event streams and held answers")
    archives = ConcurrencyLimit(ARCHIVES_EACH, ARCHIVES_IN_ALL, "archives of photos")
    public = RateLimit(settings.public_verify)
    app.state.services = Services(
        store, graph, decoder, settings, meter, decoding, large, watch, training_watch, streams, archives, public
    )
    cutting, judging = (photos, uploads, photo_masks, masks, words, enhancements), (reviews, shares, touchups, verify)
    shooting = (events, shots, images, clips, deliveries, projects, styles, palettes, adapters, trainings)
    many = (catalogues, catalogue_photos, catalogue_files, catalogue_report)
    for part in (*cutting, *shooting, *judging, *many, webhooks, budgets, tenants, audit, session):
        app.include_router(part.router, dependencies=[StrictQuery])
    app.include_router(ops.router)
    ops.add_page(app, studio_dir, bucket_origin(store.assets) if settings.redirect_downloads else "")
    ops.add_reference(app)
    problems.install(app, meter)
    app.add_middleware(
        Edge,
        max_body_bytes=settings.max_body_bytes,
        max_photo_bytes=settings.max_photo_bytes,
        max_zip_bytes=settings.max_zip_bytes,
        max_adapter_bytes=settings.max_adapter_bytes,
        meter=meter,
        adds_request_id=not proxy_adds_request_id,
    )
    app.add_middleware(RequestLog, meter=meter)

    app.openapi = partial(openapi_json, app)  # type: ignore[method-assign]  # as FastAPI documents it
    return app
