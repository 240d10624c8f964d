"""What an answer of a vendor without a picture means for the shot: wait, try again, or end.

A call that the vendor has not worked on is an outage: the shot waits, and no attempt is counted. One whose answer is
wrong may have been billed, so it counts as an attempt. What the vendor refuses ends the shot.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from packshot.errors import BadInput, EngineFailed, PackshotError, Unavailable
from packshot.models.engines.remote.shapes import NoPicture, Shape, json_of
from packshot.models.packs.endpoint import Endpoint
from packshot.webhooks import NoReply, Reply

__all__ = ["MAX_RETRY_AFTER_S", "error_of", "error_of_answer", "error_of_silence", "wrong_answer"]

MAX_RETRY_AFTER_S = 3_600.0
"""Longest wait that a vendor's Retry-After is followed for, in seconds."""
SHOWN_CHARS = 200
KEY_REFUSED = (401, 402, 403)
OVERLOADED = 429


def error_of_silence(error: NoReply, endpoint: Endpoint) -> PackshotError:
    """The error for a call without a whole answer."""
    detail = f"the vendor of engine {endpoint.model!r} gave no picture: {error.reason}"
    if error.reached and not endpoint.idempotency_header:
        return wrong_answer(endpoint, error.reason)
    return Unavailable("remote_unavailable", f"{detail}; the shot is tried again")


def error_of_answer(error: NoPicture, endpoint: Endpoint) -> PackshotError:
    """The error for a 2xx answer without a picture."""
    return _held_back(endpoint, error.reason) if error.refused else wrong_answer(endpoint, error.reason)


def error_of(reply: Reply, endpoint: Endpoint, shape: Shape, key: str) -> PackshotError:
    """The error for an answer whose status is not 2xx. `key` is kept out of it."""
    answer = json_of(reply.body)
    words = shape.message(answer) if answer else ""
    said = f"{reply.status}{': ' if words else ''}{words}".replace(key or "\0", "…")[:SHOWN_CHARS]
    refusal = f"the vendor of engine {endpoint.model!r} answered {said}"
    if 300 <= reply.status < 400:
        return wrong_answer(endpoint, f"{reply.status}: a redirect, which is not followed; the manifest must name it")
    if answer and shape.refuses(answer):
        return _held_back(endpoint, said)
    if reply.status == OVERLOADED or reply.status >= 500:
        return Unavailable(
            "remote_unavailable", f"{refusal}; the shot is tried again", retry_after_s=_retry_after_s(reply)
        )
    if reply.status in KEY_REFUSED:
        # not the vendor's words, which may show a part of the key
        refusal = f"the vendor of engine {endpoint.model!r} answered {reply.status}: it refuses the key or the account"
        return Unavailable("remote_unavailable", f"{refusal}; the operator must correct it, and the shot waits")
    return EngineFailed("remote_refused", f"{refusal}; report it to the operator")


def wrong_answer(endpoint: Endpoint, reason: str) -> EngineFailed:
    """The error for an answer that holds no picture of the size that was asked for. It may have been billed."""
    detail = f"the vendor of engine {endpoint.model!r} must answer with a picture, and did not: {reason}"
    return EngineFailed("remote_answer", detail, retryable=True)


def _held_back(endpoint: Endpoint, reason: str) -> BadInput:
    detail = f"the vendor of engine {endpoint.model!r} refuses this prompt or product: {reason[:SHOWN_CHARS]}"
    return BadInput("content_refused", f"{detail}; change the words, or use another engine")


def _retry_after_s(reply: Reply) -> float | None:
    """The seconds of a Retry-After, which is a number or a date; None without one."""
    value = reply.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    wait_s = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)
