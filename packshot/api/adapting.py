"""The adapters of a shot: found once, when the shot is accepted, and checked against its engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from packshot.api.capabilities import cannot
from packshot.api.products import check_triggers
from packshot.api.services import Services, in_thread
from packshot.contract.adapters import AdapterIn, AdapterUse
from packshot.contract.engines import EngineInfo
from packshot.contract.requests import ShotRequest
from packshot.errors import BadInput, NotFound
from packshot.store.adapters import AdapterRecord

__all__ = ["adapted_request", "adapters_of", "found_adapters"]


async def adapted_request(services: Services, tenant_id: str, body: ShotRequest, engine: EngineInfo) -> ShotRequest:
    """The request with the hash of each adapter written out.

    Raises NotFound for an adapter that does not exist, and BadInput: `invalid_request` for a plain background and for
    another file than the request names, `engine_cannot`, `adapter_mismatch` for one of another family, and for a
    painted product whose prompt does not name it as `check_triggers`.
    """
    if body.background != "generate":
        rule = f"adapters need background generate, whose scene they change, got {body.background}"
        raise _refused("invalid_request", f"{rule}; leave them out, or paint a scene")
    adapters = await found_adapters(services, tenant_id, body.adapters, engine)
    if body.product is not None:
        named = [one.id for one in adapters]
        check_triggers(body.prompt, await in_thread(services.store.adapters.of_shot, tenant_id, named))
    return body.model_copy(update={"adapters": adapters})


async def found_adapters(
    services: Services, tenant_id: str, asked: Sequence[AdapterIn], engine: EngineInfo
) -> list[AdapterIn]:
    """The adapters with their hashes. Raises as `adapted_request`."""
    if not asked:
        return []
    if len(asked) > engine.capabilities.adapters:
        raise cannot(engine, "adapters", "needs the capability adapters", ", ".join(one.id for one in asked))
    try:
        records = await in_thread(services.store.adapters.of_shot, tenant_id, [one.id for one in asked])
    except NotFound as error:
        error.errors = [{"loc": ["adapters"], "msg": error.detail}]
        raise
    for at, (one, record) in enumerate(zip(asked, records, strict=True)):
        if record.family != engine.family:
            rule = f"an adapter must be of the engine's family {engine.family}, {record.id} is of {record.family}"
            raise _refused("adapter_mismatch", f"{rule}; use another engine or adapter", at)
        if one.sha256 not in (None, record.sha256):
            rule = f"the file of {record.id} must have the SHA-256 {one.sha256}, it has {record.sha256}"
            raise _refused("invalid_request", f"{rule}; leave sha256 out to take it as it is", at)
    _refuse_one_trigger(records)
    return [one.model_copy(update={"sha256": record.sha256}) for one, record in zip(asked, records, strict=True)]


def _refuse_one_trigger(records: Iterable[AdapterRecord]) -> None:
    """Raise BadInput when two inversions have one trigger: a word of the prompt can mean one of them."""
    words = Counter(record.trigger.lower() for record in records if record.kind == "inversion")
    for word, count in words.items():
        if count > 1:
            rule = f"inversions of a shot must have different triggers, got {word!r} {count} times"
            raise _refused("invalid_request", f"{rule}; change one by PATCH /v1/adapters")


def _refused(code: str, message: str, at: int | None = None) -> BadInput:
    loc: list[str | int] = ["adapters"] if at is None else ["adapters", at]
    return BadInput(code, f"{message}.", errors=[{"loc": loc, "msg": message}])


def adapters_of(asked: Sequence[AdapterIn]) -> tuple[AdapterUse, ...]:
    """The adapters of a shot from those that are written out (`adapted_request`). Raises ValueError for others."""
    for one in asked:
        if one.sha256 is None:
            raise ValueError("adapters must be written out before the shot is stored; call adapted_request")
    return tuple(AdapterUse(id=one.id, scale=one.scale, sha256=one.sha256 or "") for one in asked)
