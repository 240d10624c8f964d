"""A call of the API: what it sends, and how its answer is read; and who sends it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypedDict, TypeVar

import httpx
from pydantic import ValidationError

from packshot.client.errors import foreign_answer
from packshot.contract.base import Answer
from packshot.contract.request_base import Request

T = TypeVar("T")
Read = TypeVar("Read", bound=Answer)


class Paged(Protocol):
    """A page of a list. `next_cursor` names the next page; None on the last one."""

    @property
    def next_cursor(self) -> str | None: ...


Page = TypeVar("Page", bound=Paged)


class Options(TypedDict, total=False):
    """What httpx takes for a request, as far as the calls use it."""

    params: Mapping[str, str | list[str]] | None
    json: object
    content: bytes
    data: Mapping[str, str]
    files: Mapping[str, tuple[str, io.BytesIO, str]]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request. `read` converts its successful response."""

    method: str
    url: str
    read: Callable[[httpx.Response], T]
    options: Options = field(default_factory=Options)


class Send(Protocol):
    """Sends a call and reads its answer."""

    def __call__(self, call: Call[T], /) -> T: ...


class AsyncSend(Protocol):
    """Sends a call and reads its answer, for asyncio."""

    async def __call__(self, call: Call[T], /) -> T: ...


def reading(model: type[Read]) -> Callable[[httpx.Response], Read]:
    """Reads a JSON response as `model`. The function raises EngineFailed when the response is not one."""

    def read(answer: httpx.Response) -> Read:
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            raise foreign_answer(answer) from error

    return read


def nothing(answer: httpx.Response) -> None:
    """Reads a response whose body does not matter."""


def pages(send: Send, call: Call[Page]) -> Iterator[Page]:
    """Yield every page of a list, the first one first."""
    cursor: str | None = ""
    while cursor is not None:
        page = send(_page_at(call, cursor))
        yield page
        cursor = page.next_cursor


async def async_pages(send: AsyncSend, call: Call[Page]) -> AsyncIterator[Page]:
    """Yield every page of a list, for asyncio."""
    cursor: str | None = ""
    while cursor is not None:
        page = await send(_page_at(call, cursor))
        yield page
        cursor = page.next_cursor


def _page_at(call: Call[T], cursor: str) -> Call[T]:
    """The call of the list's page at `cursor`; "" is the first page."""
    params = {**(call.options.get("params") or {}), **({"cursor": cursor} if cursor else {})}
    return Call(call.method, call.url, call.read, Options(params=params))


def given(**values: str | None) -> dict[str, str]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def set_fields(request: Request) -> object:
    """The fields that the caller set, so that an older server is sent no field that it does not know."""
    return request.model_dump(mode="json", exclude_unset=True)
