"""Shots of a vendor's engine through the real API in one process: budgets, durable retries, and nothing paid twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import packshot.store.queue
from graphs.one_process import serving_in_process
from packshot.client import Client
from packshot.contract.answers import ShotAnswer
from packshot.errors import BadInput, BudgetSpent
from packshot.imaging.codec import read_png
from packshot.settings import Settings
from packshot.store.store import Store
from tests.api_graph import png
from tests.tiny_pack import build_tiny_pack
from tests.vendor import KEY, PRICE_S, Vendor, answers, endpoint_at, picture, says, vending

CANVAS = {"width": 96, "height": 96}
REMOTE: dict[str, Any] = {
    "recipe": "remote",
    "family": "remote",
    "defaults": {"steps": 1, "guidance_scale": 1.0, "control_scale": 0.0},
    "limits": {"max_steps": 1, "max_guidance_scale": 1.0, "max_control_scale": 0.0},
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    with vending() as vendor:
        yield vendor


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, vendor: Vendor) -> Settings:
    """The segmenter of the tiny pack cuts, and the vendor paints."""
    edit = {**REMOTE, "endpoint": endpoint_at(vendor)}
    folder = build_tiny_pack(tmp_path_factory.mktemp("packs") / "elsewhere", edit=edit)
    named = {"remote_key": KEY, "home": tmp_path_factory.mktemp("home"), "pack_path": str(folder), "pack": "elsewhere"}
    return Settings.model_validate(named | {"open_access": True, "device": "cpu", "dtype": "fp32", "max_outage_s": 600})


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[Client]:
    patch = pytest.MonkeyPatch()
    patch.setattr(packshot.store.queue, "BACKOFF_S", 0.05)
    with serving_in_process(settings) as url, Client(url) as client:
        client.wait_ready(0)
        yield client
    patch.undo()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = Store.from_settings(settings)
    yield opened
    opened.close()


def shot(client: Client, vendor: Vendor, **request: Any) -> ShotAnswer:
    vendor.calls.clear()
    vendor.billed.clear()
    mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
    made = client.shoot({"layers": [{"mask_id": mask.id}], "prompt": "on a beach", "canvas": CANVAS, **request})
    list(client.events([made.id]))
    return client.shot(made.id)


def spent(store: Store) -> float:
    tenant = store.tenants.local()
    return store.usage.page(tenant.id, "day").total.device_s


def test_without_a_budget_nothing_is_bought(client: Client, vendor: Vendor, store: Store) -> None:
    """With one, a picture counts its price, once."""
    with pytest.raises(BudgetSpent, match="needs a budget of images a day or device-seconds a month") as refused:
        shot(client, vendor)
    assert refused.value.code == "budget_needed"
    assert shot(client, vendor, background="white").status == "done", "a plain background costs nothing"
    assert not vendor.calls
    (engine,) = client.engines()
    has = engine.capabilities
    assert (engine.recipe, engine.price_device_s) == ("remote", PRICE_S)
    assert (has.controls, has.negative_prompt, has.guidance, has.seeds, has.steps) == ((), False, False, False, (1, 1))
    store.budgets.set(store.tenants.local().id, {"live_shots": 5})
    with pytest.raises(BudgetSpent, match="needs a budget"):
        shot(client, vendor)

    store.budgets.set(store.tenants.local().id, {"device_s_per_month": 10 * PRICE_S})
    before = spent(store)
    done = shot(client, vendor)
    assert done.status == "done", done
    (image,) = done.images
    assert read_png(client.download(image.url)).shape == (96, 96, 3)
    found = {finding.check: finding.level for finding in image.verdict.findings}
    assert (found["lock"], found["seed"]) == ("ok", "ok")
    assert "expansion" in found
    assert image.recipe.device == "remote"
    assert spent(store) - before == PRICE_S


def test_a_vendor_that_is_overloaded_delays_a_shot_and_is_paid_once(
    client: Client, vendor: Vendor, store: Store
) -> None:
    """Both pictures have to wait, then one of them: it alone is asked for again."""
    store.budgets.set(store.tenants.local().id, {"images_per_day": 1000})
    before = spent(store)
    vendor.behaviours = [says(429, retry_after="0"), says(503), says(502)]
    done = shot(client, vendor, images=2, seed=11)
    assert (done.status, len(done.images)) == ("done", 2), done
    assert len(vendor.billed) == 2
    assert len(vendor.calls) == 5
    assert spent(store) - before == 2 * PRICE_S
    assert not vendor.behaviours


def test_what_the_vendor_refuses_ends_the_shot(client: Client, vendor: Vendor, store: Store) -> None:
    store.budgets.set(store.tenants.local().id, {"images_per_day": 1000})
    before = spent(store)
    vendor.behaviours = [says(400, "blocked", "content_policy_violation")]
    ended = shot(client, vendor, seed=21)
    assert ended.error is not None
    assert (ended.status, ended.error.code) == ("failed", "content_refused")
    assert len(vendor.calls) == 1, "it is not tried again"
    assert spent(store) == before


def test_wrong_answers_are_attempts(client: Client, vendor: Vendor, store: Store) -> None:
    """They may have been billed, so a shot has as many as for any error, and then fails with the code."""
    store.budgets.set(store.tenants.local().id, {"images_per_day": 1000})
    vendor.behaviours = [answers(picture((64, 48))), answers(b"<html>", "text/html")]
    assert shot(client, vendor, seed=31).status == "done"
    assert len(vendor.calls) == 3
    vendor.behaviours = [answers(picture((64, 48)))] * 3
    ended = shot(client, vendor, seed=32)
    assert ended.error is not None
    assert (ended.status, ended.error.code) == ("failed", "remote_answer")
    assert len(vendor.calls) == 3


def test_what_the_vendor_cannot_honour_is_refused(client: Client, vendor: Vendor, store: Store) -> None:
    store.budgets.set(store.tenants.local().id, {"images_per_day": 1000})
    fields: dict[str, Any] = {"negative_prompt": "people", "guidance_scale": 7.0, "control_scale": 0.5}
    for name, value in fields.items():
        with pytest.raises(BadInput, match=f"{name} needs .*engine 'elsewhere' lacks") as refused:
            shot(client, vendor, **{name: value})
        assert refused.value.code == "engine_cannot"
    assert not vendor.calls
