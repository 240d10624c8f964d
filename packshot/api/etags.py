"""`If-Match`: a change that is wanted only of the state that the client has seen."""

from __future__ import annotations

import re

from fastapi import Request

from packshot.api.openapi import headers_json
from packshot.errors import BadInput

IF_MATCH = headers_json(If_Match="The `ETag` of the state that was seen. When it is another one by now: 412.")

_TAGS = re.compile(r'\s*"[\x21\x23-\x7e]{1,100}"\s*(,\s*"[\x21\x23-\x7e]{1,100}"\s*)*')
_TAG = re.compile(r'"[^"]+"')


def if_match(request: Request) -> frozenset[str] | None:
    """The tags of `If-Match`, or None when any state is meant: without the header, or with `*`.

    Raises BadInput when the header holds anything but strong tags, which alone can match here (RFC 9110).
    """
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    if not _TAGS.fullmatch(header):
        rule = f'If-Match must be the ETag of an answer, such as "2-approved", got {header[:60]!r}'
        raise BadInput("invalid_request", f"{rule}; send it as it came.", errors=[{"loc": ["If-Match"], "msg": rule}])
    return frozenset(_TAG.findall(header))
