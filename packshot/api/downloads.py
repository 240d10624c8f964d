"""Downloads past the gateway: a redirect to the object store's own signed URL, where it has one."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Query, Response
from fastapi.responses import RedirectResponse

from packshot.api.openapi import redirect_json
from packshot.api.services import Services, in_thread
from packshot.store.assets import Assets
from packshot.store.delivered_records import DeliveredRecord

Redirect = Annotated[
    bool | None,
    Query(description="1 = answer with the bucket's signed URL, where there is one; default: the server's setting."),
]

REDIRECT = redirect_json("The file is at the signed URL in `location`, for five minutes. It needs no key.")


async def redirected(
    services: Services, wanted: bool | None, key: str, media_type: str, disposition: str | None = None
) -> Response | None:
    """The redirect to the file `key`, or None when the file passes this server.

    `wanted` is what the client asks for; None is the setting `redirect_downloads`.
    """
    if not (services.settings.redirect_downloads if wanted is None else wanted):
        return None
    url = await in_thread(services.store.assets.download_url, key, media_type=media_type, disposition=disposition)
    if url is None:
        return None
    return RedirectResponse(url, 307, {"cache-control": "private, no-store", "vary": "authorization, cookie"})


def noted_read(services: Services, file: DeliveredRecord, answer: Response) -> Response:
    """The answer that hands out a delivered file, or a signed URL of it, after a line for the audit trail.

    A client that has the bytes already (304) reads nothing.
    """
    if answer.status_code != 304:
        details = {"image_id": file.image_id, "preset": file.preset, "signed_url": answer.status_code == 307 or None}
        services.store.audit.reads.note(file.tenant, "file.read", file.id, details=details)
    return answer


def bucket_origin(assets: Assets) -> str:
    """The origin of signed URLs, for a page's Content-Security-Policy; "" where the store signs none."""
    url = assets.download_url("origin", media_type="image/png")
    return "" if url is None else "{0.scheme}://{0.netloc}".format(urlsplit(url))
