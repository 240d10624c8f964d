"""`client.trainings`: adapters that the server learns from the tenant's own pictures.

training = client.trainings.create(TrainingRequest(name="Autumn", tag="autumnlook7", catalogue_id="ct_…"))
done = client.trainings.wait(training.id, progress=lambda one: print(one.step, one.loss))
print(done.adapter_id)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from packshot.client.call import AsyncSend, Call, Options, Send, async_pages, nothing, pages, reading
from packshot.contract.trainings import TrainingAnswer, TrainingPage, TrainingRequest

__all__ = ["AsyncTrainings", "Trainings"]

AT = "/v1/trainings"

Told = Callable[[TrainingAnswer], object]
Follow = Callable[[Sequence[str]], Iterator[TrainingAnswer]]
AsyncFollow = Callable[[Sequence[str]], AsyncIterator[TrainingAnswer]]


class Trainings:
    """A client's trainings. Every method raises the `PackshotError` that the server raised."""

    def __init__(self, send: Send, follow: Follow) -> None:
        self._send = send
        self._follow = follow

    def create(self, request: TrainingRequest, *, idempotency_key: str | None = None) -> TrainingAnswer:
        """Begin a training. Raises BadInput `dataset_refused`, `tag_refused` and `not_served`, and Conflict."""
        return self._send(_create(request, idempotency_key))

    def all(self) -> Iterator[TrainingAnswer]:
        """Yield the trainings, newest first."""
        for page in pages(self._send, _list()):
            yield from page.trainings

    def get(self, training_id: str) -> TrainingAnswer:
        """Get a training in its present state."""
        return self._send(_get(training_id))

    def follow(self, training_ids: Sequence[str]) -> Iterator[TrainingAnswer]:
        """Yield each training in its present state, and again when that has changed, until all have ended.

        They share one connection, which is resumed when it breaks. Raises NotFound when one does not exist, and
        Unavailable when the server cannot be reached.
        """
        return self._follow(training_ids)

    def wait(self, training_id: str, *, progress: Told | None = None) -> TrainingAnswer:
        """Return the training when it has ended. `progress` is called with each state that is seen."""
        for found in self.follow([training_id]):
            if progress is not None:
                progress(found)
        return self.get(training_id)

    def cancel(self, training_id: str) -> TrainingAnswer:
        """Cancel a training. What it has learned becomes a partial adapter. A repeat changes nothing."""
        return self._send(_cancel(training_id))

    def delete(self, training_id: str) -> None:
        """Delete a training that has ended. Its adapter stays."""
        self._send(_delete(training_id))


class AsyncTrainings:
    """The trainings of an `AsyncClient`. `Trainings` describes the methods."""

    def __init__(self, send: AsyncSend, follow: AsyncFollow) -> None:
        self._send = send
        self._follow = follow

    async def create(self, request: TrainingRequest, *, idempotency_key: str | None = None) -> TrainingAnswer:
        """Begin a training. Raises BadInput `dataset_refused`, `tag_refused` and `not_served`, and Conflict."""
        return await self._send(_create(request, idempotency_key))

    async def all(self) -> AsyncIterator[TrainingAnswer]:
        """Yield the trainings, newest first."""
        async for page in async_pages(self._send, _list()):
            for one in page.trainings:
                yield one

    async def get(self, training_id: str) -> TrainingAnswer:
        """Get a training in its present state."""
        return await self._send(_get(training_id))

    def follow(self, training_ids: Sequence[str]) -> AsyncIterator[TrainingAnswer]:
        """Yield each training in its present state, and again when that has changed, until all have ended."""
        return self._follow(training_ids)

    async def wait(self, training_id: str, *, progress: Told | None = None) -> TrainingAnswer:
        """Return the training when it has ended. `progress` is called with each state that is seen."""
        async for found in self.follow([training_id]):
            if progress is not None:
                progress(found)
        return await self.get(training_id)

    async def cancel(self, training_id: str) -> TrainingAnswer:
        """Cancel a training. What it has learned becomes a partial adapter. A repeat changes nothing."""
        return await self._send(_cancel(training_id))

    async def delete(self, training_id: str) -> None:
        """Delete a training that has ended. Its adapter stays."""
        await self._send(_delete(training_id))


def _create(request: TrainingRequest, idempotency_key: str | None) -> Call[TrainingAnswer]:
    headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
    options = Options(json=request.model_dump(mode="json", exclude_unset=True), headers=headers)
    return Call("POST", AT, reading(TrainingAnswer), options)


def _list() -> Call[TrainingPage]:
    return Call("GET", AT, reading(TrainingPage))


def _get(training_id: str) -> Call[TrainingAnswer]:
    return Call("GET", f"{AT}/{training_id}", reading(TrainingAnswer))


def _cancel(training_id: str) -> Call[TrainingAnswer]:
    return Call("POST", f"{AT}/{training_id}/cancel", reading(TrainingAnswer))


def _delete(training_id: str) -> Call[None]:
    return Call("DELETE", f"{AT}/{training_id}", nothing)
