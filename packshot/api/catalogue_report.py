"""The set report of a catalogue: how far its pictures look like one set, as JSON, as a picture and as a page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from itertools import islice

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from packshot.api.answers import file_answer
from packshot.api.auth import Caller
from packshot.api.limits import cancel_on_disconnect
from packshot.api.openapi import answer_json, file_json, keyed_problems_json, problems_json, text_json
from packshot.api.ops import PAGE_HEADERS
from packshot.api.services import Services, Wired, in_thread
from packshot.catalogue.placement import Stand, stand_of_variant
from packshot.catalogue.plan import Variant, variants
from packshot.catalogue.rows import item_of, manifest_of, scenes_of, shots_of
from packshot.catalogue.set_report import SetPicture, set_report
from packshot.contract import catalogue_examples as examples
from packshot.contract.set_report import Defective, Outlier, SetOfReport, SetReport, Spread
from packshot.errors import NotFound
from packshot.imaging.report_picture import SHOWN_OUTLIERS
from packshot.store.catalogue_records import CatalogueRecord
from packshot.store.store import Store

router = APIRouter(prefix="/v1/catalogues", tags=["catalogues"], responses=keyed_problems_json())

ROWS_AT_ONCE = 500
MAX_PICTURES = 20_000
"""Pictures of a report, in the manifest's order; further ones are left out."""


@router.get(
    "/{catalogue_id}/report.json",
    operation_id="get_set_report",
    summary="Get the set report",
    responses=answer_json(examples.SET_REPORT, "How far the pictures look like one set.") | problems_json(NotFound),
)
async def get_set_report(catalogue_id: str, services: Wired, tenant: Caller) -> SetReport:
    """Compares the pictures of each scene and canvas: ground line, size, background, shadow. Outliers come first.

    `defective` are the pictures whose verdict found something at a place. The report holds the first 20,000 pictures
    that are done.
    """
    return (await _report(services, tenant.id, catalogue_id))[0]


@router.get(
    "/{catalogue_id}/report.png",
    operation_id="get_set_report_picture",
    summary="Get the set report as a picture",
    response_class=Response,
    responses=file_json("The report with its plots and the outliers' pictures.", "image/png") | problems_json(NotFound),
)
async def get_set_report_picture(catalogue_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """Returns a PNG, 1,400 px wide: at most ten outliers, ten pictures with framed findings, and 40 sets' plots."""
    report, keys = await _report(services, tenant.id, catalogue_id)
    data = await cancel_on_disconnect(request, services.graph.report_png(report, keys))
    return file_answer(request, data, "image/png", kept=False)


@router.get(
    "/{catalogue_id}/report",
    operation_id="get_set_report_page",
    summary="Get the set report as a page",
    response_class=HTMLResponse,
    responses=text_json("The page.", "text/html", "<!doctype html>…") | problems_json(NotFound),
)
async def get_set_report_page(catalogue_id: str, services: Wired, tenant: Caller) -> HTMLResponse:
    """For a browser that is signed in. The pictures lead to their whole size."""
    report, _ = await _report(services, tenant.id, catalogue_id)
    return HTMLResponse(_page(report), headers=_page_headers())


async def _report(services: Services, tenant_id: str, catalogue_id: str) -> tuple[SetReport, dict[str, str]]:
    """The report, and the asset keys of the pictures that it shows, by image id."""

    def made() -> tuple[SetReport, dict[str, str]]:
        record = services.store.catalogues.get(tenant_id, catalogue_id)
        stands = _stands(record)
        pictures = islice(_pictures(services.store, record), MAX_PICTURES)
        report = set_report(record.id, record.name, pictures, stands.__getitem__)
        shown = {one.image_id for some in (report.outliers, report.defective) for one in some[:SHOWN_OUTLIERS]}
        return report, {
            image_id: one.asset_key for image_id, one in services.store.images.measured(tenant_id, list(shown)).items()
        }

    return await in_thread(made)


def _stands(record: CatalogueRecord) -> dict[Variant, Stand]:
    manifest = manifest_of(record.frame, ())
    found = variants(manifest, scenes_of(record.frame))
    return {variant: stand_of_variant(manifest, record.largest_mm, variant, at) for variant, at in found.items()}


def _pictures(store: Store, record: CatalogueRecord) -> Iterator[SetPicture]:
    """The chosen pictures of a catalogue, page by page. It blocks."""
    cursor: str | None = None
    while True:
        rows, cursor = store.catalogues.rows(record.tenant, record.id, cursor=cursor, limit=ROWS_AT_ONCE)
        chosen = [shot.image_id for row in rows for shot in row.shots if shot.image_id]
        known = store.images.measured(record.tenant, chosen)
        for row in rows:
            if row.item is None:
                continue
            item = item_of(row.item)
            planned = {shot.key: shot for shot in shots_of(record.frame, item)}
            for shot in row.shots:
                if shot.image_id in known and shot.key in planned:
                    one, found = planned[shot.key], known[shot.image_id].verdict
                    yield SetPicture(
                        row.sku,
                        one.view,
                        one.variant,
                        shot.image_id,
                        found.measures,
                        item.size_mm,
                        found.findings,
                        found.product,
                    )
        if cursor is None:
            return


_STYLE = """
body{margin:2rem auto;max-width:75rem;padding:0 1rem;font:16px/1.5 system-ui,sans-serif;color:#1c1b19;background:#fff}
img{max-width:100%;height:auto}
.outliers{display:grid;grid-template-columns:repeat(auto-fill,minmax(12rem,1fr));gap:1rem;padding:0;list-style:none}
.outliers img{aspect-ratio:1;object-fit:contain;width:100%;border:1px solid #dedbd5}
.outliers p{margin:0;overflow-wrap:anywhere}
.picture{position:relative;display:block}
.picture svg{position:absolute;inset:0;width:100%;height:100%;fill:none;stroke:#e5322b;stroke-width:2.5}
.picture rect{vector-effect:non-scaling-stroke}
.picture .warning{stroke:#e0a800}
.off{color:#b03024}
.wide{overflow-x:auto}
.plots{min-width:50rem;width:100%;border-radius:8px}
a{color:inherit}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem 1rem .3rem 0;text-align:left;border-bottom:1px solid #dedbd5}
@media(prefers-color-scheme:dark){
body{color:#ecebe9;background:#1c1c1c}
.off{color:#ff9a8a}
th,td,.outliers img{border-color:#444}
}
"""


@cache
def _page_headers() -> dict[str, str]:
    """The studio's headers, with the one style sheet that stands in the page."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = PAGE_HEADERS["content-security-policy"].replace("style-src 'self'", f"style-src 'sha256-{digest}'")
    return PAGE_HEADERS | {"content-security-policy": policy, "cache-control": "private, no-store"}


def _page(report: SetReport) -> str:
    title = escape(report.name)
    out = report.outliers_total
    outliers = f"{out:,} {'stands' if out == 1 else 'stand'} out" if out else "none stands out"
    pictures = f"{report.pictures:,} picture{'' if report.pictures == 1 else 's'}"
    outliers = "".join(map(_outlier, report.outliers))
    framed = "".join(map(_framed, report.defective))
    of_more = f" (the worst {len(report.defective)})" if report.defective_total > len(report.defective) else ""
    defects = f'<h2>Findings in pictures{of_more}</h2><ul class="outliers">{framed}</ul>' if framed else ""
    rows = "".join(_row(one, spread) for one in report.sets for spread in one.spreads)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Set report: {title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}</h1><p>{pictures}, {report.measured:,} measured; {outliers}.{_generated(report.generated)} "
        f'<a href="/catalogues#{report.catalogue_id}">The catalogue</a></p>'
        f'<ul class="outliers">{outliers}</ul>{defects}<h2>Plots</h2>'
        '<p class="wide"><img class="plots" src="report.png" alt="The measures of each set as dots">'
        f'</p><h2>Numbers</h2><div class="wide"><table><thead><tr><th>Set</th><th>Measure</th><th>Target</th>'
        f"<th>Tolerance</th><th>Least</th><th>Most</th><th>Outliers</th></tr></thead><tbody>{rows}</tbody></table>"
        f"</div></body></html>"
    )


def _generated(count: int) -> str:
    """How many pictures show a product that an engine painted; empty where none does."""
    pictures = "1 picture shows" if count == 1 else f"{count:,} pictures show"
    return f" {pictures} a product that an engine painted (product: generated)." if count else ""


def _outlier(one: Outlier) -> str:
    return _entry(one, "", [one.detail])


def _framed(one: Defective) -> str:
    """A picture with a frame at the place of each finding. The frames lie as the picture does: fitted into a square."""
    width, height = one.canvas
    boxes = [(found, found.box) for found in one.findings if found.box is not None]
    frames = "".join(
        f'<rect class="{found.level}" x="{x0 * width:.0f}" y="{y0 * height:.0f}" width="{(x1 - x0) * width:.0f}" '
        f'height="{(y1 - y0) * height:.0f}"/>'
        for found, (x0, y0, x1, y1) in boxes
    )
    drawn = f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{frames}</svg>'
    return _entry(one, drawn, [f"{found.check}: {found.detail}" for found in one.findings])


def _entry(one: Outlier | Defective, over: str, lines: Sequence[str]) -> str:
    url = f"/v1/images/{escape(one.image_id)}"
    alt = escape(f"{one.sku} in {one.scene}")
    paragraphs = "".join(f'<p class="off">{escape(line)}</p>' for line in lines)
    return (
        f'<li><a class="picture" href="{url}"><img src="{url}/thumbnail" alt="{alt}" loading="lazy">{over}</a>'
        f"<p>{escape(one.sku)} · {escape(one.scene)}</p>{paragraphs}</li>"
    )


def _row(one: SetOfReport, spread: Spread) -> str:
    cells = (
        f"{one.scene}, {one.canvas[0]} × {one.canvas[1]}",
        f"{spread.measure}, {spread.unit}",
        *(f"{value:g}" for value in (spread.target, spread.tolerance)),
        *("–" if value is None else f"{value:g}" for value in (spread.least, spread.most)),
        str(spread.outliers),
    )
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
