"""A product that the engine paints: chosen under Render with its adapter, warned of, and sent as the API takes it."""

from collections.abc import Callable

from playwright.sync_api import expect

from packshot.client import Client
from packshot.contract.verdict import Finding, Verdict
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.store.records import Claim, NewImage
from tests.adapter_files import lora, peft_file
from tests.api_graph import png
from tests.browser.light import Light
from tests.browser.visits import Visit
from tests.specs import recipe_of
from tests.unit.studio.test_studio_hour import on_canvas
from tests.unit.studio.test_studio_steps import violations


def test_a_product_is_painted_from_another_angle(visit: Callable[..., Visit], light: Light) -> None:
    file = peft_file(lora(find_pack("mini", Settings()), layers=("attn2.to_q",)), {"packshot.tag": "mug7q"})
    with Client(light.api.url) as client:
        adapter_id = client.add_adapter(file, "The mug").id
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Render").click()
    page.get_by_label("Engine", exact=True).select_option("second")
    page.get_by_label("Prompt", exact=True).fill("seen from above, on marble")
    paints = page.get_by_role("checkbox", name="Paint the product too, from another angle")
    expect(paints).to_be_disabled()
    expect(page.get_by_text("Turn up the adapter that knows the product first.")).to_be_visible()
    page.get_by_role("slider", name="The mug").fill("100")
    paints.check()
    expect(page.get_by_text("It never passes as locked, and a person must approve it")).to_be_visible()
    expect(page.get_by_text("Write mug7q into the prompt")).to_be_visible()
    for label in ("Shadow", "Reflection", "Scene's light on the product", "Control scale"):
        expect(page.get_by_label(label, exact=True)).to_be_hidden()
    assert violations(page) == []
    page.get_by_label("Prompt", exact=True).fill("mug7q seen from above, on marble")
    expect(page.get_by_text("Write mug7q into the prompt")).to_be_hidden()

    def finish(claim: Claim) -> None:
        found = Verdict((Finding("lock", "warning", "not applicable: the product was painted"),), product="generated")
        new = [NewImage(nth, nth, 256, 256, png(256, 256), found, recipe_of(nth, claim.spec)) for nth in range(2)]
        light.api.store.queue.commit(claim, new)

    with light.painting(finish):
        with page.expect_request("**/v1/shots") as sent:
            page.get_by_role("button", name="Generate").click()
        body = sent.value.post_data_json or {}
        assert body["product"]["mode"] == "generated"
        assert len(body["product"]["views"]) == 1
        assert (body["layers"], body["adapters"]) == ([], [{"id": adapter_id, "scale": 1}])
        assert not {"shadow", "reflection", "relight", "style", "conditions", "control_scale"} & body.keys()
        answer = sent.value.response()
        assert answer is not None
        assert answer.status == 202, answer.text()
        expect(page.get_by_text("Product painted too")).to_be_visible()
        page.get_by_role("button", name="Look at picture 1").click()
        expect(page.locator("#verdict")).to_contain_text("Product: generated")
        expect(page.get_by_role("button", name="Edit layout")).to_be_disabled()
        page.locator("#preset").select_option("amazon-main")
        expect(page.locator("#unmet-words")).to_contain_text("needs the product as it was photographed")
        expect(page.get_by_role("button", name="Make it pass")).to_be_hidden()
        with page.expect_request("**/v1/shots") as again:
            page.get_by_role("button", name="More like this").click()
        assert (again.value.post_data_json or {})["product"] == body["product"]
