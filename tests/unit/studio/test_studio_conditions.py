"""Conditions and adapters in the studio: shown where the engine takes them, and sent as the API takes them."""

from collections.abc import Callable

from playwright.sync_api import expect

from packshot.client import Client
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from tests.adapter_files import lora, peft_file
from tests.browser.light import Light
from tests.browser.visits import Visit
from tests.unit.studio.test_studio_hour import desk_of, on_canvas


def test_conditions_are_shown_and_sent_for_an_engine_that_takes_them(visit: Callable[..., Visit], light: Light) -> None:
    file = peft_file(lora(find_pack("mini", Settings()), layers=("attn2.to_q",)))
    with Client(light.api.url) as client:
        adapter_id = client.add_adapter(file, "Autumn").id
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Render").click()
    more = page.get_by_text("Also follow the product's shape")
    expect(more).to_be_hidden()
    page.get_by_label("Engine", exact=True).select_option("second")
    page.get_by_label("Sampler").select_option("Euler")
    more.click()
    depth = page.get_by_role("slider", name="Depth")
    depth.fill("60")
    expect(page.get_by_role("slider", name="Surface")).to_have_value("0")
    expect(page.get_by_role("slider", name="Area")).to_have_count(0)
    expect(page.locator("#conditions").get_by_text("60 %")).to_be_visible()
    page.get_by_label("Prompt", exact=True).focus()
    page.get_by_role("slider", name="Autumn").fill("-50")
    with page.expect_request("**/v1/shots") as sent:
        page.get_by_role("button", name="Generate").click()
    sent_body = sent.value.post_data_json or {}
    assert (sent_body["conditions"], sent_body["sampler"]) == ([{"kind": "depth", "scale": 0.6}], "euler")
    assert sent_body["adapters"] == [{"id": adapter_id, "scale": -0.5}]
    answer = sent.value.response()
    assert answer is not None
    assert answer.status == 202
    command = page.evaluate(
        """async () => {
            const { asShoot } = await import("/studio/commands.js");
            const { shots } = await import("/studio/store.js");
            return asShoot(shots()[0].request, "http://here");
        }"""
    )
    assert "--sampler=euler" in command
    assert "--condition=depth=0.6,0,1" in command
    assert f"--adapter={adapter_id}:-0.5" in command
    page.get_by_label("Engine", exact=True).select_option("mini")
    expect(more).to_be_hidden()
    with page.expect_request("**/v1/shots") as sent:
        page.get_by_role("button", name="Generate").click()
    expect(page.get_by_label("Sampler")).to_be_hidden()
    assert not {"conditions", "sampler", "adapters"} & set(sent.value.post_data_json or {}), (
        "the other engine takes none"
    )
    page.get_by_label("Engine", exact=True).select_option("second")
    depth.fill("0")
    assert desk_of(page)["brief"]["conditions"] == []
