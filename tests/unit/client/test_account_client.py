"""Webhooks, usage and budgets by the client, against the API itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from packshot.client import AsyncClient, BudgetRequest, Client
from packshot.errors import BadInput, Conflict, Forbidden, NotFound
from tests.api_graph import Api, running

PUBLIC = "https://93.184.216.34/hooks"
"""An address needs no name server. Nothing is sent there: this server has no sender."""


def attempted(api: Api, status: int) -> None:
    """Record an attempt at everything that is due."""
    while (batch := api.store.outbound.take()) is not None:
        for message in batch.messages:
            error = f"the receiver answered {status}"
            api.store.outbound.record(batch, message, status=status, error=error, duration_ms=2.0)
        api.store.outbound.release(batch)


async def test_webhooks_usage_and_budgets_by_both_clients(tmp_path: Path) -> None:
    with running(tmp_path / "home") as api:
        admin = api.store.keys.create("operator", admin=True).secret
        with Client(api.url, api.key) as client, Client(api.url, admin) as operator:
            async with AsyncClient(api.url, api.key) as later:
                webhooks(api, client)
                await webhooks_later(api, later)
                used = client.usage("sku")
                assert [(row.name, row.pictures) for row in used.rows] == [("MUG-00", 1), ("MUG-01", 1), ("MUG-02", 1)]
                assert (used.total.pictures, used.next_cursor) == (3, None)
                assert await later.usage("sku") == used
                today = datetime.now(UTC).date()
                assert (await later.usage(since=today, until=today)).total.shots == 3
                budgets(api, client, operator)


def webhooks(api: Api, client: Client) -> None:
    with pytest.raises(BadInput, match="public addresses") as refused:
        client.webhooks.create("https://169.254.169.254/latest", ["shot.ended"])
    assert refused.value.code == "url_refused"
    hooks = [client.webhooks.create(PUBLIC, ["shot.ended"]) for _ in range(3)]
    hook = hooks[0]
    assert {one.id for one in client.webhooks.all()} == {one.id for one in hooks}
    for one in hooks[1:]:
        client.webhooks.delete(one.id)
    with pytest.raises(NotFound):
        client.webhooks.get(hooks[1].id)
    for n in range(3):
        api.finish(api.shot(sku=f"MUG-{n:02}", images=1))
        attempted(api, 500)
    attempts = list(client.webhooks.attempts(hook.id))
    assert [(one.n, one.status) for one in attempts] == [(3, 500), (2, 500), (1, 500)]
    assert client.webhooks.resend(hook.id, 1).message_id == attempts[-1].message_id
    rotated = client.webhooks.rotate(hook.id)
    assert rotated.secret != hook.secret
    assert client.webhooks.get(hook.id).rotated_until == rotated.rotated_until
    attempted(api, 410)
    with pytest.raises(Conflict) as gone:
        client.webhooks.resend(hook.id, 1)
    assert gone.value.code == "webhook_disabled"
    client.webhooks.delete(hook.id)


async def webhooks_later(api: Api, client: AsyncClient) -> None:
    hook = await client.webhooks.create(PUBLIC, ["shot.ended"])
    assert [one.id async for one in client.webhooks.all()] == [hook.id]
    assert (await client.webhooks.get(hook.id)).url == PUBLIC
    assert (await client.webhooks.rotate(hook.id)).secret != hook.secret
    assert [one async for one in client.webhooks.attempts(hook.id)] == []
    with pytest.raises(NotFound):
        await client.webhooks.resend(hook.id, 1)
    await client.webhooks.delete(hook.id)


def budgets(api: Api, client: Client, operator: Client) -> None:
    with pytest.raises(Forbidden):
        client.budget(api.key_id)
    tenant = api.store.keys.tenant_of(api.key)
    assert tenant is not None
    for owner in (api.key_id, tenant.id):
        assert operator.budget(owner).budgets == ()
        limited = operator.set_budget(owner, BudgetRequest(images_per_day=500))
        assert [(one.budget, one.limit) for one in limited.budgets] == [("images_per_day", 500)]
        assert operator.budget(owner) == limited
        assert operator.set_budget(owner, BudgetRequest()).budgets == ()
