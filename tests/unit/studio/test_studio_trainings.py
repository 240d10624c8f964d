"""The page Trainings: approved pictures are chosen, a training is followed to its adapter, and cancelled."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from playwright.sync_api import expect

from packshot.imaging.codec import encode_png
from packshot.store.adapters import NewAdapter
from packshot.store.training_records import EndedTraining, Progress
from packshot.training.curves import plot
from tests.api_graph import ENGINES
from tests.browser.light import Light
from tests.browser.overlaps import overlapping
from tests.browser.visits import Visit
from tests.unit.studio.test_studio_steps import violations


def test_a_training_is_begun_followed_and_cancelled(visit: Callable[..., Visit], light: Light) -> None:
    engine = ENGINES[1].model_copy(update={"name": "mini"})
    setattr(light.api.graph, "engines", lambda: (engine,))  # noqa: B010 - mypy refuses the assignment
    page = visit().page("", "/trainings")
    expect(page.get_by_role("heading", name="Your look, learned from your pictures")).to_be_visible()
    _approve(light, 5)
    page.get_by_role("link", name="New training").click()
    start = page.get_by_role("button", name="Start the training")
    expect(page.locator(".pick")).to_have_count(5)
    expect(start).to_be_disabled()
    page.get_by_label("Name").fill("Autumn look")
    page.get_by_label("Activation word").fill("acmelook7")
    page.get_by_label("Sample").fill("acmelook7, a mug on marble")
    expect(page.locator("#steps")).to_have_text("5 pictures × 6 / 2 × 10 epochs = 150 steps")
    page.locator(".pick").first.click()
    expect(page.locator("#steps")).to_have_text("4 pictures × 6 / 2 × 10 epochs = 120 steps")
    page.get_by_role("button", name="A product").click()
    expect(page.locator("#steps")).to_have_text("Choose at least 3 pictures.")
    of_product = page.get_by_role("group", name="Photos").get_by_role("button")
    of_product.first.click()
    for nth in range(2):
        page.get_by_role("group", name="Approved pictures").get_by_role("button").nth(nth).click()
    expect(page.locator("#steps")).to_have_text("Say what kind of thing it is.")
    page.get_by_label("What kind of thing it is").fill("mug")
    expect(page.locator("#steps")).to_have_text("3 pictures × 100 / 1 × 4 epochs = 1200 steps")
    assert violations(page) == []
    with page.expect_request("**/v1/trainings") as sent:
        page.route("**/v1/trainings", lambda route: route.abort(), times=1)
        start.click()
    body = sent.value.post_data_json or {}
    assert (len(body["photo_ids"]), len(body["image_ids"]), body["class_words"]) == (1, 2, "mug")
    page.get_by_role("button", name="A look").click()
    expect(page.locator("#steps")).to_have_text("4 pictures × 6 / 2 × 10 epochs = 120 steps")
    assert violations(page) == []
    assert overlapping(page) == []
    expect(page.get_by_role("alert")).to_have_count(1)  # of the request that was lost above
    start.click()
    expect(page.get_by_role("heading", name="Autumn look")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".chip")).to_have_text("Waiting")

    work = light.api.store.training_work
    claim = work.claim("w", ["mini"])
    assert claim is not None
    assert len(claim.order.pictures) == 4
    curves = plot("Training loss", {"": [(step, 0.3 - step / 900) for step in range(0, 60, 5)]})
    sheet = np.full((256, 512, 3), (120, 150, 140), np.uint8)
    progress = Progress(step=60, loss=0.2333, spent_s=41.0, sheet=encode_png(sheet), curves=encode_png(curves))
    work.heartbeat(claim, progress)
    expect(page.locator(".chip")).to_have_text("Learning")
    expect(page.get_by_text("60 of 120 steps, loss 0.2333")).to_be_visible()
    expect(page.get_by_alt_text("The loss, and the errors")).to_be_visible()
    page.wait_for_function("() => [...document.images].every((one) => one.complete && one.naturalWidth)")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".chip")).to_have_text("Ending")
    new = NewAdapter(
        name="Autumn look (step 60)", kind="lora", engine="mini", family="mini", rank=8, trigger="acmelook7", licence=""
    )
    how = EndedTraining(status="cancelled", ended="it was cancelled", adapter=new, data=b"file", partial=True)
    work.end(claim, how, step=60)
    expect(page.get_by_role("link", name="Use it in the studio")).to_be_visible()
    expect(page.get_by_text("It ended early: it was cancelled.")).to_be_visible()
    assert violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert violations(page) == []
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Your look, learned from your pictures")).to_be_visible()


def _approve(light: Light, count: int) -> None:
    """Make pictures and approve them, as the page: without a key."""
    here = replace(light.api, http=light.api.anyone, _mask_id="", _photos={})
    for seed in range(count):
        (image,) = here.finish(here.shot(prompt=f"on marble {seed}", seed=seed))["images"]
        answer = here.http.patch(f"/v1/images/{image['id']}", json={"review": "approved"})
        assert answer.status_code == 200
