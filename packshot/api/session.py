"""`/v1/session`: exchange a key for a session cookie, and end the session."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from packshot.api.accept import json_body
from packshot.api.auth import bearer_of, require_loopback, require_same_origin, wrong_key
from packshot.api.cookies import COOKIE
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import BODY_PROBLEMS, answer_json, body_json, empty_json, problems_json
from packshot.api.services import Wired, in_thread
from packshot.contract import examples
from packshot.contract.answers import SessionAnswer
from packshot.contract.requests import SessionRequest
from packshot.errors import BadInput, Forbidden, Unauthorized
from packshot.store.sessions import SESSION_S

router = APIRouter(prefix="/v1", tags=["session"])

MAX_BYTES = 4096
"""Limit of the body, which is read before its sender is known."""


@router.post(
    "/session",
    operation_id="open_session",
    summary="Exchange a key for a session cookie",
    responses=answer_json(examples.SESSION, "The session.", headers={"set-cookie": "The session cookie."})
    | problems_json(*BODY_PROBLEMS, Unauthorized, Forbidden),
    openapi_extra=body_json(examples.SESSION_REQUEST, required=False),
)
async def open_session(request: Request, response: Response, services: Wired) -> SessionAnswer:
    """Send the key as `{"key": …}` or in a Bearer header. The cookie is HttpOnly and SameSite=Strict."""
    if services.settings.open_access:
        require_loopback(request)
    if "origin" in request.headers:  # another site must not sign a visitor in with its own key
        require_same_origin(request)
    secret = bearer_of(request)
    if secret is None:
        secret = (await json_body(request, SessionRequest, MAX_BYTES)).key
    session = await shield_to_completion(in_thread(services.store.sessions.open, secret))
    if session is None:
        raise wrong_key()
    response.set_cookie(
        COOKIE,
        session.token,
        max_age=int(SESSION_S),
        path="/",
        httponly=True,
        samesite="strict",
        secure=_is_https(request),
    )
    response.headers["cache-control"] = "no-store"
    return SessionAnswer(tenant=session.tenant.name, expires_at=session.expires_at)


@router.delete(
    "/session",
    status_code=204,
    operation_id="close_session",
    summary="End the session",
    responses=empty_json("The session has ended, and the browser has dropped the cookie.")
    | problems_json(BadInput, Forbidden),
)
async def close_session(request: Request, services: Wired) -> Response:
    """Ends the cookie's session, in every copy of the cookie. To end every session of a key, revoke the key."""
    if services.settings.open_access:
        require_loopback(request)
    if "origin" in request.headers:  # another site must not sign a visitor out
        require_same_origin(request)
    if (token := request.cookies.get(COOKIE)) is not None:
        await shield_to_completion(in_thread(services.store.sessions.close, token))
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=_is_https(request))
    return answer


def _is_https(request: Request) -> bool:
    forwarded = request.headers.get("x-forwarded-proto", "")
    return request.url.scheme == "https" or forwarded.split(",")[0].strip() == "https"
