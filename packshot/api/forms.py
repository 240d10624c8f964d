"""Uploads as multipart/form-data: a part `file`, and fields beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.datastructures import UploadFile

from packshot.errors import BadInput


@asynccontextmanager
async def upload_form(request: Request, *fields: str) -> AsyncIterator[tuple[UploadFile, dict[str, str]]]:
    """Parse the body and yield its part `file`, which is on disk when it is large, and its other parts that have text.

    `fields` names the parts that it may have besides. Raises BadInput when the body is not multipart, has no such part
    or has other ones, and TooLarge when it is over the body limit.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        got = request.headers.get("content-type", "none")
        raise BadInput("invalid_request", f"An upload must be multipart/form-data with a part `file`, got {got}.")
    async with request.form(max_files=1, max_fields=max(1, len(fields))) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadInput(
                "invalid_request",
                f"The upload must have a part `file`, got {sorted(form.keys())}.",
                errors=[{"loc": ["file"], "msg": "is missing"}],
            )
        unknown = sorted(form.keys() - {"file", *fields})
        texts = {name: value for name in fields if isinstance(value := form.get(name), str)}
        if unknown or len(texts) < len(form.keys() & set(fields)):
            named = "".join(f" and `{name}` (text)" for name in fields)
            rule = f"may have the part{'s' if fields else ''} `file`{named}"
            raise BadInput(
                "invalid_request",
                f"The upload {rule}, got {sorted(form.keys())}.",
                errors=[{"loc": [name], "msg": "is unknown"} for name in unknown]
                or [{"loc": [name], "msg": rule} for name in fields],
            )
        yield file, {name: value for name, value in texts.items() if value}
